"""Backends of the log: a mistake or a missing package is one line, before the model is built."""

import sys

import pytest

from vlprompt.errors import ConfigError


@pytest.mark.parametrize('value', [["{'type':'TensorboardVisBackend'}"], 'TensorboardVisBackend', [dict(save_dir='x')]])
def test_what_is_no_list_of_backends(project, work_dir, value):
    with pytest.raises(ConfigError, match=r'vis_backends=.* must be a list .*vis_backends\.0\.type=Tensorboard'):
        project.run(work_dir, visualizer__vis_backends=value)


@pytest.mark.parametrize(
    ('name', 'module', 'remedy'),
    [
        ('TensorboardVisBackend', 'torch.utils.tensorboard', r"pip install 'vlprompt\[vis\]'"),
        ('WandbVisBackend', 'wandb', r'.*pip install wandb'),
    ],
)
def test_a_missing_package(project, work_dir, monkeypatch, name, module, remedy):
    monkeypatch.setitem(sys.modules, module, None)
    monkeypatch.setitem(sys.modules, 'tensorboardX', None)
    with pytest.raises(ConfigError, match=f'{name} cannot start: {remedy}.*, or leave it out'):
        project.run(work_dir, visualizer__vis_backends=[dict(type=name)], model__clip__weights='never read.pt')
