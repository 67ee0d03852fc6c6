"""Pictures of few-shot experiments: accuracy over the number of shots, and over seconds."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, NullFormatter, StrMethodFormatter

from vlprompt.apis.few_shot.execute import Result
from vlprompt.apis.few_shot.protocols import TRAINED
from vlprompt.apis.few_shot.report import by_seed, mean_of, methods_of, shots_of, spread
from vlprompt.messages import counted
from vlprompt.visualization.figures import PALETTE, new_figure, shorten

MARKERS = ('o', 's', '^', 'D', 'v', 'P', 'X')
"""As many as have no common factor with the number of colours."""


def draw_curves(results: Sequence[Result]) -> Figure:
    """Accuracy over the number of shots, evenly spaced, one panel per dataset.

    Methods that train nothing are stars at 0 shots. Deviations over seeds are bands, or, with more methods than
    colours, where bands would hide one another, bars. The legend begins with the method that is best with most shots.
    """
    datasets, shots, methods = (
        sorted({result.run.dataset for result in results}),
        shots_of(results),
        methods_of(results),
    )
    figure = new_figure(4.4 * len(datasets) + 2.2, max(3.6, 0.19 * len(methods) + 0.7))
    panels = figure.subplots(1, len(datasets), squeeze=False)[0]
    place_of = {number: place for place, number in enumerate([0, *shots])} if shots != [0] else {0: 0}
    for panel, dataset in zip(panels, datasets, strict=True):
        for number, method in enumerate(methods):
            own = [result for result in results if (result.run.method, result.run.dataset) == (method, dataset)]
            colour, marker, line = style_of(number)
            if own and own[0].run.shots is None:
                style = dict(color=colour, marker='*', markersize=9, markeredgecolor='black', markeredgewidth=0.4)
                panel.plot([0], [own[0].accuracy[TRAINED]], label=method, linestyle='none', zorder=3, **style)
                continue
            found = [(k, spread(by_seed(own, method, dataset, k, TRAINED))) for k in shots]
            points = [(place_of[k], cell) for k, cell in found if cell is not None]
            if points:
                places, means = [k for k, _ in points], np.array([cell.mean for _, cell in points])
                deviations = np.array([cell.std for _, cell in points])
                panel.plot(places, means, line, marker=marker, markersize=4, linewidth=1.2, color=colour, label=method)
                if len(methods) <= len(PALETTE):
                    panel.fill_between(places, means - deviations, means + deviations, color=colour, alpha=0.15, lw=0)
                else:
                    panel.errorbar(places, means, deviations, fmt='none', ecolor=colour, elinewidth=0.6, alpha=0.6)
        panel.set(title=dataset, xlabel='shots per class', ylabel='accuracy, %')
        panel.set_xticks(list(place_of.values()), labels=list(map(str, place_of)))
        panel.grid(alpha=0.3)
    _legend_by_accuracy(panels)
    figure.tight_layout()
    return figure


def style_of(number: int) -> tuple[str, str, str]:
    """Colour, marker and line of a method: no two of the first 56 have the same colour and marker."""
    colours = len(PALETTE)
    line = ('-', '--', ':', '-.')[number // colours % 4]
    return PALETTE[number % colours], MARKERS[number % len(MARKERS)], line


def _legend_by_accuracy(panels: Sequence[Axes]) -> None:
    """A legend beside the last panel, in the order of the last points of the lines."""
    lines = {name: line for panel in panels for line, name in zip(*panel.get_legend_handles_labels(), strict=True)}
    names = sorted(lines, key=lambda name: -lines[name].get_ydata()[-1])
    panels[-1].legend(
        [lines[name] for name in names],
        names,
        loc='center left',
        bbox_to_anchor=(1.02, 0.5),
        fontsize=8,
        frameon=False,
        handlelength=3,
    )


def draw_costs(results: Sequence[Result], shots: int) -> Figure:
    """Accuracy over seconds of a run, means over seeds and datasets at one number of shots.

    Methods without the same seeds for all datasets are left out, as from the table of means.

    Names stand in a column beside the panel, in the order of accuracy, each with a line to its point.
    """
    points, datasets = [], sorted({result.run.dataset for result in results})
    for number, method in enumerate(methods_of(results)):
        accuracy = spread(mean_of([by_seed(results, method, dataset, shots, TRAINED) for dataset in datasets]))
        if accuracy is not None:
            own = [result for result in results if result.run.method == method and result.run.shots in (shots, None)]
            seconds = max(float(np.mean([result.seconds for result in own])), 0.1)
            points.append((method, style_of(number), seconds, accuracy.mean))
    height = max(3.8, 0.2 * len(points) + 0.9)
    figure = new_figure(7.5, height)
    panel = figure.add_axes((0.09, 0.5 / height, 0.58, 1 - 0.85 / height))
    panel.set(xscale='log', xlabel='seconds of a run', ylabel='accuracy, %', title=counted(shots, 'shot'))
    panel.grid(alpha=0.3)
    if not points:
        return figure
    accuracies = [accuracy for *_, accuracy in points]
    room = max(max(accuracies) - min(accuracies), 1) * 0.06
    low, high = min(accuracies) - room, max(accuracies) + room
    panel.set(ylim=(low, high), xlim=(min(p[2] for p in points) / 1.4, max(p[2] for p in points) * 1.4))
    panel.xaxis.set_major_formatter(StrMethodFormatter('{x:g}'))
    panel.xaxis.set_minor_formatter(NullFormatter())
    if panel.get_xlim()[1] / panel.get_xlim()[0] < 30:  # too few powers of ten to read a value by
        panel.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    gap = 0.17 / (height - 0.85)  # of a line of text, as a share of the panel's height
    heights = spread_apart([(accuracy - low) / (high - low) for accuracy in accuracies], gap)
    line = dict(arrowstyle='-', linewidth=0.6, alpha=0.6, relpos=(0, 0.5), shrinkA=1, shrinkB=4)
    for (method, (colour, marker, _), seconds, accuracy), place in zip(points, heights, strict=True):
        panel.plot(seconds, accuracy, marker, color=colour, markersize=6, zorder=3)
        panel.annotate(
            shorten(method, 34),
            (seconds, accuracy),
            xytext=(1.04, place),
            textcoords='axes fraction',
            fontsize=8,
            va='center',
            annotation_clip=False,
            arrowprops=dict(line, color=colour),
        )
    return figure


def spread_apart(places: Sequence[float], gap: float) -> list[float]:
    """Places in [0, 1], moved as little as possible so that neighbours are at least ``gap`` apart and the order stays.

    Where there is no room for all of them the gaps are equal and smaller.
    """
    last = len(places) - 1
    gap = min(gap, 1 / max(last, 1))
    order = sorted(range(len(places)), key=lambda index: places[index])
    # Without the gaps before them the places must not descend: groups that would are moved to their mean.
    groups: list[tuple[float, int]] = []
    for rank, index in enumerate(order):
        mean, size = places[index] - rank * gap, 1
        while groups and groups[-1][0] > mean:
            before, count = groups.pop()
            mean, size = (before * count + mean * size) / (count + size), count + size
        groups.append((mean, size))
    starts = [min(max(mean, 0.0), 1 - last * gap) for mean, size in groups for _ in range(size)]
    moved = {index: start + rank * gap for rank, (index, start) in enumerate(zip(order, starts, strict=True))}
    return [moved[index] for index in range(len(places))]
