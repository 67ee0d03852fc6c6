"""Figures that do not touch matplotlib's global state: no pyplot, no backend switch, no rcParams."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from matplotlib.figure import Figure
from PIL import Image, ImageOps
from torch import Tensor

# Okabe & Ito's colours, which most colour-blind readers can distinguish; dark ones first.
PALETTE = ('#0072B2', '#D55E00', '#009E73', '#CC79A7', '#E69F00', '#56B4E9', '#000000', '#999999')
MUTED = '#666666'
DPI = 130


def new_figure(width: float, height: float) -> Figure:
    """An empty white figure of ``width`` x ``height`` inches; saving it uses the Agg canvas."""
    return Figure(figsize=(width, height), dpi=DPI, facecolor='white')


def save_figure(figure: Figure, path: str | Path) -> Path:
    """Write a figure as an image and create its folder; the format follows the suffix."""
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path)
    return path


def read_image(path: str | Path) -> np.ndarray:
    """An image file as (H, W, 3) uint8 RGB, rotated according to EXIF orientation, as by OpenCV in the pipelines."""
    with Image.open(path) as file:
        return np.asarray(ImageOps.exif_transpose(file).convert('RGB'))


def to_uint8_image(images: Tensor, mean: Tensor, std: Tensor) -> np.ndarray:
    """Undo the normalisation of model inputs.

    Args:
        images: (..., 3, H, W) normalised RGB.
        mean: of the preprocessor, in units of [0, 1]; any shape with three elements.
        std: of the preprocessor, in the same form.

    Returns:
        (..., H, W, 3) uint8, rounded and clipped.
    """
    mean, std = (torch.as_tensor(value).to(images).reshape(3, 1, 1) for value in (mean, std))
    pixels = (images * std + mean).mul(255).round().clamp(0, 255)
    return pixels.to('cpu', torch.uint8).movedim(-3, -1).numpy()


def shorten(text: str, length: int) -> str:
    """The text, cut with an ellipsis if it has more than ``length`` characters."""
    return text if len(text) <= length else f'{text[: length - 1].rstrip()}…'
