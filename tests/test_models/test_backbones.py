"""Trunks: strides, embeddings, the doubled class embedding, channels of foreign backbones."""

import copy

import pytest
import torch
from mmengine.registry import DefaultScope
from torch import nn

from tests.conftest import MICRO
from vlprompt.clip import CLIP, build_clip
from vlprompt.models import AttentionPooledTrunk, ClipTrunk
from vlprompt.models.backbones import FeaturePyramid
from vlprompt.registry import MODELS

VIT = dict(MICRO['vit'], vision_layers=4)
CLIPS = {
    'rn': dict(arch=MICRO['rn'], vision=dict(interpolation='bilinear')),
    'vit': dict(arch=VIT, vision=dict(interpolation='bilinear', out_indices=(0, 1, 2, 3))),
}


@pytest.fixture(params=['rn', 'vit'])
def clip(request):
    torch.manual_seed(0)
    return build_clip(**CLIPS[request.param])


def images(height=96, width=64):
    return torch.randn(2, 3, height, width, generator=torch.Generator().manual_seed(0))


def test_four_strides(clip):
    trunk = ClipTrunk(clip, joint=True).eval()
    features = trunk.embed(images())
    for channels, stride, m in zip(trunk.channels, (4, 8, 16, 32), features.maps, strict=True):
        assert m.shape == (2, channels, 96 // stride, 64 // stride)
    h, w = features.grid
    assert features.local.shape == (2, h * w, 24)
    for a, b in zip(trunk(images()), features.maps, strict=True):
        torch.testing.assert_close(a, b, atol=1e-5, rtol=1e-5)


def test_plain_trunk_has_no_parameter_without_gradient(clip):
    trunk = ClipTrunk(clip).train()
    sum(m.square().sum() for m in trunk(images())).backward()
    assert all(p.grad is not None for p in trunk.parameters())
    with pytest.raises(RuntimeError, match='joint=True'):
        trunk.embed(images())


def test_official_adds_the_class_embedding_twice():
    torch.manual_seed(0)
    trunk = ClipTrunk(dict(CLIPS['vit']), joint=True, official=True).eval()
    found = trunk.embed(images(64, 64)).cls
    trunk.official = False
    trunk.visual.class_embedding.data.mul_(2)
    torch.testing.assert_close(trunk.embed(images(64, 64)).cls, found)


def test_position_embedding_follows_the_crop():
    clip = build_clip(arch=MICRO['rn'], image_size=128, vision=dict(interpolation='bilinear'))
    assert len(ClipTrunk(clip, joint=True).visual.attnpool.positional_embedding) == 1 + 4 * 4


def test_a_vit_must_give_four_maps():
    with pytest.raises(ValueError, match='out_indices'):
        ClipTrunk(dict(arch=MICRO['vit']))


@pytest.mark.parametrize('patch', [8, 16])
def test_feature_pyramid(patch):
    pyramid = FeaturePyramid(8, patch)
    maps = pyramid([torch.randn(1, 8, 64 // patch, 128 // patch) for _ in range(4)])
    assert [tuple(m.shape[2:]) for m in maps] == [(64 // s, 128 // s) for s in (4, 8, 16, 32)]
    with pytest.raises(ValueError, match='14'):
        FeaturePyramid(8, 14)


def test_official_pyramid_names():
    names = {name.rsplit('.', 1)[0] for name in FeaturePyramid(8).state_dict()}
    assert names == {'fpn1.0', 'fpn1.1', 'fpn1.2', 'fpn1.4', 'fpn2.0', 'fpn2.1', 'fpn3', 'fpn4.0'}


class Pair(nn.Module):
    """A backbone of two maps at the strides 4 and 16."""

    def __init__(self):
        super().__init__()
        self.a, self.b = nn.Conv2d(3, 8, 4, 4), nn.Conv2d(8, 128, 4, 4)
        self.norm = nn.BatchNorm2d(8)

    def forward(self, x):
        x = self.norm(self.a(x))
        return x, self.b(x)


@pytest.fixture
def foreign(seeded):
    MODELS.register_module(name='Pair', module=Pair, force=True)
    yield AttentionPooledTrunk(dict(type='vlprompt.Pair'), build_clip(arch=MICRO['rn']), image_size=128)
    MODELS._module_dict.pop('Pair')


def test_any_backbone(foreign):
    assert foreign.channels == (8, 128)
    assert foreign.attnpool.grid_size == (8, 8)
    assert foreign.attnpool.heads == 2
    assert foreign.training
    assert torch.equal(foreign.trunk.norm.running_mean, torch.zeros(8)), 'probing moved batch statistics'
    features = foreign.embed(images())
    assert features.grid == (6, 4)
    assert features.cls.shape == (2, 24)
    assert features.local.shape == (2, 24, 24)


@pytest.mark.parametrize('kind', ['rn', 'vit'])
def test_finer_maps_can_be_left_out(kind):
    arch = dict(MICRO[kind], vision_layers=4) if kind == 'vit' else MICRO[kind]
    torch.manual_seed(0)
    clip = build_clip(arch=arch, vision=dict(out_indices=(0, 1, 2, 3)) if kind == 'vit' else None)
    whole = ClipTrunk(copy.deepcopy(clip), joint=True).eval()
    part = ClipTrunk(clip, joint=True, first_map=1).eval()
    part.load_state_dict({k: v for k, v in whole.state_dict().items() if '.fpn1.' not in k})
    assert part.channels == whole.channels[1:]
    with torch.no_grad():
        for ours, theirs in ((part(images()), whole(images())), (part.embed(images()).maps, whole(images()))):
            assert all(torch.equal(a, b) for a, b in zip(ours, theirs[1:], strict=True))


class ChannelsLast(Pair):
    def forward(self, x):
        return [m.permute(0, 2, 3, 1) for m in super().forward(x)]


class Single(Pair):
    def forward(self, x):
        return super().forward(x)[1]


@pytest.mark.parametrize(
    ('trunk', 'message'),
    [
        (ChannelsLast, r'maps \(B, C, h, w\).*64 x 128.*ChannelsLast.*\(1, 16, 32, 8\)'),
        (Single, 'several maps.*out_indices'),
    ],
)
def test_unusable_backbones_are_named(trunk, message):
    with pytest.raises(TypeError, match=message):
        AttentionPooledTrunk(dict(type=trunk), build_clip(arch=MICRO['rn']))


def test_a_backbone_of_timm():
    import mmseg.models  # noqa: F401  (registers it)

    timm = dict(type='mmseg.TIMMBackbone', model_name='resnet18', pretrained=False, out_indices=(1, 2, 3, 4))
    with DefaultScope.overwrite_default_scope('mmseg'):
        trunk = AttentionPooledTrunk(timm, build_clip(arch=MICRO['rn']), image_size=256)
    assert trunk.channels == (64, 128, 256, 512)
    assert (trunk.attnpool.grid_size, trunk.attnpool.heads) == ((8, 8), 8)
    trunk.embed(images())
    sum(m.sum() for m in trunk(images())).backward()
    assert all(p.grad is not None for p in trunk.trunk.parameters())


@pytest.mark.parametrize(
    ('arch', 'trunk', 'pools'),
    [
        ('RN50', 23_527_264, {512: 15_213_568, 1344: 18_301_952}),
        ('RN101', 42_519_392, {512: 14_164_480, 1344: 17_252_864}),
    ],
)
def test_published_parameter_counts_of_resnets(arch, trunk, pools):
    with torch.device('meta'):
        for size, pool in pools.items():
            joint = ClipTrunk(CLIP(arch, image_size=size), joint=True)
            assert count(joint.visual.attnpool) == pool
            assert count(joint) == trunk + pool
        assert count(ClipTrunk(CLIP(arch))) == trunk


def test_published_parameter_counts_of_the_vit():
    with torch.device('meta'):
        clip = CLIP('ViT-B/16', image_size=640)
        assert count(ClipTrunk(clip, joint=True)) == 94_358_784
        assert count(ClipTrunk(clip)) == 93_964_032


def count(module):
    return sum(p.numel() for p in module.parameters())
