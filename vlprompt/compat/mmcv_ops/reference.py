"""What the ops compute, written as plainly as possible: slow loops to compare implementations with.

Used by the tests and by ``tools/benchmarks/mmcv_ops_parity.py``, never by a model.
"""

from __future__ import annotations

import math

import numpy as np
import torch
from torch import Tensor


def iou_reference(a: np.ndarray, b: np.ndarray, offset: int) -> np.float32:
    """Intersection over union of two boxes (4,) of corners, 0 where both are empty."""
    width = max(np.float32(0), min(a[2], b[2]) - max(a[0], b[0]) + offset)
    height = max(np.float32(0), min(a[3], b[3]) - max(a[1], b[1]) + offset)
    area_a = (a[2] - a[0] + offset) * (a[3] - a[1] + offset)
    area_b = (b[2] - b[0] + offset) * (b[3] - b[1] + offset)
    union = area_a + area_b - width * height
    return width * height / union if union else np.float32(0)


def nms_reference(boxes: Tensor, scores: Tensor, iou_threshold: float, offset: int) -> list[int]:
    """Greedy non-maximum suppression of boxes (N, 4); the first of equal scores wins."""
    corners, threshold = boxes.numpy(), np.float32(iou_threshold)
    waiting = sorted(range(len(boxes)), key=lambda i: -float(scores[i]))
    kept = []
    while waiting:
        best = waiting.pop(0)
        kept.append(best)
        waiting = [i for i in waiting if not iou_reference(corners[best], corners[i], offset) > threshold]
    return kept


def soft_nms_reference(
    boxes: Tensor,
    scores: Tensor,
    iou_threshold: float,
    sigma: float,
    min_score: float,
    method: str,
    offset: int,
) -> tuple[list[int], list[float]]:
    """Indices and new scores of soft-NMS; which one of *equal* scores is taken first is left open."""
    corners, live = boxes.numpy(), {i: np.float32(score) for i, score in enumerate(scores.tolist())}
    kept, new_scores = [], []
    while live:
        best = max(live, key=lambda i: live[i])
        kept.append(best)
        new_scores.append(float(live.pop(best)))
        for i in list(live):
            overlap = iou_reference(corners[best], corners[i], offset)
            if method == 'gaussian':
                live[i] *= np.exp(-overlap * overlap / np.float32(sigma))
            elif overlap >= np.float32(iou_threshold):
                live[i] *= 1 - overlap if method == 'linear' else 0
            if live[i] < np.float32(min_score):
                del live[i]
    return kept, new_scores


def bilinear_reference(plane: Tensor, y: float, x: float) -> Tensor:
    """(C,) values of maps (C, H, W) at a point, 0 more than a pixel outside."""
    height, width = plane.shape[-2:]
    if y < -1 or y > height or x < -1 or x > width:
        return plane[:, 0, 0] * 0  # keeps the graph
    y, x = min(max(y, 0.0), height - 1.0), min(max(x, 0.0), width - 1.0)
    top, left = int(y), int(x)
    bottom, right = min(top + 1, height - 1), min(left + 1, width - 1)
    down, over = y - top, x - left
    upper = plane[:, top, left] * (1 - over) + plane[:, top, right] * over
    lower = plane[:, bottom, left] * (1 - over) + plane[:, bottom, right] * over
    return upper * (1 - down) + lower * down


def roi_align_reference(
    features: Tensor,
    rois: Tensor,
    size: tuple[int, int],
    spatial_scale: float,
    sampling_ratio: int,
    pool_mode: str,
    aligned: bool,
) -> Tensor:
    """(K, C, height, width) pooled regions (K, 5) of maps (B, C, H, W); differentiable in the maps."""
    rows = []
    for image, *box in rois.tolist():
        left, top, right, bottom = (c * spatial_scale - (0.5 if aligned else 0.0) for c in box)
        lengths = (bottom - top, right - left)
        if not aligned:
            lengths = tuple(max(length, 1.0) for length in lengths)
        bin_h, bin_w = lengths[0] / size[0], lengths[1] / size[1]
        grid_h, grid_w = (sampling_ratio or math.ceil(bin_size) for bin_size in (bin_h, bin_w))
        for i in range(size[0]):
            for j in range(size[1]):
                samples = [
                    bilinear_reference(
                        features[int(image)],
                        top + (i + (a + 0.5) / grid_h) * bin_h,
                        left + (j + (b + 0.5) / grid_w) * bin_w,
                    )
                    for a in range(grid_h)
                    for b in range(grid_w)
                ] or [features[int(image), :, 0, 0] * 0]
                rows.append(torch.stack(samples).mean(0) if pool_mode == 'avg' else torch.stack(samples).amax(0))
    if not rows:
        return features.new_zeros(0, features.shape[1], *size)
    return torch.stack(rows).view(len(rois), *size, features.shape[1]).permute(0, 3, 1, 2)


def focal_loss_reference(logits: Tensor, target: Tensor, gamma: float, alpha: float) -> Tensor:
    """(N, C) sigmoid focal loss of each logit, by probabilities; differentiable."""
    probability = logits.sigmoid()
    loss = -(1 - alpha) * probability**gamma * (1 - probability).log()
    for n, k in enumerate(target.tolist()):
        if 0 <= k < logits.shape[1]:
            p = probability[n, k]
            loss = loss.index_put((torch.tensor(n), torch.tensor(k)), -alpha * (1 - p) ** gamma * p.log())
    return loss
