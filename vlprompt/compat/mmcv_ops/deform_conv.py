"""Deformable convolutions with the signatures of ``mmcv._ext``, on torchvision's kernels.

Version 1 (Dai et al., 2017) moves the taps of a convolution by offsets, version 2 (Zhu et al., 2019) multiplies each
of them by a mask as well. mmcv and torchvision lay out offsets alike: for every deformable group and tap the channels
are y, then x. Computed in float32 at least.

Of the options that mmcv passes by name, the size of the kernel is read from the weights, and ``im2col_step``, the
number of images that the compiled op takes at once, has no effect.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import pad

from vlprompt.compat.mmcv_ops.precision import at_least_float32

STRIDE_TO_GROUPS = ('dH', 'dW', 'padH', 'padW', 'dilationH', 'dilationW', 'group', 'deformable_group')
MODULATED_STRIDE_TO_GROUPS = (
    'stride_h',
    'stride_w',
    'pad_h',
    'pad_w',
    'dilation_h',
    'dilation_w',
    'group',
    'deformable_group',
)


def deform_conv_forward(
    input: Tensor,
    weight: Tensor,
    offset: Tensor,
    output: Tensor,
    columns: Tensor,
    ones: Tensor,
    **options: int,
) -> None:
    """Write a deformable convolution without bias into ``output``.

    Args:
        input: (B, C, H, W) feature maps.
        weight: (K, C / groups, kH, kW).
        offset: (B, 2 * deformable groups * kH * kW, H', W'), in pixels of the input.
        output: (B, K, H', W'), overwritten.
        columns: memory for :func:`deform_conv_backward_input`, unused here.
        ones: unused.
        **options: ``dH``, ``dW`` (stride), ``padH``, ``padW``, ``dilationH``, ``dilationW``, ``group`` (groups of
            channels), ``deformable_group`` (groups of channels with own offsets) and those without effect.
    """
    features, weight, offset = at_least_float32(input, weight, offset)
    output.copy_(torch.ops.torchvision.deform_conv2d(*_plain(features, weight, offset, options)))


def deform_conv_backward_input(
    input: Tensor,
    offset: Tensor,
    grad_output: Tensor,
    grad_input: Tensor,
    grad_offset: Tensor,
    weight: Tensor,
    columns: Tensor,
    **options: int,
) -> None:
    """Add the gradients of the input and of the offsets to ``grad_input`` and ``grad_offset``.

    torchvision's kernel yields that of the weights too. ``columns``, which mmcv passes to
    :func:`deform_conv_backward_parameters` next, receives it.
    """
    by_input, by_weight, by_offset = _plain_gradients(grad_output, input, weight, offset, options)
    grad_input.add_(by_input)
    grad_offset.add_(by_offset)
    columns.resize_(by_weight.shape).copy_(by_weight)


def deform_conv_backward_parameters(
    input: Tensor,
    offset: Tensor,
    grad_output: Tensor,
    grad_weight: Tensor,
    columns: Tensor,
    ones: Tensor,
    *,
    scale: float,
    **options: int,
) -> None:
    """Add the gradient of the weights, times ``scale``, to ``grad_weight``.

    Args:
        input: (B, C, H, W), as in :func:`deform_conv_forward`.
        offset: likewise.
        grad_output: (B, K, H', W') gradient of the output.
        grad_weight: (K, C / groups, kH, kW).
        columns: the gradient from :func:`deform_conv_backward_input`, which is taken and removed, or empty.
        ones: unused.
        scale: factor.
        **options: likewise.
    """
    if columns.numel():
        by_weight = columns.clone()
        columns.resize_(0)
    else:  # only the weights are trained
        # the gradient of the weights does not depend on them
        _, by_weight, _ = _plain_gradients(grad_output, input, torch.zeros_like(grad_weight), offset, options)
    grad_weight.add_(by_weight, alpha=scale)


def modulated_deform_conv_forward(
    input: Tensor,
    weight: Tensor,
    bias: Tensor,
    ones: Tensor,
    offset: Tensor,
    mask: Tensor,
    output: Tensor,
    columns: Tensor,
    **options: int,
) -> None:
    """Write a modulated deformable convolution into ``output``.

    Args:
        input: (B, C, H, W) feature maps.
        weight: (K, C / groups, kH, kW).
        bias: (K,), or an empty tensor if not ``with_bias``.
        ones: unused.
        offset: (B, 2 * deformable groups * kH * kW, H', W'), in pixels of the input. Larger maps, which DyHead passes,
            are read as by the compiled op: in the order of memory, as if they had the size of the output.
        mask: (B, deformable groups * kH * kW, H', W') factors of the taps, likewise.
        output: (B, K, H', W'), overwritten.
        columns: unused.
        **options: ``stride_h``, ``stride_w``, ``pad_h``, ``pad_w``, ``dilation_h``, ``dilation_w``, ``group``,
            ``deformable_group``, ``with_bias`` and those without effect.
    """
    size = output.shape[-2:]
    tensors = at_least_float32(input, weight, _first_values(offset, size), _first_values(mask, size), bias)
    output.copy_(torch.ops.torchvision.deform_conv2d(*_modulated(*tensors, options)))


def modulated_deform_conv_backward(
    input: Tensor,
    weight: Tensor,
    bias: Tensor,
    ones: Tensor,
    offset: Tensor,
    mask: Tensor,
    columns: Tensor,
    grad_input: Tensor,
    grad_weight: Tensor,
    grad_bias: Tensor,
    grad_offset: Tensor,
    grad_mask: Tensor,
    grad_output: Tensor,
    **options: int,
) -> None:
    """Add the gradients to ``grad_input``, ``grad_weight``, ``grad_offset``, ``grad_mask`` and ``grad_bias``.

    The other arguments are those of :func:`modulated_deform_conv_forward`.
    """
    size = grad_output.shape[-2:]
    maps = (_first_values(offset, size), _first_values(mask, size))
    grad, *tensors = at_least_float32(grad_output, input, weight, *maps, bias)
    gradients = torch.ops.torchvision._deform_conv2d_backward(grad, *_modulated(*tensors, options))
    grad_input.add_(gradients[0])
    grad_weight.add_(gradients[1])
    grad_offset.add_(_then_zeros(gradients[2], grad_offset.shape))
    grad_mask.add_(_then_zeros(gradients[3], grad_mask.shape))
    if options['with_bias']:
        grad_bias.add_(gradients[4])


def _first_values(maps: Tensor, size: torch.Size) -> Tensor:
    """Maps (B, N, *size) of the first values of every image in maps (B, N, H, W) that are at least as large."""
    if maps.shape[-2:] == size:
        return maps
    return maps.flatten(1)[:, : maps.shape[1] * size.numel()].unflatten(1, (-1, *size))


def _then_zeros(maps: Tensor, shape: torch.Size) -> Tensor:
    """The inverse of :func:`_first_values`, with zeros for the values that it leaves out."""
    if maps.shape == shape:
        return maps
    return pad(maps.flatten(1), (0, shape[1:].numel() - maps[0].numel())).view(shape)


def _plain_gradients(
    grad_output: Tensor, input: Tensor, weight: Tensor, offset: Tensor, options: dict[str, int]
) -> tuple[Tensor, Tensor, Tensor]:
    """Gradients of the input, the weights and the offsets."""
    grad, *tensors = at_least_float32(grad_output, input, weight, offset)
    return torch.ops.torchvision._deform_conv2d_backward(grad, *_plain(*tensors, options))[:3]


def _plain(features: Tensor, weight: Tensor, offset: Tensor, options: dict[str, int]) -> tuple:
    """Arguments of torchvision's kernels."""
    mask, bias = features.new_zeros(features.shape[0], 1), features.new_zeros(weight.shape[0])
    return features, weight, offset, mask, bias, *(options[name] for name in STRIDE_TO_GROUPS), False


def _modulated(
    features: Tensor, weight: Tensor, offset: Tensor, mask: Tensor, bias: Tensor, options: dict[str, int]
) -> tuple:
    """Arguments of torchvision's kernels."""
    if not options['with_bias']:
        bias = features.new_zeros(weight.shape[0])
    return features, weight, offset, mask, bias, *(options[name] for name in MODULATED_STRIDE_TO_GROUPS), True
