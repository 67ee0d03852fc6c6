"""The one function that chooses hyper-parameters, by the accuracy on validation images; and the line that says so."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from torch import Tensor

from vlprompt.solvers.base import Setting, Shots, Solver


@dataclass(frozen=True)
class Tuned:
    """Result of :func:`tune`.

    Attributes:
        setting: the best one.
        accuracy: of it on the validation images, in percent.
        tried: number of settings.
    """

    setting: Setting
    accuracy: float
    tried: int


def tune(solver: Solver, shots: Shots, features: Tensor, labels: Tensor) -> Tuned | None:
    """Choose the best setting of a solver's :meth:`~vlprompt.solvers.Solver.search` and fit the solver with it.

    Of equally good ones the first wins, or the last where the solver says so (``last_of_ties``).

    Args:
        solver: is fitted afterwards.
        shots: features of training images and text.
        features: (V, D) of the validation images, not normalised.
        labels: (V,) of them.

    Returns:
        What was chosen; None if the solver has nothing to tune.
    """
    if not solver.grid:
        solver.fit(shots)
        return None
    best, tried = None, 0
    search = solver.search(shots, features)
    answer = None
    while True:
        try:
            setting, logits = search.send(answer)
        except StopIteration:
            break
        answer = (logits.argmax(1) == labels).double().mean().item() * 100
        tried += 1
        if best is None or answer > best.accuracy or (solver.last_of_ties and answer == best.accuracy):
            best = Tuned(setting, answer, tried)
    solver.adopt(best.setting, shots)
    return Tuned(best.setting, best.accuracy, tried)


def describe_fit(report: Mapping[str, Any]) -> str:
    """A line about a fit: ``'GDA, 160 images x 10 views, tune=few (64 images of val): alpha=1'``."""
    line = f'{report["solver"]}, {report["images"]} images x {report["views"]} views, tune={report["tune"]}'
    if report['tuning_images']:
        chosen = ', '.join(f'{name}={value:.6g}' for name, value in report['chosen'].items())
        line += f' ({report["tuning_images"]} images of {report["tuning_split"]}): {chosen}'
    return line
