"""Building a model from Python: config, options, checkpoint."""

import pytest
import torch

from tests.conftest import ROOT
from vlprompt.apis import init_model
from vlprompt.engine.checkpoint import describe_model, trained_state
from vlprompt.engine.writing import write_checkpoint
from vlprompt.errors import CheckpointError, ConfigError

CONFIG = ROOT / 'configs/plot/plot_rn50.py'
NAMES = ['face', 'okapi']


@pytest.fixture
def options(micro_rn):
    return {'model.clip': dict(_delete_=True, arch=micro_rn), 'model.class_names': NAMES}


def test_without_a_checkpoint(options):
    model = init_model(CONFIG, cfg_options=options)
    assert not model.training
    assert model.class_names == tuple(NAMES)
    assert model.cfg.model.prompt.n_prompts == 4
    with torch.no_grad():
        assert model(torch.zeros(1, 3, 64, 64), mode='tensor').shape == (1, 2)


def test_a_checkpoint_restores_what_was_trained(options, tmp_path):
    trained = init_model(CONFIG, cfg_options=options)
    content = dict(meta=dict(vlprompt=describe_model(trained)), state_dict=trained_state(trained))
    write_checkpoint(content, tmp_path / 'epoch_1.pth')
    loaded = init_model(CONFIG, tmp_path / 'epoch_1.pth', options)
    images = torch.randn(1, 3, 64, 64)
    with torch.no_grad():
        torch.testing.assert_close(loaded(images), trained(images), atol=0, rtol=0)


@pytest.mark.parametrize('device', ['cuda:99', 'foo', 'cpu:x'])
def test_devices_that_are_not_there_are_named(options, device):
    with pytest.raises(ConfigError, match=rf"^device '{device}' cannot be used \(.+\): give cpu \(--device cpu\)$"):
        init_model(CONFIG, cfg_options=options, device=device)


def test_mistakes_are_named(options, tmp_path):
    with pytest.raises(ConfigError, match='n_ctx'):
        init_model(CONFIG, cfg_options=options | {'model.prompt.nctx': 4})
    with pytest.raises(FileNotFoundError, match=r'missing\.pth'):
        init_model(CONFIG, tmp_path / 'missing.pth', options)
    wrong = dict(meta=dict(vlprompt={}), state_dict={'prompt.contxt': torch.zeros(1)})
    write_checkpoint(wrong, tmp_path / 'wrong.pth')
    with pytest.raises(CheckpointError, match=r'Did you mean .*prompt\.context'):
        init_model(CONFIG, tmp_path / 'wrong.pth', options)


def test_class_names_for_a_head_that_follows_the_data():
    with pytest.raises(ConfigError, match=r'class_names: .*MaskRCNN has a head for the classes of its data'):
        init_model('denseclip_det/mask-rcnn_r50_fpn_1x_coco', class_names=['cat', 'dog'])
