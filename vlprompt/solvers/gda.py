"""GDA: class-conditional Gaussians with one covariance, added to the zero-shot logits.

A Hard-to-Beat Baseline for Training-free CLIP-based Adaptation (Wang et al., ICLR 2024).  With the means
``mu_c`` and the precision ``P`` of a common covariance, Bayes' rule is a linear classifier::

    w_c = P mu_c        b_c = log pi_c - mu_c^T P mu_c / 2        logits = s <x, t_c> + alpha (<x, w_c> + b_c)

The precision is an empirical-Bayes shrinkage estimate, with ``S`` the scatter of all rows around their class means::

    P = D (S + tr(S) / (N - 1) I)^-1

``S`` is N - 1 times the covariance, so ``P`` shrinks as the number of rows grows and the right ``alpha`` grows with it.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor

from vlprompt.arguments import check_choices, check_counts, check_positive
from vlprompt.registry import MODELS
from vlprompt.solvers.base import (
    Linear,
    Search,
    Setting,
    Shots,
    Solver,
    class_means,
    number_like,
    zero_shot,
)


@MODELS.register_module()
class GDA(Solver):
    """Gaussian discriminant analysis, in closed form.

    Args:
        alpha: weight of the Gaussian logits; the published one for ImageNet is .01, .1, 1, 1, 10 for 1, 2, 4, 8, 16
            shots.
        prior: class frequencies ``pi``: ``'uniform'``, or ``'empirical'``, those of the shots.
        covariance: ``'pooled'`` over all rows, in which classes with many images dominate, or ``'class_mean'``, the
            mean of the covariances of the classes, which needs two rows of each.
        shrinkage: False: the pseudo-inverse of the covariance, without the factor D, as published for base-to-new.
        keep_rows: also keep all rows, from which weights of new classes are made (:meth:`for_other_classes`).
        neighbours: rows that stand for the images of a new class.
        text_copies: times that the text of a new class counts in its mean.
        views: see :class:`~vlprompt.solvers.Solver`; each is a row of its own.

    Raises:
        ValueError: an unknown ``prior`` or ``covariance``; ``alpha``, ``neighbours`` or ``text_copies`` out of range.
    """

    fitted = ('weight', 'bias', 'alpha_', 'rows')

    def __init__(
        self,
        alpha: float = 1.0,
        prior: Literal['uniform', 'empirical'] = 'uniform',
        covariance: Literal['pooled', 'class_mean'] = 'pooled',
        shrinkage: bool = True,
        keep_rows: bool = False,
        neighbours: int = 64,
        text_copies: int = 16,
        views: int | None = 10,
    ) -> None:
        super().__init__(views)
        check_choices(self, prior=prior, covariance=covariance)
        check_positive(self, alpha=alpha)
        check_counts(self, text_copies=text_copies)
        check_counts(self, 2, neighbours=neighbours)
        self.alpha, self.prior, self.covariance, self.shrinkage = alpha, prior, covariance, shrinkage
        self.keep_rows, self.neighbours, self.text_copies = keep_rows, neighbours, text_copies

    def fit(self, shots: Shots) -> None:
        rows, labels = shots.rows()
        rows = F.normalize(rows, dim=-1)
        means = class_means(rows, labels, shots.num_classes)  # (K, D)
        scatter, count = self._scatter(rows - means[labels], labels, shots.num_classes)
        # tr(S) of rows that are all equal is rounding noise.
        if scatter.trace() <= len(rows) * torch.finfo(rows.dtype).eps:
            raise ValueError(
                'GDA: every class has a single row, so there is no covariance: raise the number of shots or '
                'model.solver.views'
            )
        if self.shrinkage:
            weight = _solve_shrunk(scatter, scatter.trace() / (count - 1), means)
        else:
            precision = torch.linalg.pinv(scatter / (count - 1), hermitian=True)
            weight = means @ precision
        prior = shots.per_class.to(rows) if self.prior == 'empirical' else torch.ones_like(weight[:, 0])
        bias = (prior / prior.sum()).log() - (weight * means).sum(1) / 2
        kept = rows if self.keep_rows else rows[:0]
        self.hold(weight=weight, bias=bias, alpha_=number_like(self.alpha, rows), rows=kept)

    def _scatter(self, centred: Tensor, labels: Tensor, num_classes: int) -> tuple[Tensor, int]:
        """(D, D) scatter of rows around the means of their classes, and the number of rows that it stands for."""
        if self.covariance == 'pooled':
            return centred.t() @ centred, len(centred)
        counts = labels.bincount(minlength=num_classes).to(centred)
        if single := (counts < 2).nonzero().flatten().tolist():
            raise ValueError(
                f"GDA: covariance='class_mean' needs two rows of every class, class {single[0]} has one: raise the "
                "number of shots or model.solver.views, or set model.solver.covariance='pooled'"
            )
        weighted = centred / (num_classes * (counts - 1))[labels].unsqueeze(1)
        return (weighted.t() @ centred) * (len(centred) - 1), len(centred)

    def forward(self, features: Tensor, text: Tensor, scale: float) -> Tensor:
        return scale * zero_shot(features, text) + self.alpha_ * self._gaussian(features)

    def linear(self, text: Tensor, scale: float) -> Linear:
        return Linear(scale * text + self.alpha_ * self.weight, self.alpha_ * self.bias)

    def _gaussian(self, features: Tensor) -> Tensor:
        """(B, K) discriminant functions ``<x, w_c> + b_c``."""
        return F.normalize(features, dim=-1) @ self.weight.t() + self.bias

    @property
    def grid(self) -> Mapping[str, Sequence[float]]:
        return dict(alpha=(1e-4, 1e-3, 1e-2, 1e-1, 1.0, 10.0, 100.0))

    def search(self, shots: Shots, features: Tensor) -> Search:
        self.fit(shots)
        zero, gaussian = shots.scale * zero_shot(features, shots.text), self._gaussian(features)
        for alpha in self.grid['alpha']:
            yield Setting(alpha=alpha), zero + alpha * gaussian

    def adopt(self, setting: Setting, shots: Shots) -> None:
        self.configure(setting)
        self.hold(alpha_=number_like(self.alpha, self.weight))

    @property
    def has_rule_for_other_classes(self) -> bool:
        return self.keep_rows

    @property
    def takes_other_classes(self) -> bool:
        return self.rows is not None and len(self.rows) > 0

    def for_other_classes(self, text: Tensor, known: Mapping[int, int] | None = None) -> GDA:
        """Base-to-new: the images of a new class are replaced by the training rows nearest to its text.

        With V the ``neighbours`` rows of largest ``<t, x>``: the mean is that of V and ``text_copies`` copies of t, the
        scatter that of V around t; the shrunk precisions are averaged over the new classes.  ``alpha`` is that of the
        base classes.  ``known`` classes keep the mean and the precision of their images, and their frequency relative
        to the mean of the fit (with ``prior='uniform'`` that of every class); the published code never mixes both.
        """
        known = known or {}
        new = [position for position in range(len(text)) if position not in known]
        weight, bias = torch.empty_like(text), text.new_empty(len(text))
        if known:
            here, there = list(known), list(known.values())
            weight[here] = self.weight[there]
            bias[here] = self.bias[there] + math.log(len(self.weight) / len(text))
        if new:
            weight[new], quadratic = self._of_text(text[new])
            bias[new] = quadratic - math.log(len(text))
        other = GDA(self.alpha, views=self.views)
        other.hold(weight=weight, bias=bias, alpha_=self.alpha_, rows=self.rows[:0])
        return other

    def _of_text(self, text: Tensor) -> tuple[Tensor, Tensor]:
        """Weights (K', D) of new classes, and (K',) ``-mu^T P mu / 2``, given their text (K', D)."""
        k = min(self.neighbours, len(self.rows))
        means, precision = [], 0
        for t in text:
            near = self.rows[(self.rows @ t).topk(k).indices]
            means.append((near.sum(0) + self.text_copies * t) / (k + self.text_copies))
            scatter = (near - t).t() @ (near - t)
            precision = precision + _shrunk(scatter, scatter.trace() / (k - 1)).inverse() * (len(t) / len(text))
        means = torch.stack(means)
        weight = means @ precision
        return weight, -(weight * means).sum(1) / 2


def _shrunk(scatter: Tensor, shrinkage: Tensor) -> Tensor:
    """``S + shrinkage I``."""
    return scatter + shrinkage * torch.eye(len(scatter), dtype=scatter.dtype, device=scatter.device)


def _solve_shrunk(scatter: Tensor, shrinkage: Tensor, means: Tensor) -> Tensor:
    """(K, D) ``w_c = D (S + shrinkage I)^-1 mu_c`` by a Cholesky factor; the matrix is positive definite."""
    factor = torch.linalg.cholesky(_shrunk(scatter, shrinkage))
    return len(scatter) * torch.cholesky_solve(means.t(), factor).t()
