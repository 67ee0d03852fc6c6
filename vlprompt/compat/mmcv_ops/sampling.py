"""Where RoIAlign and its relatives read feature maps: positions of samples, bilinear interpolation."""

from __future__ import annotations

import math

import torch
from torch import Tensor


def sample_positions(start: float, end: float, bins: int, sampling_ratio: int, aligned: bool) -> Tensor:
    """(bins, samples) float64 coordinates of the samples in one direction, in pixels of the map."""
    length = end - start if aligned else max(end - start, 1.0)
    samples = sampling_ratio if sampling_ratio > 0 else math.ceil(length / bins)
    bin_start = torch.arange(bins, dtype=torch.float64)[:, None]
    inside = (torch.arange(samples, dtype=torch.float64) + 0.5) / max(samples, 1)
    return start + (bin_start + inside) * (length / bins)


def grid_of_samples(rows: Tensor, columns: Tensor) -> tuple[Tensor, Tensor]:
    """Coordinates y and x, (height, width, samples), of the samples of every bin, those of a bin row by row.

    Args:
        rows: (height, samples) of :func:`sample_positions`.
        columns: (width, samples), likewise.
    """
    y = rows[:, None, :, None].expand(-1, columns.shape[0], -1, columns.shape[1])
    x = columns[None, :, None, :].expand(rows.shape[0], -1, rows.shape[1], -1)
    return y.flatten(2), x.flatten(2)


def bilinear(y: Tensor, x: Tensor, height: int, width: int) -> tuple[Tensor, Tensor]:
    """Indices into a flattened map (H * W) and weights, both (4, ...), of the pixels around every point (...).

    Points up to one pixel outside take the value of the border, points beyond count as 0. The weights are
    differentiable in the coordinates.
    """
    inside = (y >= -1) & (y <= height) & (x >= -1) & (x <= width)
    y, x = y.clamp(0, height - 1), x.clamp(0, width - 1)
    top, left = y.long(), x.long()
    bottom, right = (top + 1).clamp(max=height - 1), (left + 1).clamp(max=width - 1)
    down, over = y - top, x - left
    index = torch.stack((top * width + left, top * width + right, bottom * width + left, bottom * width + right))
    weight = torch.stack(((1 - down) * (1 - over), (1 - down) * over, down * (1 - over), down * over))
    return index, weight * inside
