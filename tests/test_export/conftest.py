"""Models on micro towers with random weights, as tools/export.py is given them."""

import pytest
import torch

from tests.conftest import MICRO
from tests.test_tools.dense import NARROW_MODEL
from vlprompt.apis import init_model
from vlprompt.clip import build_clip
from vlprompt.clip.weights import to_openai_names
from vlprompt.engine import load_config

NAMES = ['okapi', 'face', 'tower']
DENSE = NARROW_MODEL | {'model.class_names': NAMES}
WORDS = {'model.threshold': 0, 'model.background': None, 'model.words': None, 'model.refine': None}
"""Segmentation by words without steps that are not part of a graph."""


@pytest.fixture
def build(tmp_path):
    """``build(config, tower, options)``: the model of a shipped config on micro towers."""

    def _build(config, tower='vit', **options):
        torch.manual_seed(0)
        if tower == 'dense':
            own = dict(DENSE)
        else:
            weights = tmp_path / f'{tower}.pt'
            torch.save(to_openai_names(build_clip(arch=MICRO[tower]).state_dict()), weights)
            clip = dict(arch=MICRO[tower], weights=str(weights), quick_gelu=True, _delete_=True)
            if 'naclip' in config:
                clip['vision'] = dict(local='naclip')
            own = {'model.clip': clip}
            if 'reid' in config:
                phase = 'phases.finetune.' if 'phases' in load_config(config) else ''
                own[f'{phase}model.num_ids'] = 3
            else:
                own |= {'model.class_names': NAMES}
                if 'image_size' in load_config(config):
                    own['image_size'] = 64
        model = init_model(config, cfg_options=own | options)
        with torch.no_grad():  # random prompts, norms and heads, so that they count
            for parameter in model.parameters():
                if parameter.requires_grad:
                    parameter.add_(0.02 * torch.randn_like(parameter))
        return model.eval()

    return _build


def noise(batch, height=64, width=64):
    """Images (B, 3, H, W) with places that differ."""
    return torch.nn.functional.interpolate(torch.randn(batch, 3, height // 8, width // 8), (height, width))
