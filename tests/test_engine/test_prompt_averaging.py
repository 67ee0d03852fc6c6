"""The Gaussian mean of prompts over epochs: what it is, that a resumed run ends with the same, and refusals."""

import pytest
import torch

from tests.interruption import Interrupted, InterruptingHook
from tests.tiny_project import TinyProject
from vlprompt.engine.checkpoint import read_checkpoint
from vlprompt.engine.hooks.prompt_averaging import gaussian_weights
from vlprompt.errors import CheckpointError, ConfigError

HOOK = dict(custom_hooks=[dict(type='vlprompt.GaussianAveragingHook', mean=3, std=1)])


@pytest.fixture(scope='module')
def project(tmp_path_factory):
    return TinyProject.create(tmp_path_factory.mktemp('averaged'))


def context(work_dir, epoch):
    return read_checkpoint(work_dir / f'epoch_{epoch}.pth')['state_dict']['prompt.context']


@pytest.fixture(scope='module')
def finished(project, tmp_path_factory):
    """Work directories of the same four epochs without and with the mean, all checkpoints kept."""
    folders = [tmp_path_factory.mktemp(name) for name in ('plain', 'averaged')]
    for folder, options in zip(folders, ({}, HOOK), strict=True):
        project.run(folder, default_hooks__checkpoint__max_keep_ckpts=-1, **options).train()
    return folders


def test_the_last_checkpoint_is_the_mean(finished):
    plain, averaged = finished
    weights = gaussian_weights(4, 3, 1)
    assert sum(weights) == pytest.approx(1)
    assert weights[2] == max(weights)
    assert weights[1] == pytest.approx(weights[3])
    for epoch in (1, 2, 3):
        assert torch.equal(context(averaged, epoch), context(plain, epoch))
    mean = sum(weight * context(plain, epoch) for epoch, weight in enumerate(weights, 1))
    torch.testing.assert_close(context(averaged, 4), mean)
    assert not torch.allclose(context(averaged, 4), context(plain, 4))


def test_a_resumed_run_ends_with_the_same_mean(finished, project, tmp_path):
    first = project.run(tmp_path, **HOOK)
    first.register_hook(InterruptingHook(epoch=2))
    with pytest.raises(Interrupted):
        first.train()
    project.run(tmp_path, resume=True, **HOOK).train()
    assert torch.equal(context(tmp_path, 4), context(finished[1], 4))


def test_a_mean_goes_on_with_the_weights_that_it_began_with(project, tmp_path):
    first = project.run(tmp_path, **HOOK)
    first.register_hook(InterruptingHook(epoch=2))
    with pytest.raises(Interrupted):
        first.train()
    other = dict(custom_hooks=[dict(HOOK['custom_hooks'][0], mean=1)])
    with pytest.raises(CheckpointError, match=r"'mean': 3, .*cannot go on with .*'mean': 1"):
        project.run(tmp_path, resume=True, **other).train()


def test_a_run_that_has_no_mean_of_its_first_epochs(project, tmp_path):
    project.run(tmp_path, train_cfg__max_epochs=1).train()
    with pytest.raises(CheckpointError, match='was begun without a mean'):
        project.run(tmp_path, resume=True, **HOOK).train()


def test_width_of_nothing(project, tmp_path):
    with pytest.raises(ConfigError, match='std=0 must be above 0'):
        project.run(tmp_path, custom_hooks=[dict(HOOK['custom_hooks'][0], std=0)])
    assert gaussian_weights(3, 200, 1)[2] == pytest.approx(1), 'a mean far beyond the training'
