"""CARAFE upsampling with the signatures of ``mmcv._ext``, in plain torch, one tap of the kernels at a time.

Every pixel of the output is a weighted sum of the pixels around its place in the input, with weights of its own (Wang
et al., 2019, eq. 2). A loop over the taps needs no memory for the neighbourhoods of all pixels.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import product

from torch import Tensor
from torch.nn.functional import pad

from vlprompt.compat.mmcv_ops.precision import at_least_float32


def carafe_naive_forward(
    features: Tensor, masks: Tensor, output: Tensor, kernel_size: int, group_size: int, scale_factor: int
) -> None:
    """Write the upsampled features into ``output``.

    Args:
        features: (B, C, H, W).
        masks: (B, groups * kernel_size ** 2, H * scale_factor, W * scale_factor) weights.
        output: (B, C, H * scale_factor, W * scale_factor), overwritten.
        kernel_size: odd size of a neighbourhood in the input; pixels outside count as 0.
        group_size: groups of channels that share weights.
        scale_factor: whole factor of both sizes.
    """
    x, weights = at_least_float32(features, masks)
    x, weights = pad(x, [kernel_size // 2] * 4), _cells(weights, group_size, scale_factor)
    total = x.new_zeros(_cells(output, group_size, scale_factor).shape)
    for tap, (rows, columns) in _taps(kernel_size, *features.shape[-2:]):
        total.addcmul_(_pixels(x[..., rows, columns], group_size), weights[:, :, tap, None])
    output.copy_(total.view(output.shape))


def carafe_naive_backward(
    grad_output: Tensor,
    features: Tensor,
    masks: Tensor,
    grad_input: Tensor,
    grad_masks: Tensor,
    kernel_size: int,
    group_size: int,
    scale_factor: int,
) -> None:
    """Add the gradients to ``grad_input`` and ``grad_masks``.

    The other arguments are those of :func:`carafe_naive_forward`.
    """
    x, weights, grad = at_least_float32(features, masks, grad_output)
    border = kernel_size // 2
    x, weights = pad(x, [border] * 4), _cells(weights, group_size, scale_factor)
    grad = _cells(grad, group_size, scale_factor)
    by_features, by_masks = x.new_zeros(x.shape), _cells(grad_masks, group_size, scale_factor)
    for tap, (rows, columns) in _taps(kernel_size, *features.shape[-2:]):
        shift = (grad * weights[:, :, tap, None]).sum(dim=(4, 6))
        by_features[..., rows, columns] += shift.flatten(1, 2)
        by_masks[:, :, tap] += (grad * _pixels(x[..., rows, columns], group_size)).sum(dim=2)
    grad_input.add_(by_features[..., border : border + features.shape[2], border : border + features.shape[3]])


def carafe_forward(
    features: Tensor,
    masks: Tensor,
    rfeatures: Tensor,
    routput: Tensor,
    rmasks: Tensor,
    output: Tensor,
    kernel_size: int,
    group_size: int,
    scale_factor: int,
) -> None:
    """The same as :func:`carafe_naive_forward`. ``rfeatures`` receives the features for the backward pass."""
    rfeatures.copy_(features)
    carafe_naive_forward(features, masks, output, kernel_size, group_size, scale_factor)


def carafe_backward(
    grad_output: Tensor,
    rfeatures: Tensor,
    masks: Tensor,
    rgrad_output: Tensor,
    rgrad_input_hs: Tensor,
    rgrad_input: Tensor,
    rgrad_masks: Tensor,
    grad_input: Tensor,
    grad_masks: Tensor,
    kernel_size: int,
    group_size: int,
    scale_factor: int,
) -> None:
    """The same as :func:`carafe_naive_backward` with the features that :func:`carafe_forward` left."""
    carafe_naive_backward(grad_output, rfeatures, masks, grad_input, grad_masks, kernel_size, group_size, scale_factor)


def _taps(kernel_size: int, height: int, width: int) -> Iterator[tuple[int, tuple[slice, slice]]]:
    """Numbers of the taps and the part of the padded map (height, width) that lies under each."""
    for tap, (top, left) in enumerate(product(range(kernel_size), repeat=2)):
        yield tap, (slice(top, top + height), slice(left, left + width))


def _cells(upsampled: Tensor, groups: int, scale: int) -> Tensor:
    """View (B, groups, channels, H, scale, W, scale) of (B, groups * channels, H * scale, W * scale)."""
    return upsampled.unflatten(3, (-1, scale)).unflatten(2, (-1, scale)).unflatten(1, (groups, -1))


def _pixels(features: Tensor, groups: int) -> Tensor:
    """View (B, groups, channels, H, 1, W, 1) of (B, groups * channels, H, W)."""
    return features.unflatten(1, (groups, -1))[..., :, None, :, None]
