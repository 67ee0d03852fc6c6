"""LIFT+ and the mean over five crops from the command line, on small images of the built-in world."""

import json
import pickle
from pathlib import Path

import pytest
import torch

from tests.conftest import ROOT, run_tool
from tests.interruption import Interrupted
from tools.dataset_converters import generate_world
from vlprompt.cli import test as test_tool
from vlprompt.cli import train as train_tool
from vlprompt.datasets import MinimalistCrop
from vlprompt.engine import read_checkpoint

SMALL = ('image_size=32', 'resize_size=36', 'tta_expand=8', 'train_dataloader.batch_size=16')
BUILT_IN = ('model.clip.arch=micro-vit', 'model.clip.weights=scenes')
LIFT_PLUS = {'adaptformer/adaptformer_micro-vit_lift-plus': (), 'adaptformer/adaptformer_vit-b16_lift-plus': BUILT_IN}


@pytest.fixture(scope='module')
def worlds(tmp_path_factory):
    """Folders of the long-tailed and the few-shot task."""
    root = tmp_path_factory.mktemp('worlds')
    for task, options in (('long-tailed', ('--long-tail', 2, 1, 1, 1)), ('few-shot', ('--per-class', 1, 1, 2))):
        generate_world.main(
            ['--task', task, '--out', str(root / task), *map(str, options), '--size', '48', '--workers', '1']
        )
    return root


@pytest.fixture
def tool(worlds, tmp_path, monkeypatch):
    """Run a tool on one of the worlds in an empty folder; returns the metrics of its test."""
    monkeypatch.chdir(tmp_path)

    def run(main, config, *arguments, out='out', world='long-tailed', options=()):
        dataset = {'long-tailed': 'scenes_lt', 'few-shot': 'scenes'}[world]
        place = ('--dataset', dataset, '--data-root', worlds / world, '--work-dir', out)
        file = config if isinstance(config, Path) else ROOT / f'configs/{config}.py'
        run_tool(main, file, *arguments, *place, '--cfg-options', *options)
        return json.loads((tmp_path / out / 'test_metrics.json').read_text())

    return run


@pytest.mark.parametrize('config', LIFT_PLUS)
def test_every_config_trains_and_is_tested_with_crops(config, tool, tmp_path, monkeypatch):
    """Data workers live through all epochs, and see the schedule that the main process is told."""
    told, set_progress = [], MinimalistCrop.set_progress

    def record(self, epoch, epochs):
        set_progress(self, epoch, epochs)
        told.append((epoch, epochs, round(self.smallest, 3)))

    monkeypatch.setattr(MinimalistCrop, 'set_progress', record)
    workers = ('train_dataloader.num_workers=2', 'test_dataloader.num_workers=0')
    options = (*SMALL, *LIFT_PLUS[config], *workers, 'train_cfg.max_epochs=3', 'crop_scale=(0.08, 1.0)')
    plain = tool(train_tool.main, config, '--test', options=options)
    assert told[-3:] == [(0, 3, 0.08), (1, 3, 0.203), (2, 3, 1.0)]
    options = (*SMALL, *LIFT_PLUS[config], 'test_dataloader.num_workers=0')
    kept = ('--out', 'crops.pkl', '--show-dir', 'show')
    crops = tool(test_tool.main, config, 'out/epoch_3.pth', '--tta', *kept, out='crops', options=options)
    assert set(crops) == set(plain)
    predictions = pickle.loads((tmp_path / 'crops.pkl').read_bytes())
    assert len(predictions) == 40
    assert len(list((tmp_path / 'show').rglob('*.png'))) == 40
    assert {tuple(sample['img_shape']) for sample in predictions} == {(32, 32)}


def test_a_run_that_was_interrupted_sees_the_same_crops(tool, tmp_path):
    config, options = 'adaptformer/adaptformer_micro-vit_lift-plus', (*SMALL, 'train_cfg.max_epochs=3')
    options += ('train_dataloader.num_workers=2', 'test_dataloader.num_workers=0')
    tool(train_tool.main, config, '--test', out='whole', options=options)
    stops = tmp_path / 'stops.py'
    hook = "dict(type='vlprompt.InterruptingHook', epoch=2)"
    stops.write_text(f"_base_ = '{ROOT}/configs/{config}.py'\ncustom_hooks = [{hook}]\n")
    with pytest.raises(Interrupted):
        tool(train_tool.main, stops, out='parts', options=options)
    tool(train_tool.main, config, '--resume', '--test', out='parts', options=options)
    whole, parts = (read_checkpoint(tmp_path / name / 'epoch_3.pth')['state_dict'] for name in ('whole', 'parts'))
    assert all(torch.equal(whole[name], parts[name]) for name in whole)


@pytest.mark.parametrize('config', ['lpt/lpt_micro-vit', 'vpt/vpt_micro-vit', 'adaptformer/adaptformer_micro-vit'])
def test_crops_of_other_long_tailed_methods(config, tool):
    options = (*SMALL[:3], 'test_dataloader.num_workers=0')
    plain, crops = (
        tool(test_tool.main, config, 'none', *tta, out=f'out{len(tta)}', options=options) for tta in ((), ('--tta',))
    )
    assert set(plain) - set(crops) == ({'lpt/keys_used', 'lpt/key_entropy'} if config.startswith('lpt') else set())


@pytest.mark.parametrize('config', ['zero_shot/zero-shot_micro-vit', 'plot/plot_micro-rn'])
def test_crops_of_classifiers_by_text(config, tool, tmp_path):
    options = ('image_size=64', 'tta_expand=16', 'test_dataloader.num_workers=0')
    tool(test_tool.main, config, 'none', '--tta', '--out', 'crops.pkl', world='few-shot', options=options)
    scores = [sample['pred_score'] for sample in pickle.loads((tmp_path / 'crops.pkl').read_bytes())]
    torch.testing.assert_close(torch.stack(scores).sum(1), torch.ones(len(scores)))
    assert not (tmp_path / 'work_dirs/image_features').exists(), 'features of single views are not those of crops'


def test_mistakes_end_in_one_message(tool):
    config, options = 'adaptformer/adaptformer_micro-vit', (*SMALL[:3], 'test_dataloader.num_workers=0')
    for mistake, message in (
        ('tta_expand=-4', 'FiveCrop: expand=-4 would make images smaller than their crops'),
        ('tta_model=None', '--tta: the config has tta_pipeline, but tta_model=None: set both, or test without --tta'),
    ):
        with pytest.raises(ValueError, match=message):
            tool(test_tool.main, config, 'none', '--tta', options=(*options, mistake))
    mirrored = tool(test_tool.main, config, 'none', '--tta', options=(*options, 'tta_model=None', 'tta_pipeline=None'))
    assert 'shot/overall' in mirrored
