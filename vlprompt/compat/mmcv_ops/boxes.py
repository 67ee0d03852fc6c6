"""Overlaps of boxes with the signature of ``mmcv._ext``."""

from __future__ import annotations

import torch
from torch import Tensor

from vlprompt.compat.mmcv_ops.precision import at_least_float32

IOU, IOF = range(2)


def bbox_overlaps(bboxes1: Tensor, bboxes2: Tensor, ious: Tensor, mode: int, aligned: bool, offset: int) -> None:
    """Write overlaps of boxes into ``ious``. Computed in float32 at least; two boxes without area have NaN.

    Args:
        bboxes1: (N, 4) corners x1, y1, x2, y2 in pixels.
        bboxes2: (M, 4), likewise.
        ious: (N, M), or (N,) if ``aligned``, overwritten.
        mode: what the intersection is divided by: 0 the union, 1 the area of the first box.
        aligned: compare each box with the one of the same position only; N equals M.
        offset: 0, or 1 for boxes whose last pixel belongs to them (width is x2 - x1 + 1).
    """
    first, second = at_least_float32(bboxes1, bboxes2)
    if not aligned:
        first, second = first[:, None], second[None]
    low = torch.maximum(first[..., :2], second[..., :2])
    high = torch.minimum(first[..., 2:], second[..., 2:])
    shared = (high - low + offset).clamp(min=0).prod(dim=-1)
    base = _areas(first, offset)
    if mode == IOU:
        base = base + _areas(second, offset) - shared
    ious.copy_(shared / base)


def _areas(boxes: Tensor, offset: int) -> Tensor:
    return (boxes[..., 2:] - boxes[..., :2] + offset).prod(dim=-1)
