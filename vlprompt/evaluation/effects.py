"""Differences between settings over seeds, in a module of their own, because importing scipy takes seconds."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from scipy import stats


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
