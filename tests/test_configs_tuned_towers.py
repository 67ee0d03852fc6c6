"""Configs of tuned towers: published counts of parameters, recipes of every row, and the micro models build."""

import pytest
import torch

from tests.conftest import MICRO
from vlprompt.apis import init_model
from vlprompt.clip import build_clip
from vlprompt.engine import list_configs, load_config
from vlprompt.engine.phases import phase_config
from vlprompt.models.freezing import select_trainable

METHODS = [name for name in list_configs() if name.split('/')[0] in ('clip_lora', 'two_stage')]
RUNS = [(name, phase) for name in METHODS for phase in (load_config(name).get('phases') or (None,))]
SHOTS = (1, 2, 4, 8, 16)
STEPS = {
    ('clip_lora/clip-lora_vit-b16', None): 500,
    ('two_stage/2sfs_vit-b16', 'norms'): 180,
    ('two_stage/2sfs_vit-b16', 'classifier'): 120,
    ('two_stage/2sfs_vit-b16_official', 'norms'): 180,
    ('two_stage/2sfs_vit-b16_official', 'classifier'): 120,
    ('two_stage/norms_vit-b16', None): 300,
    ('two_stage/biases_vit-b16', None): 300,
}
"""Steps a shot, by config and phase."""
COUNTS = {
    'two_stage/2sfs_vit-b16': 65_536,
    'two_stage/2sfs_vit-b16_official': 61_440,
    'two_stage/norms_vit-b16': 65_536,
    'two_stage/biases_vit-b16': 171_008,
}


class Model(torch.nn.Module):
    """A CLIP where models keep it, without memory for its weights."""

    def __init__(self, lora=None):
        super().__init__()
        with torch.device('meta'):
            self.clip = build_clip(arch='ViT-B/16', lora=lora)


def count(patterns, lora=None):
    model = Model(lora)
    select_trainable(model, patterns)
    return sum(p.numel() for p in model.parameters() if p.requires_grad)


@pytest.mark.parametrize(
    ('pattern', 'numbers'),
    [
        ('clip.*.ln_*', 65_536),
        ('clip.*.ln_[12].*', 61_440),
        ('clip.*bias', 171_008),
        ('clip.*.bias', 124_928),
        ('clip.*.in_proj_bias', 46_080),
    ],
)
def test_published_counts(pattern, numbers):
    """Layer norms, and BitFit: complete, and as released, without outer norms or without the packed bias."""
    assert count([pattern]) == numbers


def test_published_counts_of_the_configs():
    lora = load_config('clip_lora/clip-lora_vit-b16').model
    assert count(lora.trainable, lora.clip.lora) == 184_320
    for name, expected in COUNTS.items():
        cfg = load_config(name)
        first = phase_config(cfg, next(iter(cfg.get('phases') or {}), None))
        assert count(first.model.trainable) == expected
        if cfg.get('phases'):
            last = phase_config(cfg, 'classifier')
            assert last.model.trained_before == last.start_from['keys'] == first.model.trainable


@pytest.mark.parametrize(('name', 'phase'), RUNS)
def test_builds_and_classifies(name, phase):
    """On a micro tower, two class names."""
    cfg = load_config(name)
    clip = dict(_delete_=True, arch=MICRO['vit'], lora=cfg.model.clip.get('lora'))
    options = {'model.clip': clip, 'model.class_names': ['okapi', 'gerenuk']}
    model = init_model(name, cfg_options=options, phase=phase)
    with torch.no_grad():
        assert model(torch.zeros(1, 3, 64, 64), mode='tensor').shape == (1, 2)
    trained = sum(p.numel() for p in model.parameters() if p.requires_grad)
    vision, text, layers = MICRO['vit']['vision_width'], MICRO['vit']['transformer_width'], 2
    if phase == 'classifier':
        assert trained == 2 * MICRO['vit']['embed_dim']
    elif 'lora' in name:
        assert trained == 6 * 2 * (vision + text) * layers
    elif 'biases' in name:
        assert trained == 11 * (vision + text) * layers + 2 * vision + text
    else:
        outer = 0 if 'official' in name else 4 * vision + 2 * text
        assert trained == 4 * (vision + text) * layers + outer


@pytest.mark.parametrize('shots', SHOTS)
@pytest.mark.parametrize(('name', 'phase'), STEPS)
def test_every_published_row_is_one_command_and_holds_its_recipe(name, phase, shots):
    """Steps by shots; one template and one batch size for all datasets."""
    for dataset in ('imagenet', 'dtd', 'eurosat'):
        cfg = phase_config(load_config(name, dict(dataset=dataset, shots=shots)), phase)
        steps = STEPS[name, phase] * shots
        assert cfg.train_cfg == dict(type='vlprompt.StepTrainLoop', max_iters=steps)
        assert cfg.train_dataloader.dataset.shots == shots
        assert cfg.train_dataloader.batch_size == 32
        assert cfg.model.prompt.templates == 'a photo of a {}.'
        optimizer = cfg.optim_wrapper.optimizer
        assert (optimizer.type, optimizer.lr, optimizer.weight_decay) == ('AdamW', 2e-4, 1e-2)
        (schedule,) = cfg.param_scheduler
        assert (schedule.T_max, schedule.eta_min, schedule.warmup) == (steps, 1e-6, 0)
        assert cfg.train_dataloader.dataset.pipeline[1].scale == (0.08, 1.0)
        assert cfg.model.get('logit_scale') == (100.0 if 'lora' in name else None)


def test_the_published_draws_are_an_option():
    cfg = load_config('clip-lora_vit-b16', dict(draw='clip-lora', dataset='dtd'))
    assert cfg.train_dataloader.dataset.draw == cfg.val_dataloader.dataset.draw == 'clip-lora'
    assert load_config('clip-lora_vit-b16').train_dataloader.dataset.draw == 'coop'
