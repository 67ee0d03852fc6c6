"""RoIAlign with the largest instead of the average sample of a bin, in plain torch, one region at a time."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from vlprompt.compat.mmcv_ops.sampling import bilinear, grid_of_samples, sample_positions

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
        y, x = grid_of_samples(rows.to(features), columns.to(features))
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
