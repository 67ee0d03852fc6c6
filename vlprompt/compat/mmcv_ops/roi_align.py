"""RoIAlign with the signatures of ``mmcv._ext``: average pooling on torchvision's kernels, maximum in plain torch.

Everything is computed in float32 at least (torchvision's CPU kernel has no half precision) and stored in the dtype of
the tensors that mmcv passes.
"""

from __future__ import annotations

import torch
import torchvision
from torch import Tensor

from vlprompt.compat.mmcv_ops.precision import at_least_float32
from vlprompt.compat.mmcv_ops.roi_align_max import roi_align_max_backward, roi_align_max_forward

MAX, AVG = range(2)


def roi_align_forward(
    input: Tensor,
    rois: Tensor,
    output: Tensor,
    argmax_y: Tensor,
    argmax_x: Tensor,
    aligned_height: int,
    aligned_width: int,
    spatial_scale: float,
    sampling_ratio: int,
    pool_mode: int,
    aligned: bool,
) -> None:
    """Pool regions of feature maps to a fixed size from bilinear samples (He et al., 2017, section 3).

    Args:
        input: (B, C, H, W) feature maps.
        rois: (K, 5) index of the map and corners x1, y1, x2, y2 in pixels of the image.
        output: (K, C, aligned_height, aligned_width), overwritten.
        argmax_y: like ``output``; for maximum pooling, overwritten with the row of the largest sample.
        argmax_x: like ``argmax_y`` for columns.
        aligned_height: bins of a region from top to bottom.
        aligned_width: bins of a region from left to right.
        spatial_scale: size of the maps over size of the image.
        sampling_ratio: samples per bin and direction; 0 for as many as a bin has pixels, rounded up.
        pool_mode: 0 maximum, 1 average.
        aligned: pixel centres lie at half coordinates; if False, at whole ones, and regions are one pixel at least.

    Raises:
        ValueError: ``aligned`` and, on the CPU, a region whose right or lower corner comes first.
    """
    _check(rois, aligned)
    features, rois = at_least_float32(input, rois)
    size = (aligned_height, aligned_width)
    if pool_mode == MAX:
        roi_align_max_forward(features, rois, output, argmax_y, argmax_x, size, spatial_scale, sampling_ratio, aligned)
    else:
        output.copy_(torchvision.ops.roi_align(features, rois, size, spatial_scale, sampling_ratio, aligned))


def roi_align_backward(
    grad_output: Tensor,
    rois: Tensor,
    argmax_y: Tensor,
    argmax_x: Tensor,
    grad_input: Tensor,
    aligned_height: int,
    aligned_width: int,
    spatial_scale: float,
    sampling_ratio: int,
    pool_mode: int,
    aligned: bool,
) -> None:
    """Add the gradient of the feature maps to ``grad_input`` (B, C, H, W), given that of the output.

    The other arguments are those of :func:`roi_align_forward`.
    """
    grad, rois = at_least_float32(grad_output, rois)
    if pool_mode == MAX:
        grad_input.add_(roi_align_max_backward(grad, rois, argmax_y, argmax_x, grad_input.shape))
        return
    grad_input.add_(
        torch.ops.torchvision._roi_align_backward(
            grad,
            rois,
            spatial_scale,
            aligned_height,
            aligned_width,
            *grad_input.shape,
            sampling_ratio,
            aligned,
        )
    )


def _check(rois: Tensor, aligned: bool) -> None:
    """As in the compiled op, on the CPU only: on a GPU the check would synchronise."""
    if aligned and rois.device.type == 'cpu':
        turned = (rois[:, 3:] < rois[:, 1:3]).any(dim=1)
        if turned.any():
            first = int(turned.nonzero()[0])
            raise ValueError(f'RoIAlign: the corners of region {first} are swapped: {rois[first, 1:].tolist()}')
