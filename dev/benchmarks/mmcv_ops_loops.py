"""mmcv's ops as plain loops over boxes, pixels and samples, written from their papers: slow, and easy to check.

All are differentiable by autograd where the op has gradients.
"""

from __future__ import annotations

import math
from itertools import product

import numpy as np
import torch
from torch import Tensor


def iou_reference(a: np.ndarray, b: np.ndarray, offset: int, mode: str = 'iou') -> np.float32:
    """Intersection of two boxes (4,) of corners over their union or the first one, 0 where that is empty."""
    width = max(np.float32(0), min(a[2], b[2]) - max(a[0], b[0]) + offset)
    height = max(np.float32(0), min(a[3], b[3]) - max(a[1], b[1]) + offset)
    area_a = (a[2] - a[0] + offset) * (a[3] - a[1] + offset)
    area_b = (b[2] - b[0] + offset) * (b[3] - b[1] + offset)
    base = area_a + area_b - width * height if mode == 'iou' else area_a
    return width * height / base if base else np.float32(0)


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


def bilinear_reference(plane: Tensor, y: float | Tensor, x: float | Tensor) -> Tensor:
    """(C,) values of maps (C, H, W) at a point, 0 more than a pixel outside."""
    height, width = plane.shape[-2:]
    if y < -1 or y > height or x < -1 or x > width:
        return plane[:, 0, 0] * 0  # keeps the graph
    y, x = min(max(y, 0.0), height - 1.0), min(max(x, 0.0), width - 1.0)
    top, left = (int(c.detach()) if isinstance(c, Tensor) else int(c) for c in (y, x))
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


def nms_match_reference(boxes: Tensor, scores: Tensor, iou_threshold: float) -> list[list[int]]:
    """Every kept box and those that it suppresses, from an overlap equal to the threshold on."""
    corners, threshold = boxes.numpy(), np.float32(iou_threshold)
    waiting = sorted(range(len(boxes)), key=lambda i: -float(scores[i]))
    groups = []
    while waiting:
        best = waiting.pop(0)
        suppressed = [i for i in waiting if iou_reference(corners[best], corners[i], 0) >= threshold]
        waiting = [i for i in waiting if i not in suppressed]
        groups.append([best, *suppressed])
    return groups


def roi_pool_reference(features: Tensor, rois: Tensor, size: tuple[int, int], spatial_scale: float) -> Tensor:
    """(K, C, height, width) maxima of the pixels that each bin of a region (K, 5) touches, 0 if there are none."""
    height, width = features.shape[-2:]
    scale, one = np.float32(spatial_scale), np.float32(1)
    rows = []
    for image, *box in rois.numpy().astype(np.float32):
        left, top, right, bottom = box[0] * scale, box[1] * scale, (box[2] + one) * scale, (box[3] + one) * scale
        bin_h, bin_w = (bottom - top) / np.float32(size[0]), (right - left) / np.float32(size[1])
        for i, j in product(range(size[0]), range(size[1])):
            y = range(max(math.floor(i * bin_h + top), 0), min(math.ceil((i + 1) * bin_h + top), height))
            x = range(max(math.floor(j * bin_w + left), 0), min(math.ceil((j + 1) * bin_w + left), width))
            maps = features[int(image)]
            if len(y) and len(x) and bin_h > 0 and bin_w > 0:
                rows.append(torch.stack([maps[:, a, b] for a, b in product(y, x)]).max(dim=0).values)
            else:
                rows.append(maps[:, 0, 0] * 0)
    if not rows:
        return features.new_zeros(0, features.shape[1], *size)
    return torch.stack(rows).view(len(rois), *size, features.shape[1]).permute(0, 3, 1, 2)


def deform_roi_pool_reference(
    features: Tensor,
    rois: Tensor,
    offset: Tensor | None,
    size: tuple[int, int],
    spatial_scale: float,
    sampling_ratio: int,
    gamma: float,
) -> Tensor:
    """(K, C, height, width) averages of bins that are moved by ``gamma`` times the offset, in sizes of the region."""
    rows = []
    for k, (image, *box) in enumerate(rois.tolist()):
        left, top, right, bottom = (c * spatial_scale - 0.5 for c in box)
        bin_h, bin_w = (bottom - top) / size[0], (right - left) / size[1]
        grid_h, grid_w = (sampling_ratio or math.ceil(bin_size) for bin_size in (bin_h, bin_w))
        for i, j in product(range(size[0]), range(size[1])):
            x, y = (0, 0) if offset is None else offset[k, :, i, j]
            x, y = left + gamma * (right - left) * x, top + gamma * (bottom - top) * y
            samples = [
                bilinear_reference(
                    features[int(image)], y + (i + (a + 0.5) / grid_h) * bin_h, x + (j + (b + 0.5) / grid_w) * bin_w
                )
                for a, b in product(range(grid_h), range(grid_w))
            ] or [features[int(image), :, 0, 0] * 0]
            rows.append(torch.stack(samples).mean(0))
    if not rows:
        return features.new_zeros(0, features.shape[1], *size)
    return torch.stack(rows).view(len(rois), *size, features.shape[1]).permute(0, 3, 1, 2)


def bilinear_in_zeros(plane: Tensor, y: Tensor, x: Tensor) -> Tensor:
    """(C,) values of maps (C, H, W) that are surrounded by zeros, at a point; differentiable in the point too."""
    height, width = plane.shape[-2:]
    total = plane[:, 0, 0] * 0
    top, left = math.floor(y.detach()), math.floor(x.detach())
    for row, column in product((top, top + 1), (left, left + 1)):
        if 0 <= row < height and 0 <= column < width:
            total = total + plane[:, row, column] * (1 - abs(y - row)) * (1 - abs(x - column))
    return total


def deform_conv_reference(
    input: Tensor,
    offset: Tensor,
    weight: Tensor,
    mask: Tensor | None = None,
    bias: Tensor | None = None,
    stride: int = 1,
    padding: int = 0,
    dilation: int = 1,
    groups: int = 1,
    deform_groups: int = 1,
) -> Tensor:
    """(B, K, H', W') convolution of (B, C, H, W) whose taps are moved by (y, x) and multiplied by the mask."""
    taps = list(product(range(weight.shape[2]), range(weight.shape[3])))
    offset = offset.unflatten(1, (deform_groups, len(taps), 2))
    mask = torch.ones_like(offset[:, :, :, 0]) if mask is None else mask.unflatten(1, (deform_groups, len(taps)))
    images = []
    for b, maps in enumerate(input):
        pixels = []
        for i, j in product(range(offset.shape[-2]), range(offset.shape[-1])):
            columns = []  # what each tap sees, (C,)
            for t, (a, c) in enumerate(taps):
                y, x = i * stride - padding + a * dilation, j * stride - padding + c * dilation
                columns.append(
                    torch.cat(
                        [
                            bilinear_in_zeros(part, y + offset[b, g, t, 0, i, j], x + offset[b, g, t, 1, i, j])
                            * mask[b, g, t, i, j]
                            for g, part in enumerate(maps.chunk(deform_groups))
                        ]
                    )
                )
            seen = torch.stack(columns, dim=1).chunk(groups)  # (C / groups, taps)
            pixels.append(
                torch.cat([w.flatten(1) @ s.flatten() for w, s in zip(weight.chunk(groups), seen, strict=True)])
            )
        images.append(torch.stack(pixels, dim=1).view(len(weight), *offset.shape[-2:]))
    output = torch.stack(images)
    return output if bias is None else output + bias[:, None, None]


def ms_deform_attn_reference(
    value: Tensor, shapes: list[tuple[int, int]], locations: Tensor, weights: Tensor
) -> Tensor:
    """(B, queries, heads * width) weighted samples of maps that lie in ``value`` (B, keys, heads, width) in a row."""
    batch, queries, heads, _, points = weights.shape
    rows = []
    for b, q, h in product(range(batch), range(queries), range(heads)):
        total, start = value[b, 0, h] * 0, 0
        for level, (height, width) in enumerate(shapes):
            plane = value[b, start : start + height * width, h].T.unflatten(1, (height, width))
            start += height * width
            for p in range(points):
                x, y = locations[b, q, h, level, p]
                sample = bilinear_in_zeros(plane, y * height - 0.5, x * width - 0.5)
                total = total + weights[b, q, h, level, p] * sample
        rows.append(total)
    return torch.stack(rows).view(batch, queries, -1)


def carafe_reference(features: Tensor, masks: Tensor, kernel_size: int, groups: int, scale: int) -> Tensor:
    """(B, C, H * scale, W * scale) sums of the pixels around each place with its own weights."""
    batch, channels, height, width = features.shape
    half, share = kernel_size // 2, channels // groups
    rows = []
    for b, c, y, x in product(range(batch), range(channels), range(height * scale), range(width * scale)):
        total = features[b, c, 0, 0] * 0
        for i, j in product(range(kernel_size), repeat=2):
            row, column = y // scale + i - half, x // scale + j - half
            if 0 <= row < height and 0 <= column < width:
                tap = (c // share * kernel_size + i) * kernel_size + j
                total = total + features[b, c, row, column] * masks[b, tap, y, x]
        rows.append(total)
    return torch.stack(rows).view(batch, channels, height * scale, width * scale)


def psa_mask_reference(attention: Tensor, psa_type: str, mask_size: tuple[int, int]) -> Tensor:
    """(B, H * W, H, W) attention between pixels from that to relative positions (B, h * w, H, W)."""
    batch, _, height, width = attention.shape
    half_h, half_w = ((size - 1) // 2 for size in mask_size)
    rows = []
    for b, y, x, v, u in product(range(batch), range(height), range(width), range(height), range(width)):
        seen, seeing = ((y, x), (v, u)) if psa_type == 'collect' else ((v, u), (y, x))
        i, j = seen[0] - seeing[0] + half_h, seen[1] - seeing[1] + half_w
        inside = 0 <= i < mask_size[0] and 0 <= j < mask_size[1]
        window = attention[b, :, seeing[0], seeing[1]]
        rows.append(window[i * mask_size[1] + j if inside else 0] * inside)
    return torch.stack(rows).view(batch, height * width, height, width)


def softmax_focal_loss_reference(logits: Tensor, target: Tensor, gamma: float, alpha: float) -> Tensor:
    """(N,) focal loss of the probability of each sample's class, 0 for negative targets."""
    losses = [
        -alpha * (1 - p[k]) ** gamma * p[k].log() if k >= 0 else p[0] * 0
        for p, k in zip(logits.softmax(dim=1), target.tolist(), strict=True)
    ]
    return torch.stack(losses) if losses else logits.new_zeros(0)
