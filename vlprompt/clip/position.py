"""Resizing of learned position embeddings to another grid."""

from __future__ import annotations

from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor

Interpolation = Literal['bicubic', 'bilinear', 'crop', 'bicubic_legacy']


def resize_position_embedding(
    positions: Tensor, source: tuple[int, int], target: tuple[int, int], mode: Interpolation = 'bicubic'
) -> Tensor:
    """Resize the grid part of a position embedding; the class position is unchanged.

    Args:
        positions: (1 + h * w, C), the class (or mean) position first, then the grid in row-major order.
        source: (h, w) of ``positions``.
        target: (h', w') of the result.
        mode: ``'bicubic'`` is antialiased and equal to open_clip and timm when they load a model for another
            image size, so that a model resized there gives the same features here. It is smooth and skips no
            positions when shrinking. ``'bilinear'`` (no antialiasing) is used by DenseCLIP and CLIP-ReID. Both
            sample with ``align_corners=False``. ``'crop'`` takes the upper left part, which keeps the spacing of
            positions, as DenseCLIP's published detectors do; it cannot grow. ``'bicubic_legacy'`` is not antialiased
            and samples with the scale (h' + 0.1) / h, so at slightly wrong places, as the published code of DINO,
            SCLIP and NACLIP does.

    Returns:
        (1 + h' * w', C) in the dtype of ``positions``; the tensor itself when the grids are equal.  A grid that is a
        symbol, in the export of a model for images of any size, is equal to none: resizing to the same grid changes
        nothing but the last bits.

    Raises:
        ValueError: ``positions`` and ``source`` do not match, an unknown mode, or a crop larger than
            ``source``.
    """
    if positions.shape[0] != 1 + source[0] * source[1]:
        raise ValueError(f'{positions.shape[0]} positions do not belong to a {source[0]}x{source[1]} grid plus one')
    if isinstance(target[0], int) and isinstance(target[1], int) and source == target:
        return positions
    if mode == 'crop':
        if target[0] > source[0] or target[1] > source[1]:
            raise ValueError(
                f"interpolation='crop' takes grids up to {source[0]}x{source[1]}, the image has "
                f"{target[0]}x{target[1]}: use interpolation='bilinear', or a larger clip.image_size"
            )
        grid = positions[1:].unflatten(0, source)[: target[0], : target[1]]
        return torch.cat([positions[:1], grid.flatten(0, 1)])
    if mode not in ('bicubic', 'bilinear', 'bicubic_legacy'):
        raise ValueError(f"interpolation must be 'bicubic', 'bilinear', 'crop' or 'bicubic_legacy', got {mode!r}")
    grid = positions[1:].float().T.reshape(1, -1, *source)
    if mode == 'bicubic_legacy':
        scale = tuple((new + 0.1) / old for new, old in zip(target, source, strict=True))
        grid = F.interpolate(grid, scale_factor=scale, mode='bicubic', recompute_scale_factor=False)
    else:
        grid = F.interpolate(grid, size=target, mode=mode, align_corners=False, antialias=mode == 'bicubic')
    grid = grid.flatten(2)[0].T.to(positions.dtype)
    return torch.cat([positions[:1], grid])
