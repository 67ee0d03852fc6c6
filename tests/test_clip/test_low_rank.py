"""LoRA in the towers: where it is, what it computes on every path, merging, errors."""

import pytest
import torch

from tests.conftest import MICRO
from vlprompt.clip import LoraOptions, VisualTokens, add_lora, build_clip, merge_lora, tokenize
from vlprompt.clip.low_rank import AdaptedLinear, branches

TEXTS = ['a photo of a sea lion.', 'a photo of a face.', 'a photo of an okapi in the rain.']
EVERYWHERE = ('q', 'k', 'v', 'out', 'fc', 'proj')


def clip_with(seed: int = 0, **lora):
    torch.manual_seed(seed)
    return build_clip(arch=MICRO['vit'], lora=dict(dropout=0.0) | lora)


@torch.no_grad()
def with_effect(model):
    """The same model with B away from zero."""
    for *_, branch in branches(model):
        branch.B.normal_(std=0.1)
    return model


def features(model, **vision):
    ids = tokenize(TEXTS)
    images = torch.linspace(-1, 1, 2 * 3 * 64 * 64).view(2, 3, 64, 64)
    image = model.encode_image(images, **vision)
    return [image.cls, image.local, *image.maps, model.encode_text(ids), model.encode_text(ids, reference=True)]


def assert_same(ours, theirs, close=True):
    for a, b in zip(ours, theirs, strict=True):
        if close:
            torch.testing.assert_close(a, b, atol=2e-5, rtol=2e-5)
        else:
            assert not torch.allclose(a, b, atol=1e-3)


def test_places_and_counts():
    """6 r d for each attention; other targets are their own layers."""
    with torch.device('meta'):
        model = build_clip(arch='ViT-B/16', lora={})
    lora = {name: p for name, p in model.named_parameters() if '.lora.' in name}
    assert sum(p.numel() for p in lora.values()) == 184_320
    assert lora['visual.transformer.resblocks.11.attn.lora.v.B'].shape == (768, 2)
    assert lora['text.transformer.resblocks.0.attn.lora.q.A'].shape == (2, 512)
    model = clip_with(rank=3, targets=['q', 'fc'], towers=['text'], blocks=[1])
    assert [(tower, target, block) for _, tower, target, block, _ in branches(model)] == [
        ('text', 'q', 1),
        ('text', 'fc', 1),
    ]
    assert model.text.transformer.resblocks[1].mlp.c_fc.lora.B.shape == (128, 3)
    names = [name for name, _ in model.named_parameters() if '.lora.' in name]
    assert names == [f'{name}.{letter}' for name, *_ in branches(model) for letter in 'AB']


@pytest.mark.parametrize(('scaling', 'scale'), [('rank-stabilised', 4 / 3), ('classic', 4 / 9)])
def test_initial_values_and_scale(scaling, scale):
    model = clip_with(rank=9, alpha=4, scaling=scaling)
    for *_, branch in branches(model):
        bound = branch.A.shape[1] ** -0.5
        assert branch.scale == pytest.approx(scale)
        assert not branch.B.any()
        assert bound * 0.8 < branch.A.abs().max() <= bound


@pytest.mark.parametrize('targets', [('q', 'k', 'v'), ('k',), ('q', 'v'), EVERYWHERE, ('out',), ('fc', 'proj')])
@pytest.mark.parametrize('local', ['native', 'maskclip', 'sclip', 'naclip'])
def test_all_paths_equal_the_merged_weights(targets, local):
    """Before training the towers are the plain ones; with an effect they are those with merged weights."""
    vision = dict(local=local)
    torch.manual_seed(0)
    plain = build_clip(arch=MICRO['vit'], vision=vision)
    names = list(plain.state_dict())
    torch.manual_seed(0)
    model = build_clip(arch=MICRO['vit'], vision=vision, lora=dict(targets=targets, dropout=0.0))
    with torch.no_grad():
        assert_same(features(model), features(plain))
        adapted = features(with_effect(model))
        assert_same(adapted[:1] + adapted[-2:], (features(plain)[:1] + features(plain)[-2:]), close=False)
        merge_lora(model)
        assert list(model.state_dict()) == names
        assert model.lora is None
        assert not any(isinstance(module, AdaptedLinear) for module in model.modules())
        assert_same(features(model), adapted)


def test_visual_prompts_attend_through_the_branches():
    model = with_effect(clip_with())
    tokens = torch.randn(2, 64)
    for blocks in ([tokens], [tokens, tokens]):
        prompts = VisualTokens(blocks, after_norm=True)
        with torch.no_grad():
            adapted = features(model, prompts=prompts)[:2]
            merged = with_effect(clip_with())
            merged.load_state_dict(model.state_dict())
            merge_lora(merged)
            assert_same(adapted, features(merged, prompts=prompts)[:2])


def test_gradients_are_those_of_the_merged_weights():
    """dA = s B' dW and dB = s dW A' for the gradient dW of the merged weight: nothing is merged before backward."""
    model = with_effect(clip_with()).double()
    merged = with_effect(clip_with()).double()
    merged.load_state_dict(model.state_dict())
    merge_lora(merged)
    for each in (model, merged):
        sum(f.square().mean() for f in features(each)).backward()
    for name, tower, target, block, branch in branches(model):
        attention = getattr(merged, tower).transformer.resblocks[block].attn
        weight = attention.in_proj_weight.grad.chunk(3)['qkv'.index(target)]
        torch.testing.assert_close(branch.A.grad, branch.scale * branch.B.t() @ weight, msg=name)
        torch.testing.assert_close(branch.B.grad, branch.scale * weight @ branch.A.t(), msg=name)


def test_each_branch_draws_its_own_mask_in_training_alone():
    model = clip_with(dropout=0.5)
    attention = model.visual.transformer.resblocks[0].attn
    with torch.no_grad():
        attention.in_proj_weight.zero_(), attention.in_proj_bias.zero_()
        for branch in attention.lora.values():
            branch.A.copy_(torch.eye(2, 64)), branch.B.copy_(torch.eye(64, 2))
        x = torch.ones(1, 100, 64)
        masks = [values[0, :, :2] != 0 for values in attention.train().packed(x).chunk(3, -1)]
        assert all(0.3 < mask.float().mean() < 0.7 for mask in masks)
        assert not any(torch.equal(a, b) for a, b in zip(masks, [*masks[1:], masks[0]], strict=True))
        assert attention.eval().packed(x).chunk(3, -1)[0][..., :2].all()


def test_recomputation_repeats_the_masks():
    """Under a small memory budget the text tower recomputes its blocks in the backward pass, with the same masks."""
    gradients = []
    for budget in (1 << 40, 1):
        model = with_effect(clip_with(dropout=0.5)).train()
        model.text.memory_budget = budget
        torch.manual_seed(1)
        out = model.encode_text(tokenize(TEXTS[:1]))
        out.sum().backward()
        gradients.append(model.text.transformer.resblocks[0].attn.lora['v'].A.grad)
    torch.testing.assert_close(*gradients)


@pytest.mark.parametrize(
    ('lora', 'message'),
    [
        (dict(rank=65), r'rank=65 exceeds the width 64 of the visual tower'),
        (dict(rank=33, towers=['text']), 'exceeds the width 32 of the text tower'),
        (dict(rank=0), 'rank=0 must be a positive whole number'),
        (dict(rnk=2), "'rnk'. Did you mean 'rank'"),
        (dict(targets=['q', 'o']), "targets has 'o'; there are q, k, v, out, fc, proj"),
        (dict(targets='qkv'), "targets='qkv' must be a list of"),
        (dict(towers=['image']), "towers has 'image'"),
        (dict(towers=[]), 'must be a list'),
        (dict(blocks=[0, 2]), 'blocks has 2, but the visual tower has the blocks 0 to 1'),
        (dict(blocks=3), r'blocks=3 must be a list of indices of blocks, such as \[0, 1\], or None'),
        (dict(blocks=[]), r'blocks=\[\] must be a list'),
        (dict(blocks=[0.5]), r'blocks=\[0.5\] must be a list'),
        (dict(alpha=0), 'clip.lora: alpha=0 must be a finite number above 0'),
        (dict(alpha=float('nan')), 'alpha=nan must be'),
        (dict(alpha=float('inf')), 'alpha=inf must be'),
        (dict(alpha='1'), "alpha='1' must be"),
        (dict(dropout=1.0), r'dropout=1.0 must be in \[0, 1\)'),
        (dict(scaling='none'), 'must be one of rank-stabilised, classic'),
    ],
)
def test_options_that_do_not_fit(lora, message):
    with pytest.raises(ValueError, match=message):
        build_clip(arch=MICRO['vit'], lora=lora)


def test_resnet():
    with pytest.raises(ValueError, match=r"a ResNet, whose .* set towers=\['text'\]"):
        build_clip(arch=MICRO['rn'], lora={})
    model = build_clip(arch=MICRO['rn'])
    add_lora(model, LoraOptions(towers=['text']))
    assert {tower for _, tower, *_ in branches(model)} == {'text'}
