"""The masks of PSANet with the signatures of ``mmcv._ext``, by one gather."""

from __future__ import annotations

import torch
from torch import Tensor

COLLECT, DISTRIBUTE = range(2)


def psamask_forward(
    input: Tensor,
    output: Tensor,
    psa_type: int,
    num_: int,
    h_feature: int,
    w_feature: int,
    h_mask: int,
    w_mask: int,
    half_h_mask: int,
    half_w_mask: int,
) -> None:
    """Move attention to relative positions to absolute ones (Zhao et al., 2018, section 3.3).

    Args:
        input: (B, h_mask * w_mask, H, W) attention of every pixel to the window around it.
        output: (B, H * W, H, W), overwritten; 0 for pixels outside the window. With ``psa_type`` 0 the second axis is
            the pixel that is looked at and the last two are the one that looks, with 1 the other way round.
        psa_type: 0 collect, 1 distribute.
        num_: B.
        h_feature: H.
        w_feature: W.
        h_mask: height of the window.
        w_mask: width of the window.
        half_h_mask: row of the window that lies on the pixel itself.
        half_w_mask: likewise for columns.
    """
    index, inside = _window(h_feature, w_feature, h_mask, w_mask, half_h_mask, half_w_mask, input.device)
    attention = input.flatten(2).gather(1, index.expand(num_, -1, -1)) * inside
    output.copy_(_oriented(attention, psa_type).view(output.shape))


def psamask_backward(
    grad_output: Tensor,
    grad_input: Tensor,
    psa_type: int,
    num_: int,
    h_feature: int,
    w_feature: int,
    h_mask: int,
    w_mask: int,
    half_h_mask: int,
    half_w_mask: int,
) -> None:
    """Add the gradient to ``grad_input``. The other arguments are those of :func:`psamask_forward`."""
    index, inside = _window(h_feature, w_feature, h_mask, w_mask, half_h_mask, half_w_mask, grad_output.device)
    grad = _oriented(grad_output.flatten(2), psa_type) * inside
    total = torch.zeros_like(grad_input).flatten(2).scatter_add_(1, index.expand(num_, -1, -1), grad)
    grad_input.add_(total.view(grad_input.shape))


def _oriented(attention: Tensor, psa_type: int) -> Tensor:
    """(B, seen, seeing) pixels for ``collect``, (B, seeing, seen) for ``distribute``; its own inverse."""
    return attention.transpose(1, 2) if psa_type == DISTRIBUTE else attention


def _window(
    height: int, width: int, h_mask: int, w_mask: int, half_h_mask: int, half_w_mask: int, device: torch.device
) -> tuple[Tensor, Tensor]:
    """Place in the window around the second pixel and whether it is one, both (pixels seen, pixels seeing)."""
    pixels = torch.arange(height * width, device=device)
    y, x = pixels // width, pixels % width
    row = y[:, None] - y + half_h_mask
    column = x[:, None] - x + half_w_mask
    inside = (row >= 0) & (row < h_mask) & (column >= 0) & (column < w_mask)
    return (row * w_mask + column).where(inside, 0), inside
