"""Several classifiers on the same images: who is right where, drawn image by image and as confusions."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize, TwoSlopeNorm
from matplotlib.figure import Figure
from PIL import Image, ImageDraw
from torch import Tensor

from vlprompt.messages import counted
from vlprompt.visualization.figures import MUTED, new_figure, shorten
from vlprompt.visualization.predictions import LINE, MARGIN, draw_bars, scaled_to_height, write

IMAGE_HEIGHT, LINE_HEIGHT, WIDEST = 128, 24, 420
"""Pixels: of an image, of a line of text, and the most for the bars of a model."""
RULE = '#c4c7cc'
COLUMNS = 2
"""Confusions in a row."""
SHADES, CHANGES = 'Blues', 'RdBu'
"""Colours of a confusion, and of the difference of two."""


@dataclass(frozen=True)
class Group:
    """Images on which the models agree or differ in one way.

    Attributes:
        title: that way, such as ``'CoOp alone is right'``.
        images: positions among all B images, those that show it most clearly first.
        total: number of images of which these are some.
    """

    title: str
    images: tuple[int, ...]
    total: int


def choose_images(scores: Mapping[str, Tensor], labels: Tensor, count: int) -> list[Group]:
    """Images that tell two classifiers apart.

    The groups: the second alone is right, the first alone is right, both are wrong.  Of each, the images come first
    whose true class has most changed its score from one model to the other, or, where both are wrong, of whose wrong
    class the second is surest; and no class comes twice before every other one of the group has come.

    Args:
        scores: name of each of the two models -> (B, K) probabilities.
        labels: (B,) true classes.
        count: images of each group.

    Returns:
        Three groups, some of them without images.
    """
    (first, before), (second, after) = scores.items()
    truth = labels[:, None]
    gain = (after.gather(1, truth) - before.gather(1, truth))[:, 0]
    was, is_now = before.argmax(1) == labels, after.argmax(1) == labels
    groups = {
        f'{second} is right, {first} is wrong': (~was & is_now, gain),
        f'{first} is right, {second} is wrong': (was & ~is_now, -gain),
        'both are wrong': (~was & ~is_now, after.amax(1)),
    }
    return [
        Group(title, _clearest(chosen, clarity, labels, count), int(chosen.sum()))
        for title, (chosen, clarity) in groups.items()
    ]


def _clearest(chosen: Tensor, clarity: Tensor, labels: Tensor, count: int) -> tuple[int, ...]:
    """The ``count`` chosen images (B,) of highest clarity (B,), of as many classes as there are."""
    order = torch.argsort(clarity, descending=True, stable=True)
    seen: dict[int, int] = {}
    turns = []
    for position in order[chosen[order]].tolist():
        label = int(labels[position])
        turns.append((seen.get(label, 0), len(turns), position))  # the n-th image of its class
        seen[label] = seen.get(label, 0) + 1
    return tuple(position for *_, position in sorted(turns)[:count])


def draw_comparison(
    groups: Sequence[Group],
    images: Mapping[int, np.ndarray],
    scores: Mapping[str, Tensor],
    labels: Tensor,
    class_names: Sequence[str],
    title: str = '',
    top_k: int = 3,
) -> Image.Image:
    """A line for each image: the image, then the most likely classes of every model, the true one in green.

    Args:
        groups: what to draw, under their titles; those without images are left out.
        images: position -> (H, W, 3) uint8.
        scores: name of a model -> (B, K) probabilities.
        labels: (B,) true classes.
        class_names: K names.
        title: first line.
        top_k: classes of each model; a true class that is not among them replaces the last.
    """
    groups = [group for group in groups if group.images]
    pictures = {number: scaled_to_height(images[number], IMAGE_HEIGHT) for group in groups for number in group.images}
    room = max([IMAGE_HEIGHT, *(picture.width for picture in pictures.values())])
    bars = min(max(map(len, class_names)) * 8 + 60, WIDEST)
    step = LINE_HEIGHT + max(IMAGE_HEIGHT, LINE * min(top_k, len(class_names))) + MARGIN
    head = LINE_HEIGHT + MARGIN if title else 0
    width = room + len(scores) * (bars + 2 * MARGIN) + 2 * MARGIN
    height = head + sum(2 * LINE_HEIGHT + MARGIN + len(group.images) * step for group in groups)
    canvas = Image.new('RGB', (width, height), 'white')
    draw = ImageDraw.Draw(canvas)
    write(draw, (MARGIN, 20), title, bold=True, size=16)
    columns = [3 * MARGIN + room + number * (bars + 2 * MARGIN) for number in range(len(scores))]
    y = head
    for group in groups:
        draw.line((MARGIN, y, width - MARGIN, y), fill=RULE)
        write(draw, (MARGIN, y + LINE_HEIGHT // 2 + 4), f'{group.title}: {_shown(group)}', bold=True, size=15)
        y += LINE_HEIGHT + 4
        for left, model in zip(columns, scores, strict=True):
            write(draw, (left, y + LINE_HEIGHT // 2), shorten(model, bars // 8), MUTED)
        y += LINE_HEIGHT + 4
        for number in group.images:
            label = int(labels[number])
            write(draw, (MARGIN, y + LINE_HEIGHT // 2), f'true: {class_names[label]}', bold=True)
            canvas.paste(pictures[number], (MARGIN, y + LINE_HEIGHT))
            for left, probabilities in zip(columns, scores.values(), strict=True):
                place = (left, y + LINE_HEIGHT, left + bars)
                draw_bars(draw, place, probabilities[number], class_names, label, top_k)
            y += step
        y += MARGIN - 8
    return canvas


def _shown(group: Group) -> str:
    total = counted(group.total, 'image')
    return f'{len(group.images)} of {total}' if group.total > len(group.images) else total


def draw_confusions(confusions: Mapping[str, np.ndarray], class_names: Sequence[str], title: str = '') -> Figure:
    """Confusions, two in a row, as shares of the images of each true class; of two models also what has changed.

    Args:
        confusions: name of a model -> (K, K) numbers of the same images; rows: true class, columns: predicted class.
            Classes without images are not in the mean over classes.
        class_names: K names.
        title: first line.
    """
    shares = {name: _shares(counts) for name, counts in confusions.items()}
    tested = next(iter(confusions.values())).sum(1) > 0  # in all confusions, which are of the same images
    panels = [(name, values, Normalize(0, 100), SHADES) for name, values in shares.items()]
    if len(shares) == 2:
        (first, before), (second, after) = shares.items()
        limit = max(10.0, float(np.abs(after - before).max()))
        norm = TwoSlopeNorm(vmin=-limit, vcenter=0, vmax=limit)
        panels.append((f'{second} minus {first}', after - before, norm, CHANGES))
    columns, size = min(len(panels), COLUMNS), max(2.6, 0.24 * len(class_names))
    rows = math.ceil(len(panels) / columns)
    room, step, head = 0.075 * max(map(len, class_names)) + 0.3, size + 0.95, 0.45 * bool(title)
    width, height = room + columns * (size + 0.75), head + rows * step
    figure = new_figure(width, height)
    figure.text(0.12 / width, 1 - 0.24 / height, title, size=12, weight='bold', va='center')
    for number, (name, values, norm, colours) in enumerate(panels):
        row, column = divmod(number, columns)
        left, bottom = room + column * (size + 0.75), height - head - row * step - 0.4 - size
        axes = figure.add_axes((left / width, bottom / height, size / width, size / height))
        _draw_matrix(axes, values, class_names if column == 0 else None, norm, colours)
        mean = float(np.diagonal(values)[tested].mean())
        note = f'{mean:+.1f} points' if colours == CHANGES else f'{mean:.1f} % right (mean of classes)'
        axes.set_title(f'{shorten(name, 30)}: {note}', size=10, loc='left')
        bar_axes = figure.add_axes(((left + size + 0.08) / width, bottom / height, 0.1 / width, size / height))
        form = '{x:+.0f}' if colours == CHANGES else '{x:.0f} %'
        bar = figure.colorbar(ScalarMappable(norm, colours), cax=bar_axes, format=form)
        bar.ax.tick_params(labelsize=7)
    return figure


def _shares(counts: np.ndarray) -> np.ndarray:
    """(K, K) numbers of images -> percent of each row; rows without images are 0."""
    return 100 * counts / np.maximum(counts.sum(1, keepdims=True), 1)


def _draw_matrix(axes: Axes, values: np.ndarray, names: Sequence[str] | None, norm: Normalize, colours: str) -> None:
    """One panel: shares of at least 5 (changes of at least 5 points) also as numbers."""
    axes.imshow(values, norm=norm, cmap=colours, interpolation='nearest')
    size = len(values)
    if size <= 24:
        for row, column in zip(*np.nonzero(np.abs(values) >= 5), strict=True):
            value = float(values[row, column])
            dark = abs(norm(value) - 0.5 * (colours == CHANGES)) > (0.28 if colours == CHANGES else 0.55)
            axes.text(column, row, f'{value:.0f}', ha='center', va='center', size=7, color='white' if dark else 'black')
    step = math.ceil(size / 40)
    axes.set_yticks(range(0, size, step), labels=[] if names is None else list(names)[::step], size=8)
    axes.set_xticks(range(0, size, step), labels=range(1, size + 1, step), size=7)
    if names is not None:
        axes.set_yticklabels([f'{name}  {number}' for number, name in enumerate(names, 1)][::step])
        axes.set_ylabel('true class', size=9, color=MUTED)
    axes.set_xlabel('predicted class, by its number', size=9, color=MUTED)
    axes.tick_params(length=0)
