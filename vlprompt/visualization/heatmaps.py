"""Heat maps: values on the grid of local tokens over their image."""

from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as F
from matplotlib import colormaps
from matplotlib.colors import Colormap, Normalize
from torch import Tensor


def to_grid(values: Tensor, grid: tuple[int, int]) -> Tensor:
    """(..., M) values of local tokens -> (..., h, w): token ``i * w + j`` stands in row i, column j.

    Raises:
        ValueError: M is not h * w.
    """
    h, w = grid
    if values.shape[-1] != h * w:
        raise ValueError(f'{values.shape[-1]} tokens do not fill a grid of {h} x {w}')
    return values.unflatten(-1, (h, w))


def resize_map(values: Tensor, size: tuple[int, int]) -> np.ndarray:
    """(h, w) values -> (H, W) float32 by bilinear interpolation, with aligned cell centres."""
    values = values.detach().to('cpu', torch.float32)[None, None]
    return F.interpolate(values, size=size, mode='bilinear', align_corners=False)[0, 0].numpy()


def overlay_heatmap(
    image: np.ndarray, values: Tensor, norm: Normalize, colormap: str | Colormap, weight: float = 0.5
) -> np.ndarray:
    """Colour a map and blend it with an image.

    Args:
        image: (H, W, 3) uint8.
        values: (h, w) numbers; resized to the image.
        norm: maps numbers to the range of the colour map, such as ``Normalize(0, 1)``.
        colormap: a matplotlib colour map, or its name.
        weight: weight of the colour in the blend; the image has the rest.

    Returns:
        (H, W, 3) uint8.
    """
    colormap = colormaps[colormap] if isinstance(colormap, str) else colormap
    colours = colormap(norm(resize_map(values, image.shape[:2])))[..., :3]
    return np.round(weight * 255 * colours + (1 - weight) * image).clip(0, 255).astype(np.uint8)


def to_grey(image: np.ndarray) -> np.ndarray:
    """(H, W, 3) uint8 image in grey (ITU-R 601 luma), so that the colours of a map stand out."""
    luma = image @ np.array([0.299, 0.587, 0.114])
    return np.repeat(np.round(luma).astype(np.uint8)[..., None], 3, axis=-1)
