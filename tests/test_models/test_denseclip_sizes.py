"""Published sizes of DenseCLIP segmentation models and their baselines, counted on tensors without memory."""

import pytest
import torch
from mmengine.registry import DefaultScope
from mmseg.registry import MODELS as MMSEG_MODELS

from vlprompt.clip import CLIP
from vlprompt.models import ClipTrunk, ContextDecoder


def count(module):
    return sum(p.numel() for p in module.parameters())


def head_and_neck(channels):
    with DefaultScope.overwrite_default_scope('mmseg'):
        neck = MMSEG_MODELS.build(dict(type='FPN', in_channels=channels, out_channels=256, num_outs=4))
        head = MMSEG_MODELS.build(
            dict(
                type='FPNHead',
                in_channels=[256] * 4,
                in_index=[0, 1, 2, 3],
                feature_strides=[4, 8, 16, 32],
                channels=256,
                num_classes=150,
                norm_cfg=dict(type='BN'),
            )
        )
    return count(neck), count(head)


@pytest.mark.parametrize(
    ('arch', 'size', 'channels', 'neck', 'text', 'published', 'with_text'),
    [
        ('RN50', 512, [256, 512, 1024, 2198], 3_382_784, 63_657_472, 50.25, 113.91),
        ('RN101', 512, [256, 512, 1024, 2198], 3_382_784, 63_395_328, 67.80, 131.19),
        ('ViT-B/16', 640, [768, 768, 918, 768], 3_186_176, 63_395_328, 105.27, 168.67),
    ],
)
def test_denseclip(arch, size, channels, neck, text, published, with_text):
    with torch.device('meta'):
        clip = CLIP(arch, image_size=size)
        clip.text.shorten(13)
        parts = [count(ClipTrunk(clip, joint=True)), count(ContextDecoder(clip.embed_dim))]
        parts += [*head_and_neck(channels), 8 * clip.text.width + clip.embed_dim]
    assert parts[2:4] == [neck, 4_170_902]
    assert count(clip.text) == text
    assert sum(parts) / 1e6 == pytest.approx(published, abs=0.01)
    assert (sum(parts) + text) / 1e6 == pytest.approx(with_text, abs=0.01)


@pytest.mark.parametrize(
    ('arch', 'size', 'channels', 'published'),
    [
        ('RN50', 512, [256, 512, 1024, 2048], 31.04),
        ('RN101', 512, [256, 512, 1024, 2048], 50.03),
        ('ViT-B/16', 640, [768] * 4, 101.28),
    ],
)
def test_baselines(arch, size, channels, published):
    with torch.device('meta'):
        total = count(ClipTrunk(CLIP(arch, image_size=size))) + sum(head_and_neck(channels))
    assert total / 1e6 == pytest.approx(published, abs=0.01)
