"""Three levels of global image features, as in CLIP-ReID (Li et al., AAAI 2023, section 3)."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple, Union

from torch import Tensor

from vlprompt.clip import ModifiedResNet, VisionTransformer

if TYPE_CHECKING:
    from vlprompt.clip.open_clip_towers import TimmImageTower  # which loads open_clip and timm

ImageTower = Union[ModifiedResNet, VisionTransformer, 'TimmImageTower']


class FeatureLevels(NamedTuple):
    """Global features of B images, none normalised.

    Attributes:
        last: (B, C) before the last stage or block: layer 3 averaged (ResNet), the class token after the last but one
            block, without a norm (ViT), or the mean of the cells there (tower of timm).  In training only.
        final: (B, C') at the end of the tower: layer 4 averaged, the class token after ``ln_post``, or what a tower of
            timm pools.
        joint: (B, D) in the joint space of image and text; None if the tower has none (a ViT of timm).
    """

    last: Tensor
    final: Tensor
    joint: Tensor | None


def feature_levels(visual: ImageTower, images: Tensor, class_offset: Tensor | None = None) -> FeatureLevels:
    """Run a tower for its global features alone.

    Only their dependencies are computed: the class token in the last block of a ViT, and in the attention pool of a
    ResNet the mean token as the only query.

    Args:
        visual: an image tower; a ViT needs at least two blocks.
        images: (B, 3, H, W) normalised.
        class_offset: (B, width), added to the class token of a ViT.

    Raises:
        ValueError: an offset for a ResNet, which has no class token.
    """
    if isinstance(visual, VisionTransformer):
        tokens, _ = visual.embed(images, class_offset)
        last_block = len(visual.transformer.resblocks) - 1
        x, (before,) = visual.encode(tokens, out_indices=(last_block - 1,), queries=1)
        final = visual.ln_post(x[:, 0])
        return FeatureLevels(before[:, 0], final, None if visual.proj is None else final @ visual.proj)
    if class_offset is not None:
        raise ValueError('only a ViT of CLIP has a class token that an offset could be added to')
    if not isinstance(visual, ModifiedResNet):
        return FeatureLevels(*visual.levels(images))
    *_, third, fourth = visual.stages(images.to(visual.conv1.weight.dtype))
    return FeatureLevels(third.mean((2, 3)), fourth.mean((2, 3)), visual.attnpool(fourth, local=False)[:, 0])


def level_channels(visual: ImageTower) -> tuple[int, int, int | None]:
    """Channels of the three levels; the last one is None if the tower has no joint space."""
    if isinstance(visual, VisionTransformer):
        return visual.width, visual.width, visual.embed_dim
    if not isinstance(visual, ModifiedResNet):
        return visual.level_channels
    return visual.stage_channels[2], visual.stage_channels[3], visual.embed_dim
