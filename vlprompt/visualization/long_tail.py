"""Pictures of long-tailed classification: counts, accuracy along the tail, domains, use of group prompts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import LogFormatter, StrMethodFormatter

from vlprompt.visualization.figures import MUTED, PALETTE, new_figure, shorten

MARKERS = 'osD^vPX*'


def draw_long_tail(
    counts: Sequence[int],
    groups: Mapping[str, Sequence[int]],
    accuracy: Mapping[str, Sequence[float | None]] | None = None,
    title: str = '',
    window: int | None = None,
) -> Figure:
    """Training images per class from head to tail and, below, the accuracy of runs per class.

    Args:
        counts: training images of the C classes, in any order.
        groups: name -> labels of its classes, drawn as bands of one colour.
        accuracy: run -> accuracy of the C classes in percent, None for classes that were not tested.  Drawn as a
            running mean over ``window`` neighbouring classes, since a class has few test images.
        title: first line.
        window: odd number of classes; None: a tenth of them.
    """
    order = np.argsort(-np.asarray(counts), kind='stable')
    rows = 1 if not accuracy else 2
    figure = new_figure(8.0, 0.5 + 2.6 * rows)
    figure.set_layout_engine('constrained')
    figure.suptitle(title, size=12, weight='bold', x=0.01, ha='left')
    panels = figure.subplots(rows, 1, sharex=True, squeeze=False)[:, 0]
    group_of = {label: name for name, labels in groups.items() for label in labels}
    colours = dict(zip(groups, PALETTE, strict=False))
    bars = panels[0].bar(
        range(len(order)),
        np.asarray(counts)[order],
        width=1.0,
        color=[colours[group_of[int(label)]] for label in order],
    )
    first = {group_of[int(label)]: bar for label, bar in reversed(list(zip(order, bars, strict=True)))}
    names = [name for name in groups if name in first]
    panels[0].legend(
        [first[name] for name in names], [f'{name}: {len(groups[name])} classes' for name in names], frameon=False
    )
    panels[0].set_yscale('log')
    panels[0].yaxis.set_major_formatter(StrMethodFormatter('{x:,.6g}'))
    panels[0].yaxis.set_minor_formatter(LogFormatter())  # labels between the ticks of decades
    _label(panels[0], '', 'training images')
    if accuracy:
        window = window or max(1, len(order) // 20 * 2 + 1)
        for number, (run, values) in enumerate(accuracy.items()):
            curve = running_mean([values[label] for label in order], window)
            panels[1].plot(curve, color=PALETTE[number % len(PALETTE)], label=shorten(run, 40), linewidth=1.8)
        panels[1].set_ylim(0, 100)
        panels[1].legend(frameon=False, fontsize=9)
        _label(panels[1], '', f'accuracy, %\n(mean of {window} classes)')
    panels[-1].set_xlabel('classes, from head to tail', size=9, color=MUTED)
    panels[-1].set_xlim(-0.5, len(order) - 0.5)
    return figure


def running_mean(values: Sequence[float | None], window: int) -> np.ndarray:
    """(C,) mean over ``window`` neighbours, fewer at both ends; None is ignored, NaN if all are None.

    Raises:
        ValueError: an even number of neighbours, which has no middle.
    """
    if window % 2 == 0:
        raise ValueError(f'a running mean over {window} classes has no middle: window must be odd')
    numbers = np.array([np.nan if value is None else value for value in values], dtype=float)
    half = window // 2
    parts = [numbers[max(0, i - half) : i + half + 1] for i in range(len(numbers))]
    return np.array([part[~np.isnan(part)].mean() if not np.isnan(part).all() else np.nan for part in parts])


def draw_prompt_usage(usage: Mapping[str, np.ndarray], title: str = '', note: str = '') -> Figure:
    """Number of images that chose each group prompt: one stacked bar per prompt.

    Args:
        usage: name of a part of the images, such as ``'many'`` -> (m,) choices.
        title: first line.
        note: second line, such as the number of used prompts.
    """
    size = len(next(iter(usage.values())))
    figure = new_figure(max(5.0, 0.28 * size + 1.5), 3.4)
    figure.set_layout_engine('constrained')
    axes = figure.subplots()
    bottom = np.zeros(size)
    for number, (name, counts) in enumerate(usage.items()):
        axes.bar(range(size), counts, bottom=bottom, color=PALETTE[number % len(PALETTE)], label=name)
        bottom = bottom + counts
    axes.set_title(f'{title}\n{note}' if note else title, size=11, loc='left')
    axes.set_xticks(range(size))
    if len(usage) > 1:
        axes.legend(frameon=False, fontsize=9, title='classes', title_fontsize=9)
    _label(axes, 'group prompt', 'images that chose it')
    return figure


def draw_projection(points: np.ndarray, names: Sequence[str], title: str = '') -> Figure:
    """Scatter plot of projected features, a colour and a marker for each name.

    Args:
        points: (N, 2).
        names: N names of groups; the legend lists them in the order of their first point.
        title: first line.
    """
    figure = new_figure(6.4, 5.2)
    figure.set_layout_engine('constrained')
    axes = figure.subplots()
    names = np.asarray(names)
    for number, name in enumerate(dict.fromkeys(names.tolist())):
        mine = points[names == name]
        colour, marker = PALETTE[number % len(PALETTE)], MARKERS[number % len(MARKERS)]
        axes.scatter(*mine.T, s=16, color=colour, marker=marker, alpha=0.7, linewidths=0, label=name)
    axes.set_title(title, size=11, loc='left')
    axes.legend(frameon=False, fontsize=9)
    _label(axes, 'first direction', 'second direction')
    return figure


def _label(axes: Axes, x: str, y: str) -> None:
    axes.set_xlabel(x, size=9, color=MUTED)
    axes.set_ylabel(y, size=9, color=MUTED)
    axes.tick_params(labelsize=8)
    axes.grid(alpha=0.25, linewidth=0.6)
    axes.set_axisbelow(True)
    axes.spines[['top', 'right']].set_visible(False)
