"""Figures that do not touch matplotlib's global state: no pyplot, no backend switch, no rcParams."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import torch
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from PIL import Image
from torch import Tensor

from vlprompt.datasets.images import load_image
from vlprompt.datasets.pixels import decode_image
from vlprompt.messages import printable

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


def figure_to_image(figure: Figure) -> Image.Image:
    """A figure as an RGB picture, which notebooks show without matplotlib's inline backend."""
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    return Image.fromarray(np.asarray(canvas.buffer_rgba())[..., :3].copy())


def show_picture(picture: Image.Image) -> None:
    """Show a picture: in the cell of a notebook, otherwise in the system's viewer."""
    if 'IPython' in sys.modules:
        from IPython import get_ipython
        from IPython.display import display

        if get_ipython() is not None:
            display(picture)
            return
    picture.show()


def read_image(path: str | Path, exif_orientation: bool = True) -> np.ndarray:
    """An image file as (H, W, 3) uint8 RGB, by the rule of the pipelines: :mod:`vlprompt.datasets.pixels`.

    Args:
        path: the file.
        exif_orientation: turn it upright; give what the pipeline does
            (:func:`~vlprompt.datasets.exif.applies_exif`), so that masks and boxes fit the picture.

    Raises:
        FileNotFoundError, OSError: as for :func:`~vlprompt.datasets.images.load_image`.
    """
    return np.asarray(load_image(path, lambda content: decode_image(content, exif_orientation)[0]))


def panel_height(image: np.ndarray, width: float) -> float:
    """Height of a panel of ``width`` for an image (H, W, 3): in proportion, unless the image is a line of pixels."""
    return width * min(max(image.shape[0] / image.shape[1], 0.1), 4)


def title_of(path: str | Path, parts: int = 3) -> str:
    """The last parts of a path as text for a figure, in which matplotlib finds no formula."""
    return printable(str(Path(*Path(path).parts[-parts:]))).replace('$', r'\$')


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
