"""Official checkpoints: fabricated with the keys of the real ones, converted by the tool, loaded, compared."""

import subprocess
import sys
from collections import OrderedDict

import pytest
import torch
from mmengine.registry import DefaultScope

from tests.conftest import MICRO, ROOT
from vlprompt.apis import init_model
from vlprompt.clip import build_clip
from vlprompt.clip.weights import to_openai_names
from vlprompt.compat.official import convert

NAMES = ['face', 'sea_lion', 'okapi']
WIDTH, N_CTX, TAIL = 32, 16, 60


def official(context, rows):
    """A checkpoint as Dassl writes it, with a live scheduler pickled beside the tensors."""
    weight = torch.nn.Parameter(torch.zeros(1))
    optimizer = torch.optim.SGD([weight], lr=2e-3)
    return dict(
        state_dict=OrderedDict(
            ctx=context, token_prefix=torch.zeros(rows, 1, WIDTH), token_suffix=torch.zeros(rows, TAIL, WIDTH)
        ),
        epoch=200,
        optimizer=optimizer.state_dict(),
        scheduler=torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, 200),
        val_result=None,
    )


CASES = {
    'coop': ('coop/coop_rn50_16shot_caltech101.py', (N_CTX, WIDTH), 3),
    'coop-csc': ('coop/coop_rn50_csc_16shot_caltech101.py', (3, N_CTX, WIDTH), 3),
    'plot': ('plot/plot_rn50_16shot_caltech101.py', (4, N_CTX, WIDTH), 12),
}


@pytest.mark.parametrize('case', CASES)
def test_round_trip(case, tmp_path, micro_rn):
    config, shape, rows = CASES[case]
    context = torch.randn(shape).half()
    torch.save(official(context, rows), tmp_path / 'src')
    command = [sys.executable, ROOT / 'tools/model_converters/official.py', case.split('-')[0]]
    subprocess.run([*command, tmp_path / 'src', tmp_path / 'dst.pth'], check=True, cwd=tmp_path)
    torch.save(to_openai_names(build_clip(arch=micro_rn).state_dict()), tmp_path / 'base.pt')
    options = {
        'model.clip': dict(_delete_=True, arch=micro_rn, weights=str(tmp_path / 'base.pt')),
        'model.class_names': NAMES,
    }
    model = init_model(ROOT / 'configs' / config, tmp_path / 'dst.pth', options)
    assert torch.equal(model.prompt.context.reshape(shape), context.float())
    options['model.clip']['weights'] = None  # loads as well, onto random towers, and the log says so
    assert torch.equal(
        init_model(ROOT / 'configs' / config, tmp_path / 'dst.pth', options).prompt.context, model.prompt.context
    )
    with torch.no_grad():
        assert model(torch.randn(2, 3, 64, 64), mode='tensor').shape == (2, 3)


def test_the_wrong_method_is_named():
    with pytest.raises(ValueError, match='"plot"'):
        convert('coop', official(torch.zeros(4, N_CTX, WIDTH), 12))
    with pytest.raises(ValueError, match='"coop"'):
        convert('plot', official(torch.zeros(N_CTX, WIDTH), 3))
    with pytest.raises(KeyError, match='conv1'):
        convert('coop', {'conv1.weight': torch.zeros(1)})
    with pytest.raises(KeyError, match=r'coop, .*plot'):
        convert('tip', {})


def official_denseclip(model):
    """The state dict that the official code writes for a model of this shape, in its names."""
    names = [
        ('matching.prompt.context', 'contexts'),
        ('matching.gamma', 'gamma'),
        ('matching.text.', 'text_encoder.'),
        ('matching.context_decoder.', 'context_decoder.'),
        ('backbone.visual.', 'backbone.'),
        ('backbone.pyramid.', 'backbone.'),
    ]
    state = {}
    for key, value in model.state_dict().items():
        for ours, theirs in names:
            if key.startswith(ours):
                key = theirs + key.removeprefix(ours)
                break
        state[key] = torch.randn_like(value) if value.is_floating_point() else value
    return state


@pytest.mark.parametrize('kind', ['rn', 'vit'])
def test_denseclip_round_trip(kind, tmp_path):
    pytest.importorskip('mmseg')
    name = {'rn': 'denseclip_r50_fpn_80k_ade20k-512x512', 'vit': 'denseclip_vit-b16_fpn_official_80k_ade20k-640x640'}[
        kind
    ]
    clip = {
        'model.clip.arch': dict(MICRO[kind], _delete_=True),
        'model.clip.weights': None,
        'model.clip.image_size': 64,
    }
    if kind == 'vit':
        clip |= {'model.clip.arch.vision_layers': 4, 'model.clip.vision.out_indices': (0, 1, 2, 3)}
    options = {**clip, 'model.class_names': NAMES, 'model.neck.out_channels': 16, 'model.decode_head.channels': 16}
    with DefaultScope.overwrite_default_scope('mmseg'):
        model = init_model(ROOT / f'configs/denseclip/{name}.py', cfg_options=options)
        state = official_denseclip(model)
        torch.save(dict(meta=dict(CLASSES=NAMES), state_dict=state), tmp_path / 'src')
        command = [sys.executable, ROOT / 'tools/model_converters/official.py', 'denseclip-seg']
        subprocess.run([*command, tmp_path / 'src', tmp_path / 'dst.pth'], check=True, cwd=tmp_path)
        model = init_model(ROOT / f'configs/denseclip/{name}.py', tmp_path / 'dst.pth', options)
        assert torch.equal(model.matching.prompt.context, state['contexts'])
        assert torch.equal(model.matching.text.positional_embedding, state['text_encoder.positional_embedding'])
        assert torch.equal(model.backbone.visual.conv1.weight, state['backbone.conv1.weight'])
        if kind == 'vit':
            assert torch.equal(model.backbone.pyramid.fpn4[0].weight, state['backbone.fpn4.0.weight'])
        with torch.no_grad():
            assert model(torch.randn(1, 3, 64, 64), mode='tensor').shape == (1, 3, 16, 16)


def test_other_segmentation_checkpoints_are_named():
    with pytest.raises(KeyError, match='contexts'):
        convert('denseclip-seg', {'backbone.conv1.weight': torch.zeros(1)})
