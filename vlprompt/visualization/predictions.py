"""A prediction as a picture: the image, its true class and the most likely classes."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import matplotlib
import numpy as np
from PIL import Image, ImageDraw, ImageFont
from torch import Tensor

from vlprompt.visualization.figures import shorten

RIGHT, WRONG, NEUTRAL = '#1b7f3b', '#b3261e', '#8a8f98'
TEXT, PALE = '#202124', '#eceff1'
PANEL_WIDTH, LINE, MARGIN = 300, 34, 12
LETTER, SCORE_WIDTH, LONGEST_NAME = 8, 52, 60
"""Pixels of a letter and of a score; letters of a name, for which the panel becomes wider."""


def draw_prediction(
    image: np.ndarray,
    scores: Tensor,
    class_names: Sequence[str],
    true: int | None = None,
    top_k: int = 5,
    height: int = 224,
) -> Image.Image:
    """Draw an image beside the scores of its most likely classes.

    Args:
        image: (H, W, 3) uint8; enlarged to ``height`` if it is smaller.
        scores: (K,) probabilities.
        class_names: K names.
        true: index of the true class, if known: its bar is green, and the first bar is red if it is wrong.
            A true class that is not among the ``top_k`` replaces the last of them; without one there is no
            headline.
        top_k: bars.
        height: of the picture in pixels; more if the bars need it.

    Raises:
        ValueError: the numbers of scores and class names differ.
    """
    if scores.shape != (len(class_names),):
        raise ValueError(f'scores {tuple(scores.shape)} do not fit {len(class_names)} class names')
    rows = min(top_k, len(class_names)) + (true is not None)
    height = max(height, 2 * MARGIN + LINE * rows, image.shape[0])
    picture = scaled_to_height(image, height)

    shown = scores.topk(min(top_k, len(class_names))).indices.tolist() + [true] * (true is not None)
    letters = min(max(len(class_names[index]) for index in shown), LONGEST_NAME)
    panel = max(PANEL_WIDTH, letters * LETTER + SCORE_WIDTH + 2 * MARGIN)
    canvas = Image.new('RGB', (picture.width + panel, height), 'white')
    canvas.paste(picture)
    draw = ImageDraw.Draw(canvas)
    left, right, top = picture.width + MARGIN, canvas.width - MARGIN, MARGIN
    if true is not None:
        write(draw, (left, MARGIN + 8), shorten(f'true: {class_names[true]}', panel // 9), bold=True)
        top += LINE
    draw_bars(draw, (left, top, right), scores, class_names, true, top_k)
    return canvas


def draw_bars(
    draw: ImageDraw.ImageDraw,
    place: tuple[int, int, int],
    scores: Tensor,
    class_names: Sequence[str],
    true: int | None = None,
    top_k: int = 5,
) -> None:
    """A line of ``LINE`` pixels for each of the most likely classes: its name, its score and a bar.

    Args:
        draw: of the picture.
        place: left, top and right in pixels.
        scores: (K,) probabilities.
        class_names: K names.
        true: as for :func:`draw_prediction`.
        top_k: lines.
    """
    left, top, right = place
    shown = scores.topk(min(top_k, len(class_names))).indices.tolist()
    best, letters = shown[0], (right - left - SCORE_WIDTH) // LETTER  # beside the score
    if true is not None and true not in shown:
        shown[-1] = true
    for row, index in enumerate(shown):
        y, score = top + row * LINE, float(scores[index])
        colour = RIGHT if index == true else WRONG if index == best and true is not None else NEUTRAL
        draw.rectangle((left, y + 20, right, y + 25), fill=PALE)
        draw.rectangle((left, y + 20, left + round(score * (right - left)), y + 25), fill=colour)
        write(draw, (left, y + 10), shorten(class_names[index], letters), colour if colour != NEUTRAL else TEXT)
        write(draw, (right, y + 10), f'{100 * score:.1f} %', anchor='rm')


def write(
    draw: ImageDraw.ImageDraw,
    place: tuple[int, int],
    text: str,
    colour: str = TEXT,
    bold: bool = False,
    anchor: str = 'lm',
    size: int = 14,
) -> None:
    """One line in matplotlib's own font, which every installation has and which covers most alphabets."""
    name = 'DejaVuSans-Bold.ttf' if bold else 'DejaVuSans.ttf'
    font = ImageFont.truetype(Path(matplotlib.get_data_path(), 'fonts', 'ttf', name), size)
    draw.text(place, text, fill=colour, font=font, anchor=anchor)


def scaled_to_height(image: np.ndarray, height: int) -> Image.Image:
    """An image (H, W, 3) uint8 of that height, but at most four times as wide: a line of pixels is shown as a whole."""
    picture = Image.fromarray(image)
    scale = min(height / picture.height, 4 * height / picture.width)
    size = [max(1, round(pixels * scale)) for pixels in picture.size]
    return picture.resize(size, Image.Resampling.BICUBIC)
