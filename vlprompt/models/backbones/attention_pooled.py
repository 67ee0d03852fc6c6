"""Any backbone in place of CLIP's: a new attention pool projects its last map into the joint space."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from mmengine.model import BaseModule
from torch import Tensor, nn

from vlprompt.clip import CLIP, ClipFeatures
from vlprompt.clip.local_tokens import refuse_unread_local
from vlprompt.clip.resnet import AttentionPool2d
from vlprompt.registry import MODELS

HEAD_WIDTH = 64
PROBE = 64
"""Height in pixels of the blank image used to find a trunk's channels and strides; it is twice as wide."""


@MODELS.register_module()
class AttentionPooledTrunk(BaseModule):
    """A backbone of mmseg, mmdet or timm with a randomly initialised attention pool on its last map.

    This is how DenseCLIP uses ImageNet ResNets and Swin transformers: the text tower is CLIP's, but of the image
    tower only the layout of the attention pool.

    Args:
        trunk: config of a backbone that returns a tuple of maps, shallow first.
        clip: the CLIP whose text is matched; it determines D of the joint space.
        image_size: side in pixels of the training crops.  With the trunk's stride it determines the size of the
            position embedding; other image sizes are accepted too.
        heads: attention heads; None: one per 64 channels.

    Attributes:
        channels: C_i of the maps, found by running the trunk once on a blank image.

    Raises:
        TypeError: the trunk does not return several maps (B, C, h, w).
        ValueError: the channels of the last map are not a multiple of the heads.
    """

    def __init__(self, trunk: Mapping[str, Any], clip: CLIP, image_size: int = 512, heads: int | None = None) -> None:
        super().__init__()
        refuse_unread_local(clip.visual, "the local features are those of this trunk's own attention pool")
        self.trunk = MODELS.build(dict(trunk))
        maps = _blank_maps(self.trunk)
        self.channels = tuple(m.shape[1] for m in maps)
        last = self.channels[-1]
        heads = heads or max(last // HEAD_WIDTH, 1)
        if last % heads:
            raise ValueError(f'AttentionPooledTrunk: {last} channels cannot be divided among {heads} heads')
        side = max(1, image_size // (PROBE // maps[-1].shape[-2]))
        self.attnpool = AttentionPool2d((side, side), last, heads, clip.embed_dim, interpolation='bilinear')
        _reset(self.attnpool)

    def forward(self, images: Tensor) -> tuple[Tensor, ...]:
        """Normalised images (B, 3, H, W) -> the trunk's maps (B, C_i, h_i, w_i)."""
        return tuple(self.trunk(images))

    def embed(self, images: Tensor) -> ClipFeatures:
        """Maps and embeddings of normalised images (B, 3, H, W).

        Returns:
            ClipFeatures with ``cls (B, D)``, ``local (B, N, D)`` on the grid of the last map, and the maps; nothing
            normalised.
        """
        maps = self(images)
        pooled = self.attnpool(maps[-1])
        return ClipFeatures(cls=pooled[:, 0], local=pooled[:, 1:], maps=maps, grid=tuple(maps[-1].shape[-2:]))


def _blank_maps(trunk: nn.Module) -> tuple[Tensor, ...]:
    """Maps of one blank image; batch statistics and mode are restored."""
    training = trunk.training
    trunk.eval()
    with torch.no_grad():
        maps = trunk(torch.zeros(1, 3, PROBE, 2 * PROBE))
    trunk.train(training)
    name = type(trunk).__name__
    if not isinstance(maps, (tuple, list)) or len(maps) < 2:
        raise TypeError(
            f'AttentionPooledTrunk needs a backbone that returns several maps, {name} returns {type(maps).__name__}; '
            'set its out_indices'
        )
    shapes = [tuple(m.shape) for m in maps]
    if any(len(shape) != 4 or shape[3] != 2 * shape[2] for shape in shapes):
        raise TypeError(
            f'AttentionPooledTrunk needs maps (B, C, h, w), but for an image of {PROBE} x {2 * PROBE} pixels {name} '
            f'returns {", ".join(map(str, shapes))}; some backbones of timm put the channels last'
        )
    return tuple(maps)


def _reset(pool: AttentionPool2d) -> None:
    """The published initialisation: positions as CLIP's, linear layers as PyTorch makes them."""
    for linear in (pool.q_proj, pool.k_proj, pool.v_proj, pool.c_proj):
        linear.reset_parameters()
