"""CLIP-ReID's official checkpoints: fabricated from our models under their names, converted, loaded, compared."""

import subprocess
import sys

import pytest
import torch

from tests.conftest import MICRO, ROOT
from vlprompt.apis import init_model
from vlprompt.clip import build_clip
from vlprompt.clip.text.tokenizer import tokenize
from vlprompt.compat.official import convert, describe
from vlprompt.errors import CheckpointError
from vlprompt.models.reid import IdentityPromptLearner, ReIdentifier

CONFIGS = ROOT / 'configs/clipreid'
NAMES = (
    ('head.classifier.', 'classifier.'),
    ('head_proj.classifier.', 'classifier_proj.'),
    ('head.norm.', 'bottleneck.'),
    ('head_proj.norm.', 'bottleneck_proj.'),
    ('sie.embedding', 'cv_embed'),
    ('visual.', 'image_encoder.'),
)


def official(model, learner=None):
    """A state dict in the official naming."""
    state = {}
    for name, value in model.state_dict().items():
        for ours, theirs in NAMES:
            if name.startswith(ours):
                state[name.replace(ours, theirs, 1)] = value
    if learner is not None:
        clip, ids = learner.clip, tokenize('A photo of a X X X X person.')
        embedded = clip.text.token_embedding(ids).detach()
        state['prompt_learner.cls_ctx'] = learner.prompt.context.detach()
        state['prompt_learner.token_prefix'] = embedded[:, :5]
        state['prompt_learner.token_suffix'] = embedded[:, 9:]
        text = {k: v for k, v in clip.text.state_dict().items() if not k.startswith('token_embedding')}
        state |= {f'text_encoder.{k}': v for k, v in text.items()}
    return state


def build(kind, size=(256, 128), **options):
    vision = dict(interpolation='bilinear', **(dict(last_stride=1) if kind == 'rn' else {}))
    vision |= options.pop('vision', {})
    clip = dict(arch=dict(MICRO[kind], transformer_width=64, transformer_heads=1), image_size=size, vision=vision)
    torch.manual_seed(0)
    model = ReIdentifier(clip, num_ids=5, **options).eval()
    torch.nn.init.normal_(model.head.norm.running_mean)
    return clip, model, IdentityPromptLearner(clip, num_ids=5, noun='person')


def test_round_trip_through_the_tool(tmp_path):
    clip, model, learner = build('vit', vision=dict(patch_stride=12), num_cameras=6, sie=dict(camera=True))
    torch.save({f'module.{k}': v for k, v in official(model, learner).items()}, tmp_path / 'src.pth')
    tool = [sys.executable, ROOT / 'tools/model_converters/official.py', 'clip-reid', tmp_path / 'src.pth']
    printed = subprocess.run([*tool, tmp_path / 'dst.pth'], check=True, capture_output=True, text=True).stdout
    assert "data_arguments: {'num_ids': 5, 'num_cameras': 6, 'num_views': 1}" in printed
    assert "geometry: {'grid': [21, 10], 'stride': 12}" in printed
    options = {'model.clip.arch': dict(clip['arch'], _delete_=True), 'model.clip.weights': None}
    loaded = init_model(CONFIGS / 'clipreid_vit-b16_sie-olp.py', tmp_path / 'dst.pth', options)
    for name, value in model.state_dict().items():
        if name != 'prototypes':
            assert torch.equal(loaded.state_dict()[name], value), name
    torch.testing.assert_close(loaded.prototypes, learner.text_prototypes())
    plain = CONFIGS / 'clipreid_vit-b16.py'
    with pytest.raises(CheckpointError, match=r'grid of \[21, 10\] patches with stride 12, the model one of \[16, 8\]'):
        init_model(plain, tmp_path / 'dst.pth', options)


def test_resnet_baseline():
    _, model, _ = build('rn', weights=dict(i2t=0))
    state = official(model) | {'cv_embed': torch.zeros(6, 2048)}  # never used, and left out
    converted = convert('clip-reid', state)
    assert set(converted) == set(model.state_dict())
    assert describe('clip-reid', state)['geometry'] == model.geometry == dict(grid=[16, 8], stride=16)


def test_prompts():
    clip, model, learner = build('vit')
    converted = convert('clip-reid-prompts', official(model, learner))
    other = IdentityPromptLearner(clip, num_ids=5, noun='vehicle')  # the word comes from the checkpoint
    other.clip.text.token_embedding.weight.data.zero_()
    missing = other.load_state_dict(converted, strict=False)
    assert not missing.unexpected_keys
    torch.testing.assert_close(other.text_prototypes(), learner.text_prototypes())
    torch.testing.assert_close(converted['prototypes'], learner.text_prototypes())


@pytest.mark.parametrize(
    ('size', 'stride', 'grid'),
    [((256, 128), 16, [16, 8]), ((256, 128), 12, [21, 10]), ((256, 256), 16, [16, 16]), ((256, 256), 12, [21, 21])],
)
def test_geometry_from_shapes(size, stride, grid):
    visual = build_clip(MICRO['vit'], image_size=size, vision=dict(patch_stride=stride)).visual
    state = {f'image_encoder.{k}': v for k, v in visual.state_dict().items()}
    state |= {'classifier.weight': torch.zeros(576, 4), 'cv_embed': torch.zeros(160, 4)}
    assert describe('clip-reid', state) == dict(
        data_arguments=dict(num_ids=576, num_cameras=20, num_views=8), geometry=dict(grid=grid, stride=stride)
    )


def test_not_a_checkpoint_of_clip_reid():
    with pytest.raises(KeyError, match=r'no classifier\.weight, .*; it holds ctx'):
        convert('clip-reid', {'ctx': torch.zeros(1)})
