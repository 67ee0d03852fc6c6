"""Mean and spread of repeated runs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
from scipy import stats


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


class Effect(NamedTuple):
    """Mean difference of two settings over n seeds and its confidence interval."""

    mean: float
    low: float
    high: float

    def __str__(self) -> str:
        return f'{self.mean:+.1f} [{self.low:+.1f}, {self.high:+.1f}]'


def paired_effect(ours: Sequence[float], theirs: Sequence[float], confidence: float = 0.95) -> Effect:
    """Mean of ``ours - theirs``, seed by seed, and Student's t interval for it.

    Pairs share what the seed decides, such as the training images, so that its effect on both cancels.  With n seeds
    the interval is ``mean +- t(n - 1) * s / sqrt(n)``; for three of them t is 4.3.  The images of the test set are the
    same in all runs: the interval says how far other seeds could lie, not other test sets.

    Args:
        ours: a metric of one setting for each seed.
        theirs: of the other, for the same seeds.
        confidence: of the interval.

    Raises:
        ValueError: numbers of seeds that differ, or fewer than two.

    Example:
        >>> print(paired_effect([61.0, 63.0, 62.0], [60.0, 61.0, 61.0]))
        +1.3 [-0.1, +2.8]
    """
    if len(ours) != len(theirs):
        raise ValueError(f'paired_effect: {len(ours)} and {len(theirs)} seeds cannot be paired')
    if len(ours) < 2:
        raise ValueError('paired_effect: an interval needs at least two seeds')
    differences = np.subtract(ours, theirs)
    mean = float(differences.mean())
    reach = float(stats.t.ppf((1 + confidence) / 2, len(ours) - 1) * differences.std(ddof=1) / len(ours) ** 0.5)
    return Effect(mean, mean - reach, mean + reach)
