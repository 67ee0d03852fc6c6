"""Other forms of local features: against formulas written out, and what they leave alone."""

import copy

import pytest
import torch
import torch.nn.functional as F

from tests.conftest import MICRO
from tests.test_clip.conftest import random_clip
from vlprompt.clip import CLIP, PromptChoice, VisionTransformer, VisualTokens, build_clip, build_timm_vit
from vlprompt.clip.local_tokens import PUBLISHED, NeighbourBias, find_local_form, run_last_block
from vlprompt.clip.position import resize_position_embedding

GRID = (4, 4)
FORMS = [
    *PUBLISHED,
    dict(attention='qq', sigma=1.0),
    dict(attention='csa', reduced=True, sigma=2),
    dict(attention='qk', sigma=3.0),
    dict(attention='qk', reduced=True),
]


@pytest.fixture
def visual(micro_vit) -> VisionTransformer:
    """Two blocks, heads of 64 and 4 x 4 patches for images of 64 pixels."""
    return micro_vit.visual


@pytest.fixture
def images(seeded):
    return torch.randn(2, 3, 64, 64)


def by_hand(visual, x, local):
    """(B, N, D) local features from the input x (B, 1 + N + p, W) of the last block, one attention row at a time."""
    form, block, count = find_local_form(local), visual.transformer.resblocks[-1], GRID[0] * GRID[1]
    y = F.layer_norm(x, x.shape[-1:], block.ln_1.weight, block.ln_1.bias)
    width, heads = x.shape[-1], block.attn.heads
    q, k, v = F.linear(y, block.attn.in_proj_weight, block.attn.in_proj_bias).split(width, -1)
    q, k, v = (t.unflatten(-1, (heads, -1)) for t in (q, k, v))
    sides = dict(qk=[(q, k)], value=[], qq=[(q, q)], kk=[(k, k)], csa=[(q, q), (k, k)])[form.attention]
    place = torch.tensor([[i // GRID[1], i % GRID[1]] for i in range(count)], dtype=torch.float)
    tokens = []
    for i in range(count):
        bias = torch.zeros(x.shape[1])
        if form.sigma is not None:
            distance = (place - place[i]).square().sum(1)
            bias[1 : 1 + count] = torch.exp(-distance / (2 * form.sigma**2))
        out = torch.zeros_like(v[:, 0]) if sides else v[:, 1 + i]
        for rows, columns in sides:
            logits = torch.einsum('bhe,bjhe->bhj', rows[:, 1 + i], columns) * (width // heads) ** -0.5 + bias
            out = out + torch.einsum('bhj,bjhe->bhe', logits.softmax(-1), v)
        out = block.attn.out_proj(out.flatten(1))
        if not form.reduced:
            out = x[:, 1 + i] + out
            out = out + block.mlp(block.ln_2(out))
        tokens.append(out)
    return visual.project(torch.stack(tokens, 1))


def into_last_block(visual, images, prompts=()):
    """The input of the last block, with prompts (n, W) of the first block that flow on, or None, and of the last."""
    tokens, _ = visual.embed(images)
    x = visual.ln_pre(tokens)
    first, last = (*prompts, None, None)[:2]
    length = x.shape[1]
    if first is not None:
        x = torch.cat([x, first.expand(len(x), -1, -1)], 1)
    x = visual.transformer.resblocks[0](x)
    return x if last is None else torch.cat([x[:, :length], last.expand(len(x), -1, -1)], 1)


@torch.no_grad()
@pytest.mark.parametrize('local', FORMS, ids=str)
@pytest.mark.parametrize('lengths', [(), (3,), (3, 2), (None, 2)], ids=str)
def test_every_form_is_its_formula_and_prompts_are_keys_alone(visual, images, local, lengths):
    prompts = [None if n is None else torch.randn(n, 64) for n in lengths]
    visual.use_local(local)
    features = visual(images, prompts=VisualTokens(tuple(prompts)) if prompts else None)
    expected = by_hand(visual, into_last_block(visual, images, prompts), local)
    assert features.grid == GRID
    torch.testing.assert_close(features.local, expected, rtol=1e-4, atol=1e-5)


@torch.no_grad()
@pytest.mark.parametrize('local', FORMS, ids=str)
@pytest.mark.parametrize('out_indices', [(0,), (0, 1), (1,)], ids=str)
def test_class_feature_and_maps_stay_clips_own(visual, images, local, out_indices):
    visual.out_indices = out_indices
    native = visual(images, prompts=VisualTokens((torch.ones(2, 64), torch.ones(1, 64))))
    visual.use_local(local)
    features = visual(images, prompts=VisualTokens((torch.ones(2, 64), torch.ones(1, 64))))
    torch.testing.assert_close(features.cls, native.cls)
    assert len(features.maps) == len(out_indices)
    for ours, theirs in zip(features.maps, native.maps, strict=True):
        torch.testing.assert_close(ours, theirs)
    assert features.local.allclose(native.local, atol=1e-3) == (local == 'native')
    without = visual(images, maps=False, prompts=VisualTokens((torch.ones(2, 64), torch.ones(1, 64))))
    torch.testing.assert_close(without.local, features.local)


@torch.no_grad()
@pytest.mark.parametrize('local', ['sclip', 'clearclip', 'naclip', 'maskclip_full'])
def test_fast_path_of_deep_prompts_is_the_reference(images, local, seeded):
    visual = random_clip(MICRO['vit'] | dict(vision_layers=3)).visual
    visual.use_local(local)
    table, index = torch.randn(3, 2, 64), torch.tensor([2, 0])
    tokens, grid = visual.embed(images)
    for last in (torch.randn(2, 64), torch.randn(2, 2, 64), PromptChoice(table, index), None):
        prompts = VisualTokens((torch.randn(2, 64), torch.randn(1, 64), last))
        fast, _ = visual.encode_local(tokens, grid, prompts)
        plain, _ = visual.encode_local(tokens, grid, prompts, reference=True)
        torch.testing.assert_close(fast.patches, plain.patches)
        torch.testing.assert_close(fast.native, plain.native)


@torch.no_grad()
def test_sets_keep_their_meaning(visual, images):
    prompts = VisualTokens((torch.randn(3, 2, 64),), sets=3)
    native = visual(images, maps=False, prompts=prompts)
    visual.use_local('naclip')
    assert visual(images, maps=False, prompts=prompts).local.equal(native.local)


@torch.no_grad()
def test_one_block_and_heads_of_another_width(images):
    visual = VisionTransformer(16, 48, 1, 24, (64, 64), heads=3, local='naclip').eval()
    tokens, _ = visual.embed(images)
    expected = by_hand(visual, visual.ln_pre(tokens), 'naclip')
    torch.testing.assert_close(visual(images).local, expected, rtol=1e-4, atol=1e-5)


def test_stochastic_depth_drops_an_image_as_a_whole(visual, seeded):
    block = visual.transformer.resblocks[-1].train()
    block.drop_path.rate = 0.5
    x = torch.randn(32, 17, 64)
    for local in ('sclip', 'maskclip'):
        out = run_last_block(block, x, GRID, find_local_form(local), NeighbourBias())
        dropped = (out.native[:, 0] == x[:, 0]).all(1)
        assert 0 < dropped.sum() < 32
        same = (out.patches == x[:, 1:]).flatten(1).all(1)
        assert same.equal(dropped if local == 'sclip' else torch.zeros(32, dtype=torch.bool))


def test_gradients_reach_what_a_form_uses(visual, images):
    visual.use_local('kk')
    prompt = torch.randn(2, 64, requires_grad=True)
    visual(images, maps=False, prompts=VisualTokens((None, prompt))).local.sum().backward()
    last = visual.transformer.resblocks[-1]
    assert prompt.grad.abs().sum() > 0
    assert last.attn.in_proj_weight.grad[64:].abs().sum() > 0
    assert not last.attn.in_proj_weight.grad[:64].any(), "k k' has no queries"
    assert not last.mlp.c_fc.weight.grad.any(), 'a reduced block has no MLP'


# ----------------------------------------------------------------------------------------------------------- Gaussian


def test_gaussian_between_patches_and_zero_elsewhere():
    mask = NeighbourBias()((2, 3), 0.5, 9, torch.zeros(1))
    assert mask.shape == (6, 9)
    assert mask[:, 0].tolist() == [0] * 6
    assert mask[:, 7:].abs().sum() == 0
    assert mask[0, 1].item() == 1
    assert mask[0, 2].item() == pytest.approx(torch.tensor(-2.0).exp().item())  # one patch to the right
    assert mask[0, 4].item() == pytest.approx(torch.tensor(-2.0).exp().item())  # one below
    assert mask[0, 6].item() == pytest.approx(torch.tensor(-10.0).exp().item())  # one below, two to the right
    assert mask[:, 1:7].equal(mask[:, 1:7].t())


def test_gaussian_is_kept_for_a_grid_and_is_no_part_of_the_state(visual, images):
    keys = set(visual.state_dict())
    visual.use_local('naclip')
    with torch.inference_mode():
        visual(images)
    first = visual._bias._mask
    visual(images).local.sum().backward()  # a mask made in inference mode could not be saved for this
    assert visual._bias._mask is first
    visual(torch.randn(1, 3, 64, 96))
    assert visual._bias._mask.shape == (24, 25)
    assert set(visual.state_dict()) == keys
    torch.testing.assert_close(copy.deepcopy(visual)(images).local, visual(images).local)


@torch.no_grad()
@pytest.mark.parametrize('dtype', [torch.bfloat16, torch.float16], ids=str)
@pytest.mark.parametrize('local', ['sclip', 'naclip'])
def test_half_precision(visual, images, local, dtype):
    visual.use_local(local)
    exact = visual(images, saliency=True)
    rough = visual.to(dtype)(images, saliency=True)
    assert rough.local.dtype == dtype
    assert rough.saliency.dtype == torch.float32
    assert F.cosine_similarity(rough.local.float(), exact.local, dim=-1).min() > 0.999


# ----------------------------------------------------------------------------------------------------------- saliency


@torch.no_grad()
@pytest.mark.parametrize('local', ['native', 'naclip', 'sclip'])
def test_saliency_is_the_class_tokens_attention_to_patches(visual, images, local):
    visual.use_local(local)
    plain, prompt = visual(images), torch.randn(2, 64)
    block = visual.transformer.resblocks[-1]
    for prompts in ((), (prompt,)):
        tokens = VisualTokens(prompts) if prompts else None
        features = visual(images, prompts=tokens, saliency=True)
        y = block.ln_1(into_last_block(visual, images, prompts))
        q, k, _ = F.linear(y, block.attn.in_proj_weight, block.attn.in_proj_bias).split(64, -1)
        weights = (q[:, :1] @ k.transpose(1, 2) / 8).softmax(-1)[:, 0, 1:17]  # one head of 64 channels
        torch.testing.assert_close(features.saliency, weights / weights.sum(-1, keepdim=True))
    torch.testing.assert_close(visual(images, saliency=True).local, plain.local)
    torch.testing.assert_close(visual(images, local=False, maps=False, saliency=True).cls, plain.cls)
    assert plain.saliency is None


@torch.no_grad()
@pytest.mark.parametrize('local', ['native', 'value'])
def test_value_path_and_saliency_of_a_resnet(micro_rn, seeded, local):
    visual = random_clip(micro_rn).visual
    images = torch.randn(2, 3, 64, 96)
    native, pool = visual(images), visual.attnpool
    visual.use_local(local)
    features = visual(images, saliency=True)
    assert features.grid == (2, 3)
    torch.testing.assert_close(features.cls, native.cls)
    for ours, theirs in zip(features.maps, native.maps, strict=True):
        assert ours.equal(theirs)
    cells = native.maps[-1].flatten(2).transpose(1, 2)
    values = cells @ pool.v_proj.weight.t() + pool.v_proj.bias
    expected = native.local if local == 'native' else values @ pool.c_proj.weight.t() + pool.c_proj.bias
    torch.testing.assert_close(features.local, expected, rtol=1e-4, atol=1e-5)
    tokens = torch.cat([cells.mean(1, keepdim=True), cells], 1) + visual_positions(pool, (2, 3))
    split = (len(tokens), -1, pool.heads, 256 // pool.heads)
    q, k = (proj(tokens).view(split).transpose(1, 2) for proj in (pool.q_proj, pool.k_proj))
    weights = (q[:, :, :1] @ k.transpose(2, 3) / split[-1] ** 0.5).softmax(-1).mean(1)[:, 0, 1:]
    torch.testing.assert_close(features.saliency, weights / weights.sum(-1, keepdim=True), rtol=1e-4, atol=1e-6)
    assert visual(images, local=False).local is None


def visual_positions(pool, grid):
    return resize_position_embedding(pool.positional_embedding, pool.grid_size, grid, pool.interpolation)


# ------------------------------------------------------------------------------------------------------------ options


def test_option_of_the_tower_by_name_or_fields():
    model = build_clip(MICRO['vit'], vision=dict(local='naclip'))
    assert model.visual.local == 'naclip'
    assert model.visual.options['local'] == 'naclip'
    same = build_clip(MICRO['vit'], vision=dict(local=dict(attention='kk', reduced=True, sigma=5)))
    assert same.visual.local == 'naclip'
    other = build_clip(MICRO['vit'], vision=dict(local=dict(attention='kk', sigma=1.5)))
    assert other.visual.local == dict(attention='kk', reduced=False, sigma=1.5)
    assert build_clip(MICRO['vit']).visual.local == 'native'
    assert build_clip(MICRO['rn'], vision=dict(local='value')).visual.options['local'] == 'value'


@pytest.mark.parametrize(
    ('arch', 'local', 'message'),
    [
        ('vit', 'value', "local='value': a ViT has native, maskclip.*'value' alone is an option of a ResNet"),
        ('vit', 'nacl', 'naclip, or a dict'),
        ('vit', dict(attention='vv'), "attention must be one of qk, value, qq, kk, csa, got 'vv'"),
        ('vit', dict(attn='kk'), r"unknown keys \['attn'\] for a ViT; there are attention, reduced, sigma"),
        ('vit', dict(attention='value', sigma=5.0), 'drop sigma'),
        ('vit', dict(attention='kk', sigma=0), 'sigma must be a positive number'),
        ('vit', dict(attention='kk', sigma='5'), 'sigma must be a positive number'),
        ('vit', dict(attention='kk', reduced=1), 'reduced must be True or False'),
        ('vit', ['kk'], r"local=\['kk'\]: a ViT has native"),
        ('vit', None, 'local=None: a ViT has native'),
        ('rn', 'naclip', "local='naclip': the attention pool of a ResNet has 'native' and 'value'"),
        ('rn', dict(attention='value'), "'native' and 'value'"),
    ],
    ids=str,
)
def test_forms_that_a_tower_does_not_have(arch, local, message):
    with pytest.raises(ValueError, match=message):
        CLIP(MICRO[arch], vision=dict(local=local))


@pytest.mark.parametrize(
    ('arch', 'option'), [('vit', 'last_stride'), ('rn', 'patch_stride'), ('rn', 'lokal'), ('vit', 'heads')]
)
def test_options_that_a_tower_does_not_have(arch, option):
    with pytest.raises(ValueError, match=f'clip.vision has {option}, but the options of custom.* are .*interpolation'):
        CLIP(MICRO[arch], vision={option: 2})


def test_no_form_without_a_joint_space():
    visual, _ = build_timm_vit(arch=dict(width=32, layers=2, heads=2, patch_size=16, image_size=64))
    with pytest.raises(ValueError, match='no joint space'):
        visual.use_local('naclip')
    assert visual.local == 'native'
