"""Pixel-adaptive mask refinement (Araslanov and Roth, CVPR 2020): https://arxiv.org/abs/2005.08104."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

CHUNK = 16
"""Masks that are refined at a time, which changes nothing else: the weights do not depend on them."""

OFFSETS = tuple((dy, dx) for dy in (-1, 0, 1) for dx in (-1, 0, 1) if (dy, dx) != (0, 0))


def refine_by_pixels(masks: Tensor, guide: Tensor, steps: int = 10, dilations: Sequence[int] = (8, 16)) -> Tensor:
    """Average masks over neighbours that look alike.

    For each pixel, neighbour n in the 8 directions at each dilation, and channel c of the guide x with the standard
    deviation ``std_c`` over these places and the pixel itself, once per dilation::

        a_n = mean_c -|x_c - x_n,c| / (0.1 std_c + 1e-8),    m <- sum_n softmax(a)_n m_n    ``steps`` times

    The pixel itself has no weight.  Places beyond the border are those of the border.  Beside the result, memory is
    that of 8 R weights and of a few times :data:`CHUNK` masks.

    Args:
        masks: (B, C, h, w) scores; resized to the guide with ``align_corners=True``.
        guide: (B, 3, H, W) images, normalised.
        steps: how often neighbours are averaged.
        dilations: distances of the neighbours in pixels.

    Returns:
        (B, C, H, W) in at least float32.

    Raises:
        ValueError: no dilation, or a number that is not positive.
    """
    if not dilations or min(steps, *dilations) < 1:
        raise ValueError(f'PAMR: steps={steps} and dilations={tuple(dilations)} must be positive')
    guide = guide.to(torch.promote_types(guide.dtype, torch.float32))
    weights = _weights(guide, dilations)
    refined = guide.new_empty(len(masks), masks.shape[1], *guide.shape[-2:])
    for own, out in zip(masks.split(CHUNK, 1), refined.split(CHUNK, 1), strict=True):
        own = own.to(guide.dtype)
        if own.shape[-2:] != guide.shape[-2:]:
            own = F.interpolate(own, guide.shape[-2:], mode='bilinear', align_corners=True)
        for _ in range(steps):
            mean = torch.zeros_like(own)
            for weight, neighbour in zip(weights.unbind(1), _neighbours(own, dilations), strict=True):
                mean.addcmul_(weight[:, None], neighbour)
            own = mean
        out.copy_(own)
    return refined


def _neighbours(x: Tensor, dilations: Sequence[int]) -> Iterator[Tensor]:
    """Of (B, C, H, W), the values at every offset, (B, C, H, W) each; views of one padded copy per dilation."""
    height, width = x.shape[-2:]
    for dilation in dilations:
        padded = F.pad(x, (dilation,) * 4, mode='replicate')
        for dy, dx in OFFSETS:
            top, left = dilation * (1 + dy), dilation * (1 + dx)
            yield padded[..., top : top + height, left : left + width]


def _weights(guide: Tensor, dilations: Sequence[int]) -> Tensor:
    """(B, 8 R, H, W), which sum to 1 over the neighbours."""
    around = torch.stack(list(_neighbours(guide, dilations)), 2)  # (B, 3, 8 R, H, W)
    centre = guide[:, :, None]
    spread = torch.cat([around, *[centre] * len(dilations)], 2).std(2, keepdim=True)
    affinity = -(around - centre).abs() / (1e-8 + 0.1 * spread)
    return affinity.mean(1).softmax(1)
