"""Deformable RoI pooling with the signatures of ``mmcv._ext``, in plain torch, one region at a time."""

from __future__ import annotations

import torch
from torch import Tensor

from vlprompt.compat.mmcv_ops.gradients import add_gradients
from vlprompt.compat.mmcv_ops.precision import at_least_float32
from vlprompt.compat.mmcv_ops.sampling import bilinear, grid_of_samples, sample_positions


def deform_roi_pool_forward(
    input: Tensor,
    rois: Tensor,
    offset: Tensor,
    output: Tensor,
    pooled_height: int,
    pooled_width: int,
    spatial_scale: float,
    sampling_ratio: int,
    gamma: float,
) -> None:
    """RoIAlign (averages, aligned) whose bins are moved by offsets (Dai et al., 2017, section 2.2).

    Args:
        input: (B, C, H, W) feature maps.
        rois: (K, 5) index of the map and corners x1, y1, x2, y2 in pixels of the image.
        offset: (K, 2, pooled_height, pooled_width) x, then y, in sizes of the region; or empty for none.
        output: (K, C, pooled_height, pooled_width), overwritten.
        pooled_height: bins of a region from top to bottom.
        pooled_width: bins of a region from left to right.
        spatial_scale: size of the maps over size of the image.
        sampling_ratio: samples per bin and direction; 0 for as many as a bin has pixels, rounded up.
        gamma: factor of the offsets.
    """
    features, rois, offset = at_least_float32(input, rois, offset)
    size = (pooled_height, pooled_width)
    output.copy_(_pool(features, offset, rois, size, spatial_scale, sampling_ratio, gamma))


def deform_roi_pool_backward(
    grad_output: Tensor,
    input: Tensor,
    rois: Tensor,
    offset: Tensor,
    grad_input: Tensor,
    grad_offset: Tensor,
    pooled_height: int,
    pooled_width: int,
    spatial_scale: float,
    sampling_ratio: int,
    gamma: float,
) -> None:
    """Add the gradients to ``grad_input`` and ``grad_offset``.

    The gradient of the offsets is that of the pooled values everywhere, also for samples less than a pixel outside the
    map, where the compiled op extrapolates.
    """
    grad, features, rois, offset = at_least_float32(grad_output, input, rois, offset)
    options = (rois, (pooled_height, pooled_width), spatial_scale, sampling_ratio, gamma)
    if not len(rois):
        return
    if offset.numel():
        add_gradients(lambda f, o: _pool(f, o, *options), (features, offset), grad, (grad_input, grad_offset))
    else:
        add_gradients(lambda f: _pool(f, offset, *options), (features,), grad, (grad_input,))


def _pool(
    features: Tensor,
    offset: Tensor,
    rois: Tensor,
    size: tuple[int, int],
    spatial_scale: float,
    sampling_ratio: int,
    gamma: float,
) -> Tensor:
    """(K, C, height, width) pooled regions, differentiable in the features and the offsets."""
    flat = features.flatten(2)
    pooled = [features.new_zeros(0, features.shape[1], *size)]
    corners = rois[:, 1:] * spatial_scale - 0.5
    for k, (image, (left, top, right, bottom)) in enumerate(zip(rois[:, 0].long(), corners.tolist(), strict=True)):
        rows = sample_positions(top, bottom, size[0], sampling_ratio, aligned=True)
        columns = sample_positions(left, right, size[1], sampling_ratio, aligned=True)
        y, x = grid_of_samples(rows.to(features), columns.to(features))
        if offset.numel():
            x = x + gamma * (right - left) * offset[k, 0, ..., None]
            y = y + gamma * (bottom - top) * offset[k, 1, ..., None]
        index, weight = bilinear(y, x, *features.shape[-2:])
        total = (flat[image][:, index] * weight).sum(dim=(1, -1))
        pooled.append(total[None] / max(y.shape[-1], 1))
    return torch.cat(pooled)
