"""Mean and spread of repeated runs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np


class Spread(NamedTuple):
    """A metric over n runs: mean, standard deviation, and the values themselves."""

    mean: float
    std: float
    values: tuple[float, ...]

    def __str__(self) -> str:
        return f'{self.mean:.2f} ± {self.std:.2f} (n = {len(self.values)})'


def aggregate(results: Sequence[Mapping[str, float]], sample_std: bool = False) -> dict[str, Spread]:
    """Mean and standard deviation of every metric over runs.

    By default the population's, ``sqrt(sum (x - mean)^2 / n)``, as printed by the few-shot papers' scripts (NumPy's
    default).  For three seeds the sample's, which divides by n - 1, is 1.22 times as large.

    Args:
        results: the metrics of each run; all with the same names.
        sample_std: divide by n - 1 instead.

    Returns:
        Metric name -> :class:`Spread`.

    Raises:
        ValueError: no run, a metric that some runs lack, or ``sample_std`` with a single run.

    Example:
        >>> print(aggregate([{'top1': 60.0}, {'top1': 62.0}])['top1'])
        61.00 ± 1.00 (n = 2)
    """
    if not results:
        raise ValueError('aggregate: no results')
    if sample_std and len(results) < 2:
        raise ValueError('aggregate: the sample standard deviation needs at least two runs')
    names = list(results[0])
    for i, result in enumerate(results):
        if set(result) != set(names):
            differing = sorted(set(result) ^ set(names))
            raise ValueError(f'aggregate: run {i} and run 0 do not report the same metrics: {differing}')
    spreads = {}
    for name in names:
        values = tuple(float(result[name]) for result in results)
        spreads[name] = Spread(float(np.mean(values)), float(np.std(values, ddof=int(sample_std))), values)
    return spreads
