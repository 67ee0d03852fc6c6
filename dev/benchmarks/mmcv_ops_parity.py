"""Compare the mmcv ops in use, compiled or vlprompt's stand-in, with plain loops on random cases.

Prints the number of cases whose indices differ and the largest absolute difference of values and gradients.

    python dev/benchmarks/mmcv_ops_parity.py
    python dev/benchmarks/mmcv_ops_parity.py --cases 100 --ops nms roi_align --device cuda

The compiled forms of RoIPool, DeformRoIPool, multi-scale attention, CARAFE, MaskedConv2d and the focal losses exist on
GPUs only. Ops with gradients of coordinates are compared in float64, because a rounded coordinate can lie in the next
pixel, where the gradient is another.
"""

from __future__ import annotations

import argparse
import random
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from vlprompt.compat.environment import check_environment

check_environment()  # before mmcv.ops is imported

from mmcv import ops  # noqa: E402
from mmcv.ops.deform_conv import deform_conv2d  # noqa: E402
from mmcv.ops.multi_scale_deform_attn import MultiScaleDeformableAttnFunction  # noqa: E402
from mmcv.ops.psa_mask import psa_mask  # noqa: E402

from dev.benchmarks import mmcv_ops_loops as loops  # noqa: E402
from vlprompt.compat.mmcv_ops import ops_in_use  # noqa: E402


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


def random_doubles(*shapes: Sequence[int]) -> list[Tensor]:
    """Normally distributed tensors in double precision."""
    return [torch.randn(*shape, dtype=torch.float64) for shape in shapes]


def compare_gradients(op: Callable, reference: Callable, inputs: Sequence[Tensor], device: str) -> Difference:
    """Values, and gradients by all inputs, of two functions of the same tensors."""
    leaves = [tensor.clone().requires_grad_() for tensor in inputs]
    ours, theirs = op(*(leaf.to(device) for leaf in leaves)).cpu(), reference(*leaves)
    grad_output = torch.randn_like(ours)
    grads, expected = (
        torch.autograd.grad(output, leaves, grad_output.to(output.dtype), allow_unused=True, materialize_grads=True)
        if output.requires_grad
        else [torch.zeros_like(leaf) for leaf in leaves]
        for output in (ours, theirs)
    )
    differences = [largest(grad - other) for grad, other in zip(grads, expected, strict=True)]
    return Difference(values=largest((ours - theirs).detach()), gradients=max(differences))


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
    _, kept = ops.nms(boxes.to(device), scores.to(device), threshold, offset)
    return Difference(indices=int(kept.tolist() != loops.nms_reference(boxes, scores, threshold, offset)))


def compare_soft_nms(rng: random.Random, device: str) -> Difference:
    boxes, scores = random_boxes(rng, whole=False)
    method, offset = rng.choice(('naive', 'linear', 'gaussian')), rng.randint(0, 1)
    options = dict(iou_threshold=rng.uniform(0.1, 0.7), sigma=rng.uniform(0.2, 1), min_score=rng.choice((1e-3, 0.1)))
    dets, kept = ops.soft_nms(boxes.to(device), scores.to(device), method=method, offset=offset, **options)
    dets, kept = dets.cpu(), kept.cpu()
    indices, new_scores = loops.soft_nms_reference(boxes, scores, method=method, offset=offset, **options)
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
    features = torch.randn(images, channels, height, width)
    rois = random_regions(rng, images, height, width, scale)
    size = (rng.randint(1, 4), rng.randint(1, 4))
    options = (size, scale, rng.choice((0, 0, 1, 2, 3)), rng.choice(('avg', 'max')), rng.random() < 0.5)
    return compare_gradients(
        lambda f: ops.roi_align(f, rois.to(device), *options),
        lambda f: loops.roi_align_reference(f, rois, *options),
        [features],
        device,
    )


def compare_roi_pool(rng: random.Random, device: str) -> Difference:
    images, channels, height, width = rng.randint(1, 2), rng.randint(1, 3), rng.randint(1, 12), rng.randint(1, 12)
    scale = rng.choice((1.0, 0.25, 1 / 3))
    rois, size = random_regions(rng, images, height, width, scale), (rng.randint(1, 4), rng.randint(1, 4))
    return compare_gradients(
        lambda f: ops.roi_pool(f, rois.to(device), size, scale),
        lambda f: loops.roi_pool_reference(f, rois, size, scale),
        [torch.randn(images, channels, height, width)],
        device,
    )


def compare_deform_roi_pool(rng: random.Random, device: str) -> Difference:
    images, channels, height, width = rng.randint(1, 2), rng.randint(1, 3), rng.randint(4, 9), rng.randint(4, 9)
    scale = rng.choice((1.0, 0.25, 1 / 3))
    rois = random_regions(rng, images, height, width, scale).double()
    size = (rng.randint(1, 3), rng.randint(1, 3))
    features, offset = random_doubles((images, channels, height, width), (len(rois), 2, *size))
    options = (size, scale, rng.choice((0, 1, 2)), 0.1)
    if rng.random() < 0.2:
        return compare_gradients(
            lambda f: ops.deform_roi_pool(f, rois.to(device), None, *options),
            lambda f: loops.deform_roi_pool_reference(f, rois, None, *options),
            [features],
            device,
        )
    return compare_gradients(
        lambda f, o: ops.deform_roi_pool(f, rois.to(device), o, *options),
        lambda f, o: loops.deform_roi_pool_reference(f, rois, o, *options),
        [features, offset],
        device,
    )


def random_convolution(rng: random.Random) -> tuple[list[Tensor], tuple[int, ...]]:
    """Input, offsets, masks, weights and bias, and stride, padding, dilation, groups and groups of offsets."""
    stride, padding, dilation = rng.randint(1, 2), rng.randint(0, 2), rng.randint(1, 2)
    groups, deform_groups = rng.choice((1, 2)), rng.choice((1, 2))
    kernel, size = (rng.randint(1, 3), rng.randint(1, 3)), (rng.randint(5, 7), rng.randint(5, 7))
    out = [(n + 2 * padding - dilation * (k - 1) - 1) // stride + 1 for n, k in zip(size, kernel, strict=True)]
    batch, taps = rng.randint(1, 2), kernel[0] * kernel[1] * deform_groups
    tensors = random_doubles(
        (batch, 4, *size),
        (batch, 2 * taps, *out),
        (batch, taps, *out),
        (2 * groups, 4 // groups, *kernel),
        (2 * groups,),
    )
    tensors[1] *= rng.choice((0.5, 3))
    return tensors, (stride, padding, dilation, groups, deform_groups)


def compare_deform_conv(rng: random.Random, device: str) -> Difference:
    (features, offset, _, weight, _), options = random_convolution(rng)
    return compare_gradients(
        lambda f, o, w: deform_conv2d(f, o, w, *options),
        lambda f, o, w: loops.deform_conv_reference(f, o, w, None, None, *options),
        [features, offset, weight],
        device,
    )


def compare_modulated_deform_conv(rng: random.Random, device: str) -> Difference:
    tensors, options = random_convolution(rng)
    if rng.random() < 0.3:
        tensors.pop()  # no bias
    return compare_gradients(
        lambda f, o, m, w, b=None: ops.modulated_deform_conv2d(f, o, m, w, b, *options),
        lambda f, o, m, w, b=None: loops.deform_conv_reference(f, o, w, m, b, *options),
        tensors,
        device,
    )


def compare_ms_deform_attn(rng: random.Random, device: str) -> Difference:
    shapes = [(rng.randint(1, 5), rng.randint(1, 5)) for _ in range(rng.randint(1, 3))]
    sizes = torch.tensor([height * width for height, width in shapes])
    batch, queries, heads, points, width = (rng.randint(1, 3) for _ in range(5))
    value, locations, weights = random_doubles(
        (batch, int(sizes.sum()), heads, width),
        (batch, queries, heads, len(shapes), points, 2),
        (batch, queries, heads, len(shapes), points),
    )
    maps = [torch.tensor(shapes).to(device), (sizes.cumsum(0) - sizes).to(device)]
    return compare_gradients(
        lambda v, x, w: MultiScaleDeformableAttnFunction.apply(v, *maps, x, w, 64),
        lambda v, x, w: loops.ms_deform_attn_reference(v, shapes, x, w),
        [value, locations * 0.5 + 0.5, weights],
        device,
    )


def compare_carafe(rng: random.Random, device: str) -> Difference:
    kernel, groups, scale = rng.choice((1, 3, 5)), rng.randint(1, 2), rng.randint(1, 3)
    batch, height, width = rng.randint(1, 2), rng.randint(1, 4), rng.randint(1, 4)
    masks = torch.randn(batch, groups * kernel**2, height * scale, width * scale)
    return compare_gradients(
        lambda f, m: ops.carafe(f, m, kernel, groups, scale),
        lambda f, m: loops.carafe_reference(f, m, kernel, groups, scale),
        [torch.randn(batch, 2 * groups, height, width), masks],
        device,
    )


def compare_psa_mask(rng: random.Random, device: str) -> Difference:
    kind, mask_size = rng.choice(('collect', 'distribute')), (rng.randint(1, 6), rng.randint(1, 6))
    attention = torch.randn(rng.randint(1, 2), mask_size[0] * mask_size[1], rng.randint(1, 4), rng.randint(1, 4))
    return compare_gradients(
        lambda a: psa_mask(a, ('collect', 'distribute').index(kind), mask_size),
        lambda a: loops.psa_mask_reference(a, kind, mask_size),
        [attention],
        device,
    )


def compare_masked_conv(rng: random.Random, device: str) -> Difference:
    height, width = rng.randint(3, 8), rng.randint(3, 8)
    conv = ops.MaskedConv2d(2, 3, kernel_size := rng.choice((1, 3)), padding=kernel_size // 2).to(device).eval()
    features, mask = torch.randn(1, 2, height, width), torch.rand(1, height, width) - rng.random()
    with torch.no_grad():
        ours = conv(features.to(device), mask.to(device)).cpu()
        theirs = torch.nn.functional.conv2d(features, conv.weight.cpu(), conv.bias.cpu(), padding=kernel_size // 2)
    return Difference(values=largest(ours - theirs * (mask > 0)))


def compare_nms_match(rng: random.Random, device: str) -> Difference:
    boxes, scores = random_boxes(rng, whole=rng.random() < 0.5)
    scores = scores + torch.arange(len(scores)) * 1e-4  # equal scores have no order
    threshold = rng.choice((0.2, 0.3, 0.5, 0.6, 0.7, 0.75))
    groups = ops.nms_match(torch.cat((boxes, scores[:, None]), dim=1).to(device), threshold)
    expected = loops.nms_match_reference(boxes, scores, threshold)
    return Difference(indices=int([group.tolist() for group in groups] != expected))


def compare_bbox_overlaps(rng: random.Random, device: str) -> Difference:
    (boxes1, _), (boxes2, _) = (random_boxes(rng, whole=False) for _ in range(2))
    aligned, mode, offset = rng.random() < 0.5, rng.choice(('iou', 'iof')), rng.randint(0, 1)
    if aligned:
        boxes1, boxes2 = (boxes[: min(len(boxes1), len(boxes2))] for boxes in (boxes1, boxes2))
    ours = ops.bbox_overlaps(boxes1.to(device), boxes2.to(device), mode, aligned, offset).cpu()
    pairs = zip(boxes1, boxes2, strict=True) if aligned else ((a, b) for a in boxes1 for b in boxes2)
    theirs = [float(loops.iou_reference(a.numpy(), b.numpy(), offset, mode)) for a, b in pairs]
    return Difference(values=largest(ours.flatten() - torch.tensor(theirs)))


def compare_sigmoid_focal_loss(rng: random.Random, device: str) -> Difference:
    logits, target, options = random_logits(rng, background=True)
    return compare_gradients(
        lambda x: ops.sigmoid_focal_loss(x, target.to(device), *options, None, 'none'),
        lambda x: loops.focal_loss_reference(x.double(), target, *options),
        [logits],
        device,
    )


def compare_softmax_focal_loss(rng: random.Random, device: str) -> Difference:
    logits, target, options = random_logits(rng, background=False)
    return compare_gradients(
        lambda x: ops.softmax_focal_loss(x, target.to(device), *options, None, 'sum'),  # 'none' fails in mmcv
        lambda x: loops.softmax_focal_loss_reference(x.double(), target, *options).sum(),
        [logits],
        device,
    )


def random_logits(rng: random.Random, background: bool) -> tuple[Tensor, Tensor, tuple[float, float]]:
    """Logits (N, C) of 0 to 12 samples, their classes, C among them with ``background``, and gamma, alpha."""
    samples, classes = rng.randint(0, 12), rng.randint(1, 6)
    logits = torch.randn(samples, classes) * rng.choice((1, 3))
    target = torch.tensor([rng.randint(0, classes - 1 + background) for _ in range(samples)], dtype=torch.long)
    return logits, target, (rng.choice((0.0, 0.5, 1.5, 2.0, 3.0)), rng.choice((0.1, 0.25, 0.5, 0.9)))


COMPARISONS = dict(
    nms=compare_nms,
    soft_nms=compare_soft_nms,
    nms_match=compare_nms_match,
    bbox_overlaps=compare_bbox_overlaps,
    roi_align=compare_roi_align,
    roi_pool=compare_roi_pool,
    deform_roi_pool=compare_deform_roi_pool,
    deform_conv=compare_deform_conv,
    modulated_deform_conv=compare_modulated_deform_conv,
    ms_deform_attn=compare_ms_deform_attn,
    masked_conv=compare_masked_conv,
    carafe=compare_carafe,
    psa_mask=compare_psa_mask,
    sigmoid_focal_loss=compare_sigmoid_focal_loss,
    softmax_focal_loss=compare_softmax_focal_loss,
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
    print(f'{"op":22s} {"cases":>6s} {"other indices":>14s} {"values":>9s} {"gradients":>10s} {"seconds":>8s}')
    for op in args.ops:
        start = time.perf_counter()
        d = compare(op, args.cases, args.seed, args.device)
        seconds = time.perf_counter() - start
        print(
            f'{op:22s} {args.cases:6d} {d.indices:14d} {d.values:9.1e} {d.gradients:10.1e} {seconds:8.1f}', flush=True
        )


if __name__ == '__main__':
    main()
