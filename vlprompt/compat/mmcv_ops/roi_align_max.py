"""RoIAlign with the largest instead of the average sample of a bin, in plain torch, one region at a time."""

from __future__ import annotations

import math

import torch
from torch import Tensor

OUTSIDE = -2.0
"""Row and column of a bin without samples: bilinear weights are zero there, and so is the gradient."""


def roi_align_max_forward(
    features: Tensor,
    rois: Tensor,
    output: Tensor,
    argmax_y: Tensor,
    argmax_x: Tensor,
    size: tuple[int, int],
    spatial_scale: float,
    sampling_ratio: int,
    aligned: bool,
) -> None:
    """See :func:`vlprompt.compat.mmcv_ops.roi_align.roi_align_forward`. A bin without samples becomes 0."""
    output.zero_()
    argmax_y.fill_(OUTSIDE)
    argmax_x.fill_(OUTSIDE)
    corners = rois[:, 1:] * spatial_scale - (0.5 if aligned else 0.0)
    for k, (image, (left, top, right, bottom)) in enumerate(zip(rois[:, 0].long(), corners.tolist(), strict=True)):
        rows = sample_positions(top, bottom, size[0], sampling_ratio, aligned)
        columns = sample_positions(left, right, size[1], sampling_ratio, aligned)
        if not rows.numel() or not columns.numel():
            continue
        # (height, width, samples): those of a bin row by row
        y = rows.to(features)[:, None, :, None].expand(-1, size[1], -1, columns.shape[1]).flatten(2)
        x = columns.to(features)[None, :, None, :].expand(size[0], -1, rows.shape[1], -1).flatten(2)
        index, weight = bilinear(y, x, *features.shape[-2:])
        samples = (features[image].flatten(1)[:, index] * weight).sum(dim=1)
        output[k], best = samples.max(dim=-1)
        argmax_y[k] = y.expand_as(samples).gather(-1, best[..., None])[..., 0]
        argmax_x[k] = x.expand_as(samples).gather(-1, best[..., None])[..., 0]


def roi_align_max_backward(
    grad_output: Tensor, rois: Tensor, argmax_y: Tensor, argmax_x: Tensor, shape: torch.Size
) -> Tensor:
    """Gradient (B, C, H, W) of the maps: every bin gives its gradient to the four pixels of its largest sample."""
    channels, height, width = shape[1:]
    index, weight = bilinear(argmax_y.to(grad_output), argmax_x.to(grad_output), height, width)
    plane = rois[:, :1].long() * channels + torch.arange(channels, device=rois.device)
    index = index + plane[..., None, None] * (height * width)
    grad = grad_output.new_zeros(math.prod(shape))
    return grad.index_add_(0, index.flatten(), (weight * grad_output).flatten()).view(shape)


def sample_positions(start: float, end: float, bins: int, sampling_ratio: int, aligned: bool) -> Tensor:
    """(bins, samples) float64 coordinates of the samples in one direction, in pixels of the map."""
    length = end - start if aligned else max(end - start, 1.0)
    samples = sampling_ratio if sampling_ratio > 0 else math.ceil(length / bins)
    bin_start = torch.arange(bins, dtype=torch.float64)[:, None]
    inside = (torch.arange(samples, dtype=torch.float64) + 0.5) / max(samples, 1)
    return start + (bin_start + inside) * (length / bins)


def bilinear(y: Tensor, x: Tensor, height: int, width: int) -> tuple[Tensor, Tensor]:
    """Indices into a flattened map (H * W) and weights, both (4, ...), of the pixels around every point (...).

    Points up to one pixel outside take the value of the border, points beyond count as 0.
    """
    inside = (y >= -1) & (y <= height) & (x >= -1) & (x <= width)
    y, x = y.clamp(0, height - 1), x.clamp(0, width - 1)
    top, left = y.long(), x.long()
    bottom, right = (top + 1).clamp(max=height - 1), (left + 1).clamp(max=width - 1)
    down, over = y - top, x - left
    index = torch.stack((top * width + left, top * width + right, bottom * width + left, bottom * width + right))
    weight = torch.stack(((1 - down) * (1 - over), (1 - down) * over, down * (1 - over), down * over))
    return index, weight * inside
