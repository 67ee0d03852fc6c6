"""PCL-CLIP through its shipped config on toy data: the memory of every epoch, resuming, refusals."""

import numpy as np
import pytest
import torch

from tests.conftest import MICRO, ROOT, leave_unformatted
from tests.interruption import Interrupted
from tests.toy_people import write_people
from vlprompt.engine import PromptRunner, load_config
from vlprompt.engine.checkpoint import read_checkpoint
from vlprompt.engine.hooks import CentroidMemoryHook
from vlprompt.errors import ConfigError
from vlprompt.models.losses.centroids import CentroidMemory

SHIPPED = ROOT / 'configs/clipreid/pcl_micro-vit.py'
IMAGES = 18


@pytest.fixture(scope='module')
def data(tmp_path_factory):
    """Three training and two test identities of one colour each, seen by two cameras."""
    return write_people(tmp_path_factory.mktemp('reid'), IMAGES // 3)


def config(data, work_dir, **options):
    changes = {
        'model.clip.arch': dict(MICRO['vit'], transformer_layers=1, _delete_=True),
        'model.clip.weights': None,
        'image_size': (64, 32),
        'train_dataloader.batch_size': 4,
        'train_dataloader.sampler': dict(batch_size=4, instances=2, batches=3),
        'train_cfg.max_epochs': 2,
    }
    cfg = load_config(SHIPPED, dict(dataset='folder', data_root=str(data)) | changes | options)
    cfg.work_dir, cfg.log_level = str(work_dir), 'WARNING'
    leave_unformatted(cfg)
    return cfg


def train(cfg):
    runner = PromptRunner.from_cfg(cfg)
    runner.train()
    return runner


@pytest.fixture(scope='module')
def trained(data, tmp_path_factory):
    return train(config(data, tmp_path_factory.mktemp('whole')))


def test_every_epoch_begins_with_features_of_all_images(data, tmp_path, monkeypatch):
    seen = []

    def fill(memory, features, labels):
        seen.append((features, labels))
        original(memory, features, labels)

    original = CentroidMemory.fill
    monkeypatch.setattr(CentroidMemory, 'fill', fill)
    runner = train(config(data, tmp_path))
    assert [(features.shape, labels.tolist()) for features, labels in seen] == [
        ((IMAGES, 88), np.repeat([0, 1, 2], IMAGES // 3).tolist())
    ] * 2
    assert not torch.equal(seen[0][0], seen[1][0]), 'by the model of that epoch'
    assert runner.iter == 6
    model = runner.model.eval()
    images = runner._train_loop.dataloader.dataset
    assert len(images) == IMAGES
    assert (model.centroids.centroids.norm(dim=1) - 1).abs().max() < 1e-5


@pytest.mark.parametrize('iteration', [1, 4])
def test_an_interrupted_epoch_goes_on_with_its_centroids(data, trained, tmp_path, iteration):
    broken = config(data, tmp_path)
    broken.custom_hooks.append(dict(type='vlprompt.InterruptingHook', iteration=iteration))
    broken.default_hooks.checkpoint.interval = 1
    with pytest.raises(Interrupted):
        train(broken)
    train(config(data, tmp_path, resume=True))
    whole, resumed = (read_checkpoint(f'{path}/epoch_2.pth')['state_dict'] for path in (trained.work_dir, tmp_path))
    assert 'centroids.centroids' in whole
    assert all(torch.equal(whole[name], resumed[name]) for name in whole)


def test_a_trained_model_is_tested(data, trained):
    metrics = trained.test()
    assert 0 <= metrics['reid/mAP'] <= 100


def test_refusals(data, tmp_path):
    with pytest.raises(ConfigError, match='ReIdentifier has no centroids: set model'):
        train(config(data, tmp_path, **{'model.centroids': None, 'model.weights.centroid': 0.0}))
    with pytest.raises(ValueError, match='memory of centroids is empty'):
        train(config(data, tmp_path, custom_hooks=[]))


def test_several_processes_need_one_memory(trained, monkeypatch):
    monkeypatch.setattr(trained, '_world_size', 2)
    with pytest.raises(ConfigError, match=r'each have a memory of centroids of their own: set model\.gather=True'):
        CentroidMemoryHook().before_train(trained)
