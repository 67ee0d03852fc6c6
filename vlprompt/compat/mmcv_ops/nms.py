"""Non-maximum suppression with the signatures of ``mmcv._ext``."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor
from torchvision.ops import nms as torchvision_nms

NAIVE, LINEAR, GAUSSIAN = range(3)


def nms(boxes: Tensor, scores: Tensor, iou_threshold: float, offset: int) -> Tensor:
    """Drop every box that overlaps a box of higher score by more than the threshold.

    The first of equal scores wins (the order of the compiled op is undefined). Computed in float32 at least; the
    threshold is rounded to float32 as in the compiled op, which decides pairs that lie exactly on it.

    Args:
        boxes: (N, 4) corners x1, y1, x2, y2 in pixels.
        scores: (N,) scores.
        iou_threshold: largest intersection over union that two kept boxes may have.
        offset: 0, or 1 for boxes whose last pixel belongs to them (width is x2 - x1 + 1).

    Returns:
        (K,) int64 indices of the kept boxes, by descending score.
    """
    dtype = torch.promote_types(torch.promote_types(boxes.dtype, scores.dtype), torch.float32)
    boxes = boxes.to(dtype)
    if offset:
        boxes = torch.cat((boxes[:, :2], boxes[:, 2:] + offset), dim=1)
    return torchvision_nms(boxes, scores.to(dtype), float(np.float32(iou_threshold)))


def softnms(
    boxes: Tensor,
    scores: Tensor,
    dets: Tensor,
    iou_threshold: float,
    sigma: float,
    min_score: float,
    method: int,
    offset: int,
) -> Tensor:
    """Soft-NMS: lower the scores of overlapping boxes instead of dropping them (Bodla et al., 2017, eq. 2 and 3).

    All tensors on the CPU; computed in float32. Boxes move as in the compiled op (the best one changes places with
    the current one, the last one fills the place of a dropped one), so equal scores are taken in the same order.

    Args:
        boxes: (N, 4) corners x1, y1, x2, y2 in pixels.
        scores: (N,) scores.
        dets: (N, 5), the first K rows receive the kept boxes and their new scores, by descending score.
        iou_threshold: overlap from which scores are lowered (``naive``: set to 0, ``linear``: times 1 - IoU).
        sigma: width of ``gaussian``, which lowers every score by ``exp(-IoU^2 / sigma)``.
        min_score: boxes whose score falls below are dropped.
        method: 0 naive, 1 linear, 2 gaussian.
        offset: 0, or 1 for boxes whose last pixel belongs to them.

    Returns:
        (K,) int64 indices of the kept boxes.
    """
    live = torch.cat((boxes.float(), scores.float()[:, None]), dim=1).detach().numpy()
    index = np.arange(len(live))
    iou_threshold, sigma, min_score = np.float32(iou_threshold), np.float32(sigma), np.float32(min_score)
    current = 0
    while current < len(live):
        best = current + int(live[current:, 4].argmax())
        live[[current, best]] = live[[best, current]]
        index[[current, best]] = index[[best, current]]
        rest = slice(current + 1, None)
        overlap = _overlaps(live[current], live[rest], offset)
        if method == GAUSSIAN:
            live[rest, 4] *= np.exp(-(overlap * overlap) / sigma)
        else:
            lowered = 1 - overlap if method == LINEAR else np.float32(0)
            live[rest, 4] *= np.where(overlap >= iou_threshold, lowered, np.float32(1))
        order = _fill_holes(live[rest, 4] >= min_score) + current + 1
        order = np.concatenate((np.arange(current + 1), order))
        live, index = live[order], index[order]
        current += 1
    dets[: len(live)] = torch.from_numpy(live)
    return torch.from_numpy(index)


def nms_match(dets: Tensor, iou_threshold: float) -> list[list[int]]:
    """Non-maximum suppression that tells which boxes each kept one has suppressed.

    Computed in float32 on the CPU. The first of equal scores wins. Unlike :func:`nms`, a box whose overlap equals the
    threshold is suppressed.

    Args:
        dets: (N, 5) corners x1, y1, x2, y2 in pixels and scores.
        iou_threshold: smallest intersection over union that suppresses.

    Returns:
        Indices of every kept box and then of those that it suppressed, by descending score.
    """
    boxes, scores = dets.detach().float().numpy()[:, :4], dets[:, 4].detach()
    waiting = scores.argsort(descending=True, stable=True).numpy()
    groups = []
    while len(waiting):
        best, rest = waiting[0], waiting[1:]
        suppressed = _overlaps(boxes[best], boxes[rest], 0) >= np.float32(iou_threshold)
        groups.append([int(best), *rest[suppressed].tolist()])
        waiting = rest[~suppressed]
    return groups


def _overlaps(box: np.ndarray, others: np.ndarray, offset: int) -> np.ndarray:
    """(N,) intersection over union of a box with N others, 0 if both are empty."""
    low, high = np.maximum(box[:2], others[:, :2]), np.minimum(box[2:4], others[:, 2:4])
    shared = np.maximum(high - low + offset, 0).prod(axis=1)
    area = (box[2:4] - box[:2] + offset).prod()
    areas = (others[:, 2:4] - others[:, :2] + offset).prod(axis=1)
    union = area + areas - shared
    return np.divide(shared, union, out=np.zeros_like(shared), where=union != 0)


def _fill_holes(keep: np.ndarray) -> np.ndarray:
    """(K,) positions of the kept boxes after moving the last kept one into the first gap, and so on."""
    n_kept = int(keep.sum())
    positions = np.arange(n_kept)
    positions[~keep[:n_kept]] = n_kept + np.flatnonzero(keep[n_kept:])[::-1]
    return positions
