"""Training curves, read from the scalars that mmengine writes into every work directory."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import mode

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator

from vlprompt.files import METRICS_FILE, read_lines, read_metrics
from vlprompt.visualization.figures import MUTED, PALETTE, new_figure, shorten

SCALARS = 'vis_data/scalars.json'
TITLES = {
    'loss': 'training loss',
    'decode.loss_ce': 'loss of the decode head',
    'pixel_text.loss_ce': 'loss of the score maps',
    'accuracy': 'training accuracy, %',
    'accuracy/top1': 'accuracy on held-out images, %',
    'mIoU': 'mIoU on held-out images, %',
    'lr': 'learning rate',
    'plan_entropy': 'plan entropy (1 = uniform)',
}
"""Scalars drawn by default if a run has them, in this order, and the titles of their panels."""


@dataclass
class Run:
    """Scalars of one training run.

    Attributes:
        name: for the legend.
        series: name of a scalar -> its (position, value) pairs in ascending order.  The position is the
            (fractional) number of epochs, or of iterations in training by iteration.
        unit: ``'epoch'`` or ``'iteration'``.
    """

    name: str
    series: dict[str, list[tuple[float, float]]]
    unit: str


@dataclass(frozen=True)
class Level:
    """Values that do not change in training, such as those of zero-shot CLIP: a horizontal line in their panels.

    Attributes:
        name: for the legend.
        values: name of a scalar -> its value.
    """

    name: str
    values: Mapping[str, float]


def read_level(name: str, path: str | Path) -> Level:
    """The metrics of a test as a :class:`Level`.

    Args:
        name: for the legend.
        path: the ``test_metrics.json`` that a test has written, or its folder.

    Raises:
        FileNotFoundError: there is none.
        ValueError: a file without metrics.
    """
    path = Path(path)
    file = path / METRICS_FILE if path.is_dir() else path
    metrics = read_metrics(file)
    if not metrics:
        raise ValueError(f'{file} holds no metrics: the test of that run measured nothing')
    return Level(name, metrics)


def read_run(path: str | Path) -> Run:
    """Read the scalars of a work directory or of one ``scalars.json``.

    A run that was interrupted and resumed has several files; each one replaces the earlier from its first step on.

    Raises:
        FileNotFoundError: no scalars there.
        ValueError: a line is not JSON, or no training was logged.
    """
    path = Path(path)
    files = [path] if path.is_file() else sorted(path.glob(f'*/{SCALARS}'))
    if not files:
        raise FileNotFoundError(
            f'no {path}/<time>/{SCALARS}: give the work directory of a training run (with LocalVisBackend in its '
            'visualizer) or a scalars.json'
        )
    train, held_out = [], []
    for file in files:
        records = _read_records(file)
        steps = [r for r in records if 'lr' in r]
        if steps:
            train = [r for r in train if r['step'] < steps[0]['step']] + steps
        for record in records:
            if 'lr' not in record:
                held_out = [r for r in held_out if r['step'] < record['step']] + [record]
    if not train:
        raise ValueError(f'{files[-1]}: no training was logged (no record has "lr")')
    by_epoch = all('epoch' in r for r in train)
    length = _epoch_length(train) if by_epoch else 1
    series: dict[str, list[tuple[float, float]]] = {}
    for record in train:
        _collect(series, record, record['step'] / length)
    for record in held_out:
        _collect(series, record, record['step'])
    return Run(path.stem if path.is_file() else path.resolve().name, series, 'epoch' if by_epoch else 'iteration')


def _epoch_length(train: Sequence[Mapping[str, float]]) -> int:
    """Iterations of an epoch, from lines of a log that may leave out its last ones: the usual distance between the
    first lines of two epochs, at least what the lines of any epoch need.
    """
    first: dict[float, float] = {}
    for record in train:
        first.setdefault(record['epoch'], record['step'])
    apart = [first[epoch + 1] - step for epoch, step in first.items() if epoch + 1 in first]
    least = math.ceil(max(record['step'] / record['epoch'] for record in train))
    return max(least, mode(apart) if apart else least)


def read_runs(path: str | Path) -> list[Run]:
    """The run of a work directory, or of each phase (or seed) in its folders, named ``folder/phase``, oldest first.

    Raises:
        FileNotFoundError: no scalars there.
        ValueError: a line is not JSON, or no training was logged.
    """
    path = Path(path)
    starts: dict[Path, str] = {}
    if path.is_dir() and not any(path.glob(f'*/{SCALARS}')):
        for file in sorted(path.glob(f'*/*/{SCALARS}')):
            time, folder = file.parents[1].name, file.parents[2]
            starts[folder] = min(time, starts.get(folder, time))
    if not starts:
        return [read_run(path)]
    runs = [read_run(folder) for folder in sorted(starts, key=starts.__getitem__)]
    for run in runs:
        run.name = f'{path.resolve().name}/{run.name}'
    return runs


def _read_records(file: Path) -> list[dict]:
    """One record per line; those without a step, such as the results of a test run, are dropped."""
    records = []
    for place, line in read_lines(file):
        try:
            record = json.loads(line)
        except json.JSONDecodeError as error:
            raise ValueError(f'{place}: {error}') from error
        if 'step' in record:
            records.append(record)
    return records


def _collect(series: dict[str, list[tuple[float, float]]], record: dict, position: float) -> None:
    for key, value in record.items():
        if isinstance(value, (int, float)) and key not in ('step', 'epoch', 'iter'):
            series.setdefault(key, []).append((position, value))


def draw_curves(
    runs: Sequence[Run], keys: Iterable[str] | None = None, title: str = '', levels: Sequence[Level] = ()
) -> Figure:
    """Overlay runs: a panel for each scalar, a colour for each run.

    Args:
        runs: all with positions in epochs, or all in iterations.
        keys: names of scalars; by default those of :data:`TITLES` that a run has.
        title: first line.
        levels: dashed lines, each in the panels of its scalars.

    Raises:
        ValueError: runs by epoch together with runs by iteration, a scalar that no run has, or a level in no panel.
    """
    keys = _panels(runs, keys, levels)
    columns = min(len(keys), 3)
    rows = math.ceil(len(keys) / columns)
    legend_rows = math.ceil((len(runs) + len(levels)) / columns)
    head = 0.45 * bool(title) + 0.25 * legend_rows + 0.1
    width, height = max(3.6 * columns, 5.0), head + 2.7 * rows
    figure = new_figure(width, height)
    figure.set_layout_engine('constrained', rect=(0, 0, 1, 1 - head / height), w_pad=0.08, h_pad=0.08)
    grid = figure.subplots(rows, columns, squeeze=False).ravel()
    handles: dict[str, Line2D] = {}
    for axes, key in zip(grid, keys, strict=False):
        _draw_panel(axes, runs, key)
        for number, level in enumerate(levels, len(runs)):
            if key in level.values:
                style = dict(linestyle=(0, (5, 2)), linewidth=1.6, color=PALETTE[number % len(PALETTE)])
                axes.axhline(level.values[key], label=shorten(level.name, 40), **style)
        shown, labels = axes.get_legend_handles_labels()
        handles |= dict(zip(labels, shown, strict=True))
    for axes in grid[len(keys) :]:
        axes.set_axis_off()
    figure.text(0.12 / width, 1 - 0.25 / height, title, size=12, weight='bold', va='center')
    figure.legend(
        list(handles.values()),
        list(handles),
        loc='upper left',
        bbox_to_anchor=(0, 1 - 0.42 * bool(title) / height),
        ncols=columns,
        fontsize=10,
        frameon=False,
    )
    return figure


def _panels(runs: Sequence[Run], keys: Iterable[str] | None, levels: Sequence[Level]) -> list[str]:
    """Names of the scalars to draw; runs and levels that do not fit them are errors."""
    if len({run.unit for run in runs}) > 1:
        raise ValueError(f'runs count epochs or iterations: {", ".join(f"{r.name}: {r.unit}" for r in runs)}')
    present = {key for run in runs for key in run.series}
    keys = [key for key in TITLES if key in present] if keys is None else list(keys)
    for key in keys:
        if key not in present:
            raise ValueError(f'no run has the scalar {key!r}; there are {", ".join(sorted(present))}')
    for level in levels:
        if not set(keys) & set(level.values):
            raise ValueError(
                f'{level.name!r} would be in no panel: it has {", ".join(level.values)}, the panels show '
                f'{", ".join(keys)}'
            )
    return keys


def _draw_panel(axes: Axes, runs: Sequence[Run], key: str) -> None:
    for number, run in enumerate(runs):
        points = run.series.get(key, [])
        marker = dict(marker='o', markersize=3.5) if len(points) <= 25 else {}
        axes.plot(
            *(zip(*points, strict=True) if points else ([], [])),
            label=shorten(run.name, 40),
            color=PALETTE[number % len(PALETTE)],
            linestyle=('-', '--', ':')[number // len(PALETTE) % 3],
            linewidth=1.5 + 1.5 * (len(runs) - 1 - number) / len(runs),  # earlier ones show beneath equal later ones
            **marker,
        )
    axes.set_title(TITLES.get(key, key), size=11, loc='left')
    axes.set_xlabel(runs[0].unit, size=9, color=MUTED)
    axes.xaxis.set_major_locator(MaxNLocator(nbins=6, integer=True))
    axes.tick_params(labelsize=9)
    axes.grid(alpha=0.25, linewidth=0.6)
    axes.spines[['top', 'right']].set_visible(False)
