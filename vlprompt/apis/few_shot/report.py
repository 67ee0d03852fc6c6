"""Tables of few-shot experiments: mean and standard deviation over seeds, by dataset and over all."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from vlprompt.apis.few_shot.execute import Result
from vlprompt.apis.few_shot.protocols import TRAINED
from vlprompt.evaluation.seeds import Spread, aggregate
from vlprompt.messages import counted

MEAN = 'mean of the datasets'


@dataclass(frozen=True)
class Table:
    """Rows of methods, columns of settings, a spread over seeds or None in each cell.

    Attributes:
        title: of the table.
        columns: their names.
        rows: method -> a cell for each column.
        untrained: methods that train nothing, whose only value is not one of several seeds.
    """

    title: str
    columns: tuple[str, ...]
    rows: Mapping[str, tuple[Spread | None, ...]]
    untrained: frozenset[str] = frozenset()


def tables_of(protocol: str, results: Sequence[Result]) -> list[Table]:
    """The tables of a protocol, of what has finished so far.

    ``all``: one table per dataset with a column per number of shots, and one of the means over the datasets.
    ``base-to-new``: one table per number of shots; base, new and their harmonic mean by dataset, and over all datasets
    the harmonic mean of the two means, which papers print, beside the mean of the harmonic means, which some print.
    ``transfer``: one table per number of shots and source, a column per test set.

    A method whose hyper-parameters were chosen on validation images says on which.
    """
    make = _halves if protocol == 'base-to-new' else _targets
    tables = (
        _by_shots(results) if protocol == 'all' else [t for shots in shots_of(results) for t in make(results, shots)]
    )
    labels = {method: _label(results, method) for method in methods_of(results)}
    untrained = frozenset(labels[result.run.method] for result in results if not result.run.trains)
    return [
        replace(table, rows={labels[method]: cells for method, cells in table.rows.items()}, untrained=untrained)
        for table in tables
    ]


def _label(results: Sequence[Result], method: str) -> str:
    """The name of a method, with the images that chose its hyper-parameters if any did: ``'gda_rn50, tune=few'``."""
    levels = sorted({result.tune for result in results if result.run.method == method})
    return method if levels == ['none'] else f'{method}, tune={"/".join(levels)}'


def shots_of(results: Sequence[Result]) -> list[int]:
    """Numbers of shots, ascending; 0 if nothing was trained."""
    return sorted({result.run.shots for result in results if result.run.shots is not None}) or [0]


def methods_of(results: Sequence[Result]) -> list[str]:
    """Names of methods, in the order of the results."""
    return list(dict.fromkeys(result.run.method for result in results))


def by_seed(results: Sequence[Result], method: str, dataset: str, shots: int, test: str) -> dict[int | None, float]:
    """Accuracies of one cell by seed; a method that trains nothing has one for all numbers of shots, by None."""
    return {
        result.run.seed: result.accuracy[test]
        for result in results
        if (result.run.method, result.run.dataset) == (method, dataset)
        and result.run.shots in (shots, None)
        and test in result.accuracy
    }


def spread(values: Mapping[int | None, float]) -> Spread | None:
    """Of one cell; None without a value."""
    return aggregate([dict(accuracy=value) for value in values.values()])['accuracy'] if values else None


def mean_of(cells: Sequence[Mapping[int | None, float]]) -> dict[int | None, float]:
    """The mean over datasets, seed by seed; nothing unless all of them have the same seeds."""
    seeds = cells[0].keys()
    if any(cell.keys() != seeds for cell in cells):
        return {}
    return {seed: float(np.mean([cell[seed] for cell in cells])) for seed in seeds}


def harmonic(first: Spread | None, second: Spread | None) -> Spread | None:
    """Harmonic mean of the means over seeds."""
    if first is None or second is None:
        return None
    total = first.mean + second.mean
    return _single(2 * first.mean * second.mean / total if total else 0.0)


def _single(value: float) -> Spread:
    return Spread(value, 0.0, (value,))


def _by_shots(results: Sequence[Result]) -> list[Table]:
    shots, methods = shots_of(results), methods_of(results)
    datasets = sorted({result.run.dataset for result in results})
    columns = tuple(f'{number}-shot' if number else 'accuracy' for number in shots)
    cells = {
        dataset: {method: [by_seed(results, method, dataset, k, TRAINED) for k in shots] for method in methods}
        for dataset in datasets
    }
    tables = [Table(f'{dataset}: accuracy', columns, _spreads(rows)) for dataset, rows in cells.items()]
    if len(datasets) > 1:
        rows = {
            method: [mean_of(column) for column in zip(*(cells[dataset][method] for dataset in datasets), strict=True)]
            for method in methods
        }
        tables.append(Table(MEAN, columns, _spreads(rows)))
    return tables


def _spreads(rows: Mapping[str, Sequence[Mapping[int | None, float]]]) -> dict[str, tuple[Spread | None, ...]]:
    return {method: tuple(map(spread, cells)) for method, cells in rows.items()}


def _halves(results: Sequence[Result], shots: int) -> list[Table]:
    datasets, methods = sorted({result.run.dataset for result in results}), methods_of(results)
    columns = ('base', 'new', 'harmonic mean')
    tables, pairs = [], {method: [] for method in methods}
    for dataset in datasets:
        rows = {}
        for method in methods:
            pair = [by_seed(results, method, dataset, shots, test) for test in (TRAINED, 'new')]
            pairs[method].append(pair)
            rows[method] = _with_harmonic(pair)
        tables.append(Table(f'{dataset}: base to new, {counted(shots, "shot")}', columns, rows))
    if len(datasets) > 1:
        rows = {}
        for method, found in pairs.items():
            means = [mean_of(halves) for halves in zip(*found, strict=True)]
            harmonics = [_with_harmonic(pair)[2] for pair in found]
            known = None not in harmonics and all(means)  # of the same seeds on all datasets
            of_harmonics = _single(float(np.mean([each.mean for each in harmonics]))) if known else None
            rows[method] = (*_with_harmonic(means), of_harmonics)
        tables.append(Table(f'{MEAN}, {counted(shots, "shot")}', (*columns, 'mean of the harmonic means'), rows))
    return tables


def _with_harmonic(pair: Sequence[Mapping[int | None, float]]) -> tuple[Spread | None, Spread | None, Spread | None]:
    base, new = map(spread, pair)
    return base, new, harmonic(base, new)


def _targets(results: Sequence[Result], shots: int) -> list[Table]:
    tables = []
    for source in sorted({result.run.dataset for result in results}):
        own = [result for result in results if result.run.dataset == source]
        targets = list(dict.fromkeys(test.name for result in own for test in result.run.tests))
        rows = {}
        for method in methods_of(own):
            first, *others = [by_seed(own, method, source, shots, test) for test in (TRAINED, *targets)]
            rows[method] = [first, *others, mean_of(others)]
        columns = (source, *targets, 'mean without the source')
        tables.append(Table(f'{source}, {counted(shots, "shot")}', columns, _spreads(rows)))
    return tables


def markdown(tables: Sequence[Table]) -> str:
    """Tables in Markdown, mean ± standard deviation."""
    parts = []
    for table in tables:
        lines = [f'**{table.title}**', '', '| method | ' + ' | '.join(table.columns) + ' |']
        lines.append('|---' * (len(table.columns) + 1) + '|')
        lines += [f'| {method} | ' + ' | '.join(_cells(table, method)) + ' |' for method in table.rows]
        parts.append('\n'.join(lines) + '\n')
    return '\n'.join(parts)


def latex(tables: Sequence[Table]) -> str:
    """Tables in LaTeX, with the package booktabs."""
    parts = []
    for table in tables:
        head = ' & '.join(['method', *(column.replace('_', r'\_') for column in table.columns)])
        lines = [f'% {table.title}', rf'\begin{{tabular}}{{l{"c" * len(table.columns)}}}', r'\toprule', head + r' \\']
        lines.append(r'\midrule')
        for method in table.rows:
            words = (cell.replace('±', r'$\pm$') for cell in _cells(table, method))
            lines.append(' & '.join([method.replace('_', r'\_'), *words]) + r' \\')
        parts.append('\n'.join([*lines, r'\bottomrule', r'\end{tabular}']) + '\n')
    return '\n'.join(parts)


def comma_separated(tables: Sequence[Table]) -> str:
    """One line per cell: table, method, column, mean, standard deviation, number of seeds; the latter two are empty for
    harmonic means, which are made of means over seeds.
    """
    out = io.StringIO()
    writer = csv.writer(out, lineterminator='\n')
    writer.writerow(['table', 'method', 'column', 'mean', 'std', 'seeds'])
    for table in tables:
        for method, cells in table.rows.items():
            for column, cell in zip(table.columns, cells, strict=True):
                if cell is not None:
                    more = ['', ''] if 'harmonic' in column else [f'{cell.std:.4f}', len(cell.values)]
                    writer.writerow([table.title, method, column, f'{cell.mean:.4f}', *more])
    return out.getvalue()


def _cells(table: Table, method: str) -> list[str]:
    """The cells of a row as text; a single seed is marked as such."""
    words = []
    for cell, column in zip(table.rows[method], table.columns, strict=True):
        if cell is None:
            words.append('')
        elif len(cell.values) > 1:
            words.append(f'{cell.mean:.2f} ± {cell.std:.2f}')
        else:
            single = method not in table.untrained and 'harmonic' not in column
            words.append(f'{cell.mean:.2f}{" (1 seed)" if single else ""}')
    return words
