"""Maps of the cosines between places of an image and words, for several models side by side."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize
from matplotlib.figure import Figure
from torch import Tensor

from vlprompt.visualization.figures import MUTED, new_figure, panel_height, shorten
from vlprompt.visualization.heatmaps import overlay_heatmap, to_grey

PANEL, GAP, MARGIN = 1.75, 0.08, 0.15
HEAD, NOTE, FOOT, BAR = 0.78, 0.2, 0.3, 0.85
"""Inches: width of a panel, between panels, around all; above all, of the note below a panel, below all, beside."""
COLOURS = 'turbo'


@dataclass(frozen=True)
class MapRow:
    """One model of the figure.

    Attributes:
        model: its name.
        form: of its local features.
        image: (H, W, 3) uint8, as the model sees it.
        scores: (K, h, w) cosines of its places and the K words.
    """

    model: str
    form: str
    image: np.ndarray
    scores: Tensor


def draw_text_maps(rows: Sequence[MapRow], words: Sequence[str], title: str = '', stretch: bool = False) -> Figure:
    """A row for each model, the image at its left and a column for each word; a cross marks the best place.

    Args:
        rows: models.
        words: K of them.
        title: first line.
        stretch: give each model a colour scale of its own instead of one for all: shows where each is highest, but not
            how high.

    Raises:
        ValueError: no rows, or scores of another number of words.
    """
    if not rows or any(len(row.scores) != len(words) for row in rows):
        found = ', '.join(str(len(row.scores)) for row in rows) or 'no rows'
        raise ValueError(f'draw_text_maps: {len(words)} words need as many maps in every row, there are {found}')
    panel = panel_height(rows[0].image, PANEL)
    width = 2 * MARGIN + (1 + len(words)) * (PANEL + GAP) + 0.35 + BAR
    height = HEAD + len(rows) * (panel + NOTE + GAP) + FOOT
    figure = new_figure(width, height)

    def place(column: int, row: int) -> Axes:
        left, top = MARGIN + 0.35 + column * (PANEL + GAP), HEAD + row * (panel + NOTE + GAP)
        axes = figure.add_axes((left / width, 1 - (top + panel) / height, PANEL / width, panel / height))
        axes.set_axis_off()
        return axes

    figure.text(MARGIN / width, 1 - 0.2 / height, shorten(title, int(width * 9)), size=11, weight='bold', va='center')
    for column, word in enumerate(['image', *words]):
        centre = MARGIN + 0.35 + column * (PANEL + GAP) + PANEL / 2
        style = dict(ha='center', va='bottom', size=10, color=MUTED if column == 0 else 'black')
        figure.text(centre / width, 1 - (HEAD - 0.05) / height, _in_two_lines(word), **style)
    common = Normalize(min(row.scores.min().item() for row in rows), max(row.scores.max().item() for row in rows))
    for number, row in enumerate(rows):
        norm = Normalize(row.scores.min().item(), row.scores.max().item()) if stretch else common
        first = place(0, number)
        first.imshow(row.image)
        first.text(-0.05, 0.5, _label(row), transform=first.transAxes, rotation=90, ha='right', va='center', size=9)
        grey = to_grey(row.image)
        for column, scores in enumerate(row.scores, 1):
            _draw_map(place(column, number), grey, scores, norm)
        if stretch or number == 0:
            _draw_bar(figure, place(len(words) + 1, number), norm, rows=1 if stretch else min(len(rows), 2))
    scale = 'Each row has its own colour scale' if stretch else 'One colour scale for all'
    figure.text(
        MARGIN / width, 0.17 / height, f'{scale}. Cross: the best place for the word.', size=9, color=MUTED, va='center'
    )
    return figure


def _in_two_lines(word: str) -> str:
    """A word for the head of a column, of at most two lines."""
    lines = textwrap.wrap(word, 22)
    return '\n'.join([lines[0], shorten(' '.join(lines[1:]), 22)] if len(lines) > 1 else lines)


def _label(row: MapRow) -> str:
    return f'{shorten(row.model, 26)}\n{shorten(row.form, 26)}'


def _draw_map(axes: Axes, grey: np.ndarray, scores: Tensor, norm: Normalize) -> None:
    """One map (h, w) over the grey image, with its range below."""
    height, width = grey.shape[:2]
    axes.imshow(overlay_heatmap(grey, scores, norm, COLOURS, 0.65))
    row, column = divmod(int(scores.argmax()), scores.shape[1])
    at = ((column + 0.5) * width / scores.shape[1] - 0.5, (row + 0.5) * height / scores.shape[0] - 0.5)
    axes.plot(*at, '+', color='white', markersize=11, markeredgewidth=3)
    axes.plot(*at, '+', color='black', markersize=9, markeredgewidth=1.2)
    note = f'{scores.min().item():.3f} … {scores.max().item():.3f}'
    axes.text(0.5, -0.02, note, transform=axes.transAxes, ha='center', va='top', size=8, color=MUTED)


def _draw_bar(figure: Figure, axes: Axes, norm: Normalize, rows: int) -> None:
    """A colour bar at the left edge of a place in the grid, as high as some rows from it on."""
    box, width, height = axes.get_position(), figure.get_figwidth(), figure.get_figheight()
    axes.remove()
    high = rows * box.height + (rows - 1) * (NOTE + GAP) / height
    bar_axes = figure.add_axes((box.x0 + 0.05 / width, box.y1 - high, 0.12 / width, high))
    bar = figure.colorbar(ScalarMappable(norm, COLOURS), cax=bar_axes)
    bar.set_label('cosine similarity', size=9)
    bar.ax.tick_params(labelsize=8)
