"""What tests of tools for segmentation and detection share: narrow models, tiny scenes, tools run in this process."""

import runpy
import sys

from tests.conftest import MICRO, ROOT
from tools.dataset_converters import generate_world
from vlprompt.engine import load_config

NARROW_MODEL = {
    'model.backbone.clip.arch': dict(MICRO['rn'], vision_stride=16, _delete_=True),
    'model.backbone.clip.weights': None,
    'model.backbone.clip.image_size': 64,
    'model.backbone.matching.context_decoder.width': 64,
    'model.backbone.matching.context_decoder.layers': 1,
    'model.neck.out_channels': 8,
}
"""A micro CLIP in place of the real one."""

NARROW = NARROW_MODEL | {
    'train_dataloader.batch_size': 2,
    'train_cfg.max_iters': 2,
    'train_cfg.val_interval': 2,
}
"""The same, and training takes two steps."""


def make_world(folder, task, train, val):
    """Generate scenes of 64 x 64 pixels in ``folder`` and return it."""
    options = ['--task', task, '--size', '64', '--images', str(train), str(val), '--workers', '1']
    generate_world.main([*options, '--out', str(folder)])
    return folder


def narrow_config(path, world, **options):
    """A shipped config on a micro CLIP, with the data in ``world``; ``options`` are dotted keys."""
    return load_config(path, {'data_root': str(world), **NARROW, **options})


def narrow_file(path, config, **options):
    """A config file of a few lines at ``path`` that inherits a shipped one, on a micro CLIP; returns the path."""
    nested = {}
    for key, value in {**NARROW, **options}.items():
        *above, last = key.split('.')
        node = nested
        for name in above:
            node = node.setdefault(name, {})
        node[last] = value
    path.write_text(f'_base_ = {str(config)!r}\n' + ''.join(f'{key} = {value!r}\n' for key, value in nested.items()))
    return path


def run_tool(monkeypatch, name, *arguments):
    """``tools/<name>``, in this process."""
    monkeypatch.setattr(sys, 'argv', [name, *map(str, arguments)])
    runpy.run_path(str(ROOT / 'tools' / name), run_name='__main__')
