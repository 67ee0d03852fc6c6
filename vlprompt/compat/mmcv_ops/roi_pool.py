"""RoIPool with the signatures of ``mmcv._ext``, in plain torch, one region at a time.

torchvision's op of that name rounds the corners of regions; mmcv's does not, so its bins may share pixels.
"""

from __future__ import annotations

import torch
from torch import Tensor

from vlprompt.compat.mmcv_ops.precision import at_least_float32

EMPTY = -1
"""Position in a map of a bin without pixels, whose value and gradient are 0."""


def roi_pool_forward(
    input: Tensor,
    rois: Tensor,
    output: Tensor,
    argmax: Tensor,
    pooled_height: int,
    pooled_width: int,
    spatial_scale: float,
) -> None:
    """Pool regions of feature maps to a fixed size by maxima (Girshick, 2015, section 2.1).

    Args:
        input: (B, C, H, W) feature maps.
        rois: (K, 5) index of the map and corners x1, y1, x2, y2 in pixels of the image, the last ones included.
        output: (K, C, pooled_height, pooled_width), overwritten.
        argmax: like ``output``, of an integer type, overwritten with the position of the maximum in the flattened map.
        pooled_height: bins of a region from top to bottom.
        pooled_width: bins of a region from left to right.
        spatial_scale: size of the maps over size of the image.
    """
    (rois,) = at_least_float32(rois)
    height, width = input.shape[-2:]
    output.zero_()
    argmax.fill_(EMPTY)
    starts_y, ends_y = _bins(rois[:, 2] * spatial_scale, (rois[:, 4] + 1) * spatial_scale, pooled_height, height)
    starts_x, ends_x = _bins(rois[:, 1] * spatial_scale, (rois[:, 3] + 1) * spatial_scale, pooled_width, width)
    sizes = torch.stack((_largest(starts_y, ends_y), _largest(starts_x, ends_x), rois[:, 0].long()), dim=1)
    for k, (rows, columns, image) in enumerate(sizes.tolist()):
        if not rows or not columns:
            continue
        # A bin smaller than the largest one has its last pixel more than once.
        y = _pixels(starts_y[k], ends_y[k], rows)[:, None, :, None].expand(-1, pooled_width, -1, columns)
        x = _pixels(starts_x[k], ends_x[k], columns)[None, :, None, :].expand(pooled_height, -1, rows, -1)
        position = (y * width + x).flatten(2)  # (pooled_height, pooled_width, pixels)
        values, best = input[image].flatten(1)[:, position].max(dim=-1)
        filled = (ends_y[k] > starts_y[k])[:, None] & (ends_x[k] > starts_x[k])
        output[k] = values.masked_fill(~filled, 0)
        position = position.expand(len(best), -1, -1, -1).gather(-1, best[..., None])[..., 0]
        argmax[k] = position.masked_fill(~filled, EMPTY).to(argmax.dtype)


def roi_pool_backward(
    grad_output: Tensor,
    rois: Tensor,
    argmax: Tensor,
    grad_input: Tensor,
    pooled_height: int,
    pooled_width: int,
    spatial_scale: float,
) -> None:
    """Add the gradient of each bin to the pixel of its maximum in ``grad_input`` (B, C, H, W).

    The other arguments are those of :func:`roi_pool_forward`.
    """
    (grad,) = at_least_float32(grad_output)
    channels, height, width = grad_input.shape[1:]
    plane = rois[:, :1].long() * channels + torch.arange(channels, device=rois.device)
    filled = argmax != EMPTY
    index = (plane[..., None, None] * (height * width) + argmax).where(filled, 0)
    total = grad.new_zeros(grad_input.numel()).index_add_(0, index.flatten(), grad.where(filled, 0).flatten())
    grad_input.add_(total.view(grad_input.shape))


def _bins(start: Tensor, end: Tensor, bins: int, size: int) -> tuple[Tensor, Tensor]:
    """First pixels of the bins and those after the last, both (K, bins); the same where a region has no length."""
    length = end - start
    step = (length / bins)[:, None]
    number = torch.arange(bins + 1, device=start.device, dtype=start.dtype)
    edges = number * step + start[:, None]
    starts = edges[:, :-1].floor().clamp(0, size).long()
    ends = edges[:, 1:].ceil().clamp(0, size).long()
    return starts, torch.where((length > 0)[:, None], ends, starts)


def _largest(starts: Tensor, ends: Tensor) -> Tensor:
    """(K,) pixels of the largest bin of each region."""
    return (ends - starts).amax(dim=1).clamp(min=0)


def _pixels(starts: Tensor, ends: Tensor, count: int) -> Tensor:
    """(bins, count) pixels of every bin, the last one repeated."""
    pixels = starts[:, None] + torch.arange(count, device=starts.device)
    return torch.minimum(pixels, ends[:, None] - 1).clamp(min=0)
