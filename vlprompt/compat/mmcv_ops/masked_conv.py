"""The two steps of a convolution at chosen pixels, with the signatures of ``mmcv._ext``."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import pad


def masked_im2col_forward(
    im: Tensor,
    mask_h_idx: Tensor,
    mask_w_idx: Tensor,
    col: Tensor,
    kernel_h: int,
    kernel_w: int,
    pad_h: int,
    pad_w: int,
) -> None:
    """Collect what the kernel covers at the chosen pixels.

    Args:
        im: (1, C, H, W) feature map.
        mask_h_idx: (M,) rows in the output of the convolution.
        mask_w_idx: (M,) columns.
        col: (C * kernel_h * kernel_w, M), overwritten.
        kernel_h: height of the kernel.
        kernel_w: width of the kernel.
        pad_h: rows of zeros above and below.
        pad_w: columns of zeros left and right.
    """
    padded = pad(im[0], (pad_w, max(pad_w, kernel_w - 1 - pad_w), pad_h, max(pad_h, kernel_h - 1 - pad_h)))
    rows = torch.arange(kernel_h, device=im.device)[:, None, None] + mask_h_idx
    columns = torch.arange(kernel_w, device=im.device)[:, None] + mask_w_idx
    col.copy_(padded[:, rows, columns].flatten(0, 2))


def masked_col2im_forward(
    col: Tensor, mask_h_idx: Tensor, mask_w_idx: Tensor, im: Tensor, height: int, width: int, channels: int
) -> None:
    """Put the results ``col`` (channels, M) at the chosen pixels of ``im`` (1, channels, height, width)."""
    im[0][:, mask_h_idx, mask_w_idx] = col
