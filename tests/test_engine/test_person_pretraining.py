"""Re-identification from a ViT pre-trained on persons: a checkpoint of DINO's code, trained and tested on toy data."""

from argparse import Namespace

import pytest
import torch
from timm.models.vision_transformer import VisionTransformer

from tests.conftest import ROOT, leave_unformatted
from tests.toy_people import write_people
from vlprompt.apis import init_model, runs
from vlprompt.engine import PromptRunner, load_config
from vlprompt.engine.checkpoint import read_checkpoint

SHIPPED = ROOT / 'configs/clipreid/baseline_person-vit-b16.py'
SHAPE = dict(width=32, layers=2, heads=2, patch_size=16)


@pytest.fixture(scope='module')
def project(tmp_path_factory):
    """Three training and two test identities of one colour each, and a teacher of 64 x 32 pixels in its checkpoint."""
    root = tmp_path_factory.mktemp('person')
    write_people(root / 'data', 4)
    torch.manual_seed(0)
    vit = VisionTransformer(img_size=(64, 32), patch_size=16, embed_dim=32, depth=2, num_heads=2, num_classes=0)
    teacher = {f'module.backbone.{name}': value for name, value in vit.state_dict().items()}
    teacher |= {'module.head.last_layer.weight': torch.ones(4, 32)}
    torch.save(dict(student={}, teacher=teacher, epoch=100, args=Namespace(arch='vit')), root / 'person.pth')
    return root


def config(project, work_dir, **options):
    changes = {
        'dataset': 'folder',
        'data_root': str(project / 'data'),
        'image_size': (96, 48),
        'model.timm.arch': dict(SHAPE, image_size=(64, 32), _delete_=True),
        'model.timm.weights': str(project / 'person.pth'),
        'train_dataloader.batch_size': 4,
        'train_dataloader.sampler': dict(batch_size=4, instances=2),
        'train_dataloader.num_workers': 0,
        'test_dataloader.num_workers': 0,
        'test_dataloader.persistent_workers': False,
        'train_dataloader.persistent_workers': False,
        'train_cfg.max_epochs': 2,
        'param_scheduler': [dict(type='vlprompt.LinearWarmupCosineLR', T_max=2, warmup=1)],
    }
    cfg = load_config(SHIPPED, changes | options)
    cfg.work_dir, cfg.log_level = str(work_dir), 'WARNING'
    leave_unformatted(cfg)
    return cfg


def test_trains_and_tests(project, tmp_path):
    runner = PromptRunner.from_cfg(config(project, tmp_path))
    before = runner.model.visual.positional_embedding.detach().clone()
    assert before.shape == (1 + 6 * 3, 32), 'a grid of 4 x 2 resized to 6 x 3'
    runner.train()
    assert not torch.equal(runner.model.visual.positional_embedding, before)
    assert 0 < runs.run_test(runner, tmp_path)['reid/mAP'] <= 100
    saved = read_checkpoint(tmp_path / 'epoch_2.pth')
    assert not [name for name in saved['state_dict'] if name.startswith('head_proj')]
    model = init_model(config(project, tmp_path), tmp_path / 'epoch_2.pth', {'model.timm.weights': None})
    assert torch.equal(model.visual.positional_embedding, runner.model.visual.positional_embedding)


def test_missing_weights_are_named(project, tmp_path):
    with pytest.raises(FileNotFoundError, match=r'no weight file at weights/gone\.pth'):
        PromptRunner.from_cfg(config(project, tmp_path, **{'model.timm.weights': 'weights/gone.pth'}))
