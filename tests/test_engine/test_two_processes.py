"""Two processes against one with the same global batch: PLOT and DenseCLIP, trained and tested; numbers of the log."""

import json

import pytest
import torch
from mmengine.hooks import Hook
from torch import distributed as dist
from torch import nn

from tests.conftest import ROOT
from tests.test_tools.dense import make_world, narrow_config
from tests.tiny_project import TinyProject
from tests.two_processes import in_two_processes
from vlprompt.apis import runs
from vlprompt.engine.checkpoint import read_checkpoint
from vlprompt.engine.log_processor import mean_of_processes
from vlprompt.registry import HOOKS

pytestmark = pytest.mark.slow


@HOOKS.register_module()
class FrozenNormsHook(Hook):
    """Batch norms keep their statistics: those of a process's own batch would differ."""

    def before_train_iter(self, runner, batch_idx, data_batch=None):
        for module in runner.model.modules():
            if isinstance(module, nn.modules.batchnorm._BatchNorm):
                module.eval()


def logged(folder):
    """The numbers of every step of the training in a work directory."""
    (log,) = folder.glob('*/vis_data/scalars.json')
    return [step for step in map(json.loads, log.open()) if 'loss' in step]


def compare(folders, checkpoint, names):
    """Weights of both runs to 1e-5, and what every step logged under these names."""
    one, two = (read_checkpoint(folder / checkpoint)['state_dict'] for folder in folders)
    torch.testing.assert_close(two, one, rtol=1e-5, atol=1e-5)
    ours, theirs = map(logged, folders)
    assert len(ours) == len(theirs) > 1
    for first, second in zip(ours, theirs, strict=True):
        for name in names:
            assert second[name] == pytest.approx(first[name], rel=1e-4), name


def test_plot(tmp_path):
    """Nine training images, of which one process has 5 and the other 4, and eleven test images."""
    project = TinyProject.create(tmp_path / 'project')
    (project.root / 'data/test/apple/0.png').unlink()
    options = dict(
        model__alignment=dict(type='vlprompt.TransportAlignment', _delete_=True),
        train_dataloader__dataset__shots=3,
        train_dataloader__batch_sampler=dict(type='vlprompt.DropRaggedBatchSampler'),
        optim_wrapper__optimizer__lr=0.01,
        log_processor__window_size=1,
    )

    def run(name, processes):
        launcher = 'none' if processes == 1 else 'pytorch'
        # 9 images: batches of 10 and of 5 and 4
        runner = project.run(
            tmp_path / name, train_dataloader__batch_size=10 // processes, launcher=launcher, **options
        )
        runner.train()
        return runner.test()

    expected = run('one', 1)
    for metrics in in_two_processes(lambda: run('two', 2), tmp_path):
        assert metrics == expected
    compare([tmp_path / 'one', tmp_path / 'two'], 'epoch_4.pth', ['loss', 'accuracy', 'plan_entropy'])


def test_denseclip(tmp_path):
    """With frozen statistics of batch norms, and without dropout; three test images.  Also with the trunk, decoders and
    context shared out over the processes.
    """
    world = make_world(tmp_path / 'world', 'segmentation', 4, 3)
    config = ROOT / 'configs/denseclip/denseclip_micro-rn_fpn_200i_scenes-160x160.py'

    def run(name, processes):
        options = {
            'train_dataloader.batch_size': 4 // processes,
            'train_dataloader.num_workers': 0,
            'train_cfg.max_iters': 3,
            'train_cfg.val_interval': 3,
            'model.backbone.matching.context_decoder.dropout': 0.0,
            'model.decode_head.dropout_ratio': 0.0,
            'optim_wrapper.optimizer': dict(type='SGD', lr=0.01, weight_decay=0.0, _delete_=True),
            'custom_hooks': [dict(type='vlprompt.FrozenNormsHook')],
            'default_hooks.logger.interval': 1,
            'log_processor.window_size': 1,
            'visualizer.name': name,
            'default_hooks.checkpoint.interval': 3,
        }
        cfg = narrow_config(config, world, **options)
        cfg.work_dir, cfg.experiment_name, cfg.log_level = str(tmp_path / name), name, 'WARNING'
        cfg.launcher = 'none' if processes == 1 else 'pytorch'
        cfg.strategy = 'fsdp' if name == 'shared' else 'ddp'
        runner = runs.build_runner(cfg)
        runner.train()
        return runner.test()

    expected = run('one', 1)
    for both in in_two_processes(lambda: [run('two', 2), run('shared', 2)], tmp_path):
        assert both == [pytest.approx(expected, abs=0.02)] * 2
    for name in ('two', 'shared'):
        compare([tmp_path / 'one', tmp_path / name], 'iter_3.pth', ['loss'])


def test_numbers_of_the_log(tmp_path):
    def member():
        rank = dist.get_rank()
        own = dict(only_here=7.0) if rank else {}
        return mean_of_processes(dict(loss=1.0 + rank, epoch=3, text=f'of {rank}') | own)

    first, second = in_two_processes(member, tmp_path)
    assert first == dict(loss=1.5, epoch=3, text='of 0')
    assert second == dict(loss=1.5, epoch=3, text='of 1', only_here=7.0)
