"""CLAP: class prototypes trained from the text features, and held near them where zero-shot predictions are right.

A Closer Look at the Few-Shot Adaptation of Large Vision-Language Models (Silva-Rodriguez et al., CVPR 2024).
With raw text features ``t_c``, ``^`` for normalisation and s the logit scale::

    logits = s <x^, w_c^>        w_c(0) = t_c
    lambda_c = mean over rows of class c of softmax(zero-shot logits)_c, computed once
    loss = cross-entropy + 1/K sum_c lambda_c |w_c - t_c|^2

Without the penalty it is ZS-LP, a linear probe that starts from the zero-shot classifier.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor

from vlprompt.arguments import check_choices, check_counts, check_positive
from vlprompt.registry import MODELS
from vlprompt.solvers.base import Linear, Shots, Solver, class_means


@MODELS.register_module()
class CLAP(Solver):
    """CLAP: SGD with momentum .9 and without weight decay, the same settings for all data and shots; nothing is tuned.

    The penalty is on prototypes as the text tower gives them: with text features of unit norm it would be weaker by
    their squared norm.

    Args:
        constraint: ``'class'``, a multiplier lambda for each class, or ``'none'``: ZS-LP.
        lr: learning rate after the first epoch, which has 1e-5; it then follows half a cosine.
        epochs: of the training.  An epoch has as many batches as the images without their views fill (at least one).
        batch_size: rows of a step.
        views: see :class:`~vlprompt.solvers.Solver`; each is a row of its own.

    Raises:
        ValueError: an unknown ``constraint``; ``lr`` not positive, or ``epochs`` or ``batch_size`` no positive whole
            numbers.
    """

    fitted = ('prototypes',)
    raw_text = True

    def __init__(
        self,
        constraint: Literal['class', 'none'] = 'class',
        lr: float = 0.1,
        epochs: int = 300,
        batch_size: int = 256,
        views: int | None = 20,
    ) -> None:
        super().__init__(views)
        check_choices(self, constraint=constraint)
        check_positive(self, lr=lr)
        check_counts(self, epochs=epochs, batch_size=batch_size)
        self.constraint, self.lr, self.epochs, self.batch_size = constraint, lr, epochs, batch_size

    def fit(self, shots: Shots) -> None:
        for _ in self.descend(shots, self._batches(shots)):
            pass

    def trained_numbers(self, images: int, classes: int, width: int) -> int:
        return classes * width

    def descend(self, shots: Shots, batches: Iterable[tuple[float, Tensor]]) -> Iterator[tuple[Tensor, Tensor]]:
        """Cross-entropy and penalty, tensors without axes, before each step; the fitted prototypes are those after it.

        Args:
            shots: as for :meth:`fit`.
            batches: learning rates and positions of the rows of the steps.
        """
        text, scale = shots.text, shots.scale
        rows, labels = shots.rows()
        rows = F.normalize(rows, dim=-1)
        if self.constraint == 'class':
            multipliers = confidence(rows, labels, text, scale)
        else:
            multipliers = text.new_zeros(len(text))
        prototypes, momentum = text.clone(), torch.zeros_like(text)
        for lr, batch in batches:
            ce, penalty, gradient = loss_and_gradient(prototypes, text, rows[batch], labels[batch], multipliers, scale)
            momentum = 0.9 * momentum + gradient
            prototypes = prototypes - lr * momentum
            self.hold(prototypes=prototypes)
            yield ce, penalty

    def _batches(self, shots: Shots) -> Iterator[tuple[float, Tensor]]:
        images, views, _ = shots.features.shape
        generator = torch.Generator().manual_seed(shots.seed)
        for epoch in range(self.epochs):
            lr = 1e-5 if epoch == 0 else self.lr * (1 + math.cos(math.pi * (epoch - 1) / self.epochs)) / 2
            order = torch.randperm(images * views, generator=generator).to(shots.labels.device)
            for batch in order.split(self.batch_size)[: max(1, images // self.batch_size)]:
                yield lr, batch

    def forward(self, features: Tensor, text: Tensor, scale: float) -> Tensor:
        return scale * F.normalize(features, dim=-1) @ F.normalize(self.prototypes, dim=-1).t()

    def linear(self, text: Tensor, scale: float) -> Linear:
        return Linear(scale * F.normalize(self.prototypes, dim=-1))


def confidence(rows: Tensor, labels: Tensor, text: Tensor, scale: float) -> Tensor:
    """(K,) multipliers: the mean zero-shot probability that rows of a class have of it.

    Args:
        rows: (N, D) unit norm.
        labels: (N,).
        text: (K, D), not normalised.
        scale: logit scale.
    """
    probability = (scale * rows @ F.normalize(text, dim=-1).t()).softmax(1)
    return class_means(probability, labels, len(text)).diagonal()


def loss_and_gradient(
    prototypes: Tensor, text: Tensor, rows: Tensor, labels: Tensor, multipliers: Tensor, scale: float
) -> tuple[Tensor, Tensor, Tensor]:
    """Cross-entropy, penalty, and the gradient (K, D) of their sum with respect to the prototypes.

    Args:
        prototypes: (K, D), not normalised.
        text: (K, D), which they are held to, not normalised.
        rows: (B, D) unit norm.
        labels: (B,).
        multipliers: (K,).
        scale: logit scale.
    """
    with torch.enable_grad():
        w = prototypes.detach().requires_grad_()
        ce = F.cross_entropy(scale * rows @ F.normalize(w, dim=-1).t(), labels)
        penalty = (multipliers * (w - text).square().sum(1)).mean()
        (gradient,) = torch.autograd.grad(ce + penalty, w)
    return ce.detach(), penalty.detach(), gradient
