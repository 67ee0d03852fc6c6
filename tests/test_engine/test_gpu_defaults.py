"""What a run sets on a machine with a GPU, without one."""

import pytest
import torch
from mmengine.logging import MMLogger
from mmengine.model import BaseDataPreprocessor
from torch import nn
from torch.utils.data import SequentialSampler

from vlprompt.apis import init_model
from vlprompt.clip import CLIP
from vlprompt.engine import PromptRunner, load_config
from vlprompt.engine.build import copy_without_waiting, order_channels_last, wants_channels_last
from vlprompt.engine.checkpoint import read_checkpoint
from vlprompt.errors import ConfigError
from vlprompt.precision import allow_tf32, uses_tf32


@pytest.fixture(params=[True, False], ids=['gpu', 'cpu'])
def gpu(request, monkeypatch):
    """Whether there is one, as far as torch says."""
    precision, convolutions = torch.get_float32_matmul_precision(), torch.backends.cudnn.allow_tf32
    MMLogger.get_current_instance()  # one that is built now asks for the number of the GPU
    monkeypatch.setattr(torch.cuda, 'is_available', lambda: request.param)
    yield request.param
    torch.set_float32_matmul_precision(precision)
    torch.backends.cudnn.allow_tf32 = convolutions


def loader(**options):
    data = [1, 2, 3]
    return PromptRunner.build_dataloader(dict(dataset=data, sampler=SequentialSampler(data), batch_size=1, **options))


def test_loaders_pin_memory_and_keep_their_workers(gpu):
    built = loader(num_workers=2)
    assert (built.pin_memory, built.persistent_workers) == (gpu, gpu)
    alone = loader(num_workers=0)
    assert (alone.pin_memory, alone.persistent_workers) == (gpu, False)
    own = loader(num_workers=2, pin_memory=False, persistent_workers=False)
    assert (own.pin_memory, own.persistent_workers) == (False, False)


def test_float32_products_are_tf32_unless_switched_off(gpu):
    torch.set_float32_matmul_precision('highest')
    torch.backends.cudnn.allow_tf32 = False
    allow_tf32(True)
    assert uses_tf32() == torch.backends.cudnn.allow_tf32 == gpu
    assert torch.get_float32_matmul_precision() == ('high' if gpu else 'highest')
    allow_tf32(False)
    assert not uses_tf32()
    assert not torch.backends.cudnn.allow_tf32
    assert torch.get_float32_matmul_precision() == 'highest'


def test_a_run_follows_its_config(project, work_dir, monkeypatch):
    given = []
    monkeypatch.setattr('vlprompt.engine.runner.allow_tf32', given.append)
    project.run(work_dir)
    project.run(work_dir, env_cfg__tf32=False)
    assert given == [True, False]
    for options in ({'env_cfg.tf32': 'yes'}, {'env_cfg.tf23': True}):
        with pytest.raises(ConfigError, match=r'tf32'):
            PromptRunner.from_cfg(load_config(project.config, options))


def test_batches_are_copied_without_waiting_unless_the_config_says_otherwise(project, work_dir):
    class Model(nn.Module):
        def __init__(self):
            super().__init__()
            self.data_preprocessor = BaseDataPreprocessor()

    foreign = dict(data_preprocessor=dict(type='SegDataPreProcessor'))
    assert copy_without_waiting(Model(), foreign).data_preprocessor._non_blocking
    own = dict(data_preprocessor=dict(type='DetDataPreprocessor', non_blocking=False))
    assert not copy_without_waiting(Model(), own).data_preprocessor._non_blocking
    assert isinstance(copy_without_waiting(nn.Linear(1, 1), {}), nn.Linear)
    assert project.run(work_dir).model.data_preprocessor._non_blocking


def test_convolutions_have_their_channels_last_on_a_gpu(project, work_dir, monkeypatch):
    ordered = []
    monkeypatch.setattr('vlprompt.engine.runner.order_channels_last', ordered.append)
    project.run(work_dir)
    monkeypatch.setattr('vlprompt.engine.runner.cpu_only', lambda: False)
    project.run(work_dir, env_cfg__channels_last=False)
    assert not ordered
    assert project.run(work_dir).model is ordered[0]


def test_so_have_those_of_models_for_predictions(project):
    assert wants_channels_last({}, on_gpu=True)
    assert not wants_channels_last(dict(env_cfg=dict(channels_last=False)), on_gpu=True)
    for options, last in (({}, False), ({'env_cfg.channels_last': True}, True)):
        weight = init_model(project.config, cfg_options=options).clip.visual.conv2.weight
        assert weight.is_contiguous(memory_format=torch.channels_last) == last


def test_no_activation_is_reordered_between_convolutions(tmp_path):
    """And neither features nor a file of the weights differ."""
    tower = CLIP('micro-rn').visual.eval()
    images, layouts = torch.rand(2, 3, 64, 64), []
    expected = tower(images)
    state = {key: value.clone() for key, value in tower.state_dict().items()}
    for module in order_channels_last(tower).modules():
        if isinstance(module, nn.Conv2d):
            module.register_forward_pre_hook(
                lambda module, args: layouts.append(args[0].is_contiguous(memory_format=torch.channels_last))
            )
    found = tower(images)
    assert layouts[1:] == [True] * (len(layouts) - 1)
    torch.testing.assert_close(found.cls, expected.cls, rtol=1e-4, atol=1e-6)
    torch.testing.assert_close(found.maps, expected.maps, rtol=1e-4, atol=1e-5)
    torch.save(dict(state_dict=tower.state_dict()), tmp_path / 'tower.pth')
    torch.testing.assert_close(dict(read_checkpoint(str(tmp_path / 'tower.pth'))['state_dict']), state, rtol=0, atol=0)
