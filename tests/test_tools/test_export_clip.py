"""Tuned towers as plain weights and as adapters of peft, and back, by the tools."""

import pytest
import torch

from tests.conftest import MICRO, run_tool
from tools.model_converters import export_clip, import_adapter
from vlprompt.apis import init_model
from vlprompt.clip import build_clip
from vlprompt.clip.low_rank import branches
from vlprompt.clip.weights import to_openai_names
from vlprompt.engine.checkpoint import describe_model, read_checkpoint, trained_state
from vlprompt.engine.config_files import CONFIGS
from vlprompt.engine.writing import write_checkpoint
from vlprompt.errors import CheckpointError

CONFIG = """
_base_ = '{configs}/{method}.py'
clip = dict(_delete_=True, arch={arch}, weights='{root}/base.pt', quick_gelu=True{lora})
model = dict(clip=clip, class_names=['okapi', 'face'])
"""


@pytest.fixture
def tuned(tmp_path):
    """``tuned(method, lora)``: a config on micro towers, and a checkpoint of its model with random learned tensors."""
    torch.manual_seed(0)
    torch.save(to_openai_names(build_clip(arch=MICRO['vit']).state_dict()), tmp_path / 'base.pt')

    def _tuned(method, lora=''):
        config = tmp_path / 'config.py'
        config.write_text(CONFIG.format(configs=CONFIGS, method=method, arch=MICRO['vit'], root=tmp_path, lora=lora))
        model = init_model(config)
        with torch.no_grad():
            for parameter in model.parameters():
                if parameter.requires_grad:
                    parameter.add_(0.1 * torch.randn_like(parameter))
        content = dict(meta=dict(vlprompt=describe_model(model)), state_dict=trained_state(model))
        write_checkpoint(content, tmp_path / 'trained.pth')
        return config, tmp_path / 'trained.pth', model.eval()

    return _tuned


def logits_of(model):
    with torch.no_grad():
        return model(torch.linspace(-1, 1, 3 * 64 * 64).view(1, 3, 64, 64), mode='tensor')


@pytest.mark.parametrize('suffix', ['safetensors', 'pt'])
@pytest.mark.parametrize(
    ('method', 'lora'),
    [('clip_lora/clip-lora_vit-b16', ", lora=dict(targets=['q', 'fc'])"), ('two_stage/norms_vit-b16', '')],
)
def test_plain_weights(tuned, tmp_path, method, lora, suffix):
    config, checkpoint, model = tuned(method, lora)
    shown = run_tool(export_clip.main, config, checkpoint, tmp_path / f'plain.{suffix}')
    assert f'model.clip.weights={tmp_path / f"plain.{suffix}"}' in shown
    options = {'model.clip.weights': str(tmp_path / f'plain.{suffix}'), 'model.clip.lora': None, 'model.trainable': []}
    plain = init_model(config, cfg_options=options)
    assert not list(branches(plain.clip))
    torch.testing.assert_close(logits_of(plain), logits_of(model), atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize('layout', ['open_clip', 'transformers'])
def test_adapter_and_back(tuned, tmp_path, layout):
    config, checkpoint, model = tuned('clip_lora/clip-lora_vit-b16', ', lora=dict(rank=3)')
    run_tool(export_clip.main, config, checkpoint, tmp_path / 'adapter', '--peft', layout)
    run_tool(import_adapter.main, config, tmp_path / 'adapter', tmp_path / 'back.pth')
    assert set(read_checkpoint(tmp_path / 'back.pth')['state_dict']) == set(trained_state(model))
    again = init_model(config, tmp_path / 'back.pth')
    torch.testing.assert_close(logits_of(again), logits_of(model), atol=1e-4, rtol=1e-4)
    run_tool(export_clip.main, config, tmp_path / 'adapter', tmp_path / 'plain.pt')
    plain = build_clip(arch=MICRO['vit'], weights=tmp_path / 'plain.pt', quick_gelu=True)
    images = torch.ones(1, 3, 64, 64)
    with torch.no_grad():
        torch.testing.assert_close(plain.visual(images).cls, model.clip.visual(images).cls, atol=1e-4, rtol=1e-4)


def test_towers_that_were_not_tuned(tuned, tmp_path):
    config, checkpoint, _ = tuned('coop/coop_vit-b16')
    with pytest.raises(CheckpointError, match=r'nothing in the towers was trained, only prompt\.context'):
        export_clip.main([str(config), str(checkpoint), str(tmp_path / 'plain.pt')])
