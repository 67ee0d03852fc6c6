"""Compare the mmcv ops in use, compiled or vlprompt's stand-in, with plain loops on random cases.

Prints the number of cases whose indices differ and the largest absolute difference of values and gradients.

    python dev/benchmarks/mmcv_ops_parity.py
    python dev/benchmarks/mmcv_ops_parity.py --cases 100 --ops nms roi_align --device cuda

A compiled sigmoid focal loss exists on GPUs only.
"""

from __future__ import annotations

import argparse
import math
import random
import time
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from vlprompt.compat.environment import check_environment

check_environment()  # before mmcv.ops is imported

from mmcv.ops import nms, roi_align, sigmoid_focal_loss, soft_nms  # noqa: E402

from vlprompt.compat.mmcv_ops import ops_in_use  # noqa: E402

# The plain loops.


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


# The comparison.


@dataclass
class Difference:
    """Differences of an op from its reference: kept boxes (0 or 1 if they differ), values and gradients."""

    indices: int = 0
    values: float = 0.0
    gradients: float = 0.0

    def worst(self, other: Difference) -> Difference:
        """Counts added, maxima of the rest."""
        return Difference(
            self.indices + other.indices,
            max(self.values, other.values),
            max(self.gradients, other.gradients),
        )


def largest(difference: Tensor) -> float:
    """Largest absolute value, 0 for an empty tensor."""
    return float(difference.abs().max()) if difference.numel() else 0.0


def random_boxes(rng: random.Random, whole: bool) -> tuple[Tensor, Tensor]:
    """0 to 60 boxes (N, 4) crowded enough to overlap, and scores (N,).

    With ``whole`` numbers many scores are equal and many overlaps lie exactly on a threshold.
    """
    boxes, scores = [], []
    for _ in range(rng.randint(0, 60)):
        left, top, width, height = rng.uniform(0, 60), rng.uniform(0, 60), rng.uniform(0, 40), rng.uniform(0, 40)
        box = [left, top, left + width, top + height]
        boxes.append([float(round(c / 5) * 5) for c in box] if whole else box)
        scores.append(rng.randint(1, 8) / 8 if whole else rng.random())
    return torch.tensor(boxes).view(-1, 4), torch.tensor(scores)


def compare_nms(rng: random.Random, device: str) -> Difference:
    boxes, scores = random_boxes(rng, whole=rng.random() < 0.5)
    threshold, offset = rng.choice((0.2, 0.3, 0.5, 0.6, 0.7, 0.75)), rng.randint(0, 1)
    _, kept = nms(boxes.to(device), scores.to(device), threshold, offset)
    return Difference(indices=int(kept.tolist() != nms_reference(boxes, scores, threshold, offset)))


def compare_soft_nms(rng: random.Random, device: str) -> Difference:
    boxes, scores = random_boxes(rng, whole=False)
    method, offset = rng.choice(('naive', 'linear', 'gaussian')), rng.randint(0, 1)
    options = dict(iou_threshold=rng.uniform(0.1, 0.7), sigma=rng.uniform(0.2, 1), min_score=rng.choice((1e-3, 0.1)))
    dets, kept = soft_nms(boxes.to(device), scores.to(device), method=method, offset=offset, **options)
    dets, kept = dets.cpu(), kept.cpu()
    indices, new_scores = soft_nms_reference(boxes, scores, method=method, offset=offset, **options)
    if kept.tolist() != indices:
        return Difference(indices=1)
    return Difference(values=largest(dets - torch.cat((boxes[kept], torch.tensor(new_scores)[:, None]), dim=1)))


def random_regions(rng: random.Random, images: int, height: int, width: int, scale: float) -> Tensor:
    """(K, 5) up to 4 regions, some partly or fully outside, some empty, some larger than the map."""
    regions = []
    for _ in range(rng.randint(0, 4)):
        left, right = sorted(rng.uniform(-0.3, 1.3) * width / scale for _ in range(2))
        top, bottom = sorted(rng.uniform(-0.3, 1.3) * height / scale for _ in range(2))
        if rng.random() < 0.1:
            right = left
        regions.append([rng.randrange(images), left, top, right, bottom])
    return torch.tensor(regions).view(-1, 5)


def compare_roi_align(rng: random.Random, device: str) -> Difference:
    images, channels, height, width = rng.randint(1, 2), rng.randint(1, 3), rng.randint(1, 12), rng.randint(1, 12)
    scale = rng.choice((1.0, 0.25, 1 / 3))
    features = torch.randn(images, channels, height, width, requires_grad=True)
    rois = random_regions(rng, images, height, width, scale)
    size = (rng.randint(1, 4), rng.randint(1, 4))
    options = (size, scale, rng.choice((0, 0, 1, 2, 3)), rng.choice(('avg', 'max')), rng.random() < 0.5)
    ours = roi_align(features.to(device), rois.to(device), *options).cpu()
    theirs = roi_align_reference(features, rois, *options)
    grad_output = torch.randn_like(ours)
    grad, expected = (
        torch.autograd.grad(pooled, features, grad_output, allow_unused=True)[0] if len(rois) else features.new_zeros(0)
        for pooled in (ours, theirs)
    )
    return Difference(values=largest((ours - theirs).detach()), gradients=largest(grad - expected))


def compare_sigmoid_focal_loss(rng: random.Random, device: str) -> Difference:
    samples, classes = rng.randint(0, 12), rng.randint(1, 6)
    logits = (torch.randn(samples, classes) * rng.choice((1, 3))).requires_grad_()
    target = torch.tensor([rng.randint(0, classes) for _ in range(samples)], dtype=torch.long)
    gamma, alpha = rng.choice((0.0, 0.5, 1.5, 2.0, 3.0)), rng.choice((0.1, 0.25, 0.5, 0.9))
    ours = sigmoid_focal_loss(logits.to(device), target.to(device), gamma, alpha, None, 'none').cpu()
    exact = logits.detach().double().requires_grad_()
    theirs = focal_loss_reference(exact, target, gamma, alpha)
    grad_output = torch.randn_like(ours)
    (grad,) = torch.autograd.grad(ours, logits, grad_output)
    (expected,) = torch.autograd.grad(theirs, exact, grad_output.double())
    return Difference(values=largest((ours - theirs).detach()), gradients=largest(grad - expected))


COMPARISONS = dict(
    nms=compare_nms,
    soft_nms=compare_soft_nms,
    roi_align=compare_roi_align,
    sigmoid_focal_loss=compare_sigmoid_focal_loss,
)


def compare(op: str, cases: int, seed: int = 0, device: str = 'cpu') -> Difference:
    """The worst of many random cases."""
    rng = random.Random(seed)
    torch.manual_seed(seed)
    worst = Difference()
    for _ in range(cases):
        worst = worst.worst(COMPARISONS[op](rng, device))
    return worst


def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--cases', type=int, default=1000, help='random cases per op')
    parser.add_argument('--ops', nargs='+', choices=COMPARISONS, default=list(COMPARISONS))
    parser.add_argument('--device', default='cpu')
    parser.add_argument('--seed', type=int, default=0)
    args = parser.parse_args(argv)
    print(f'mmcv ops: {ops_in_use()}\n')
    print(f'{"op":20s} {"cases":>6s} {"other indices":>14s} {"values":>9s} {"gradients":>10s} {"seconds":>8s}')
    for op in args.ops:
        start = time.perf_counter()
        d = compare(op, args.cases, args.seed, args.device)
        seconds = time.perf_counter() - start
        print(
            f'{op:20s} {args.cases:6d} {d.indices:14d} {d.values:9.1e} {d.gradients:10.1e} {seconds:8.1f}', flush=True
        )


if __name__ == '__main__':
    main()
