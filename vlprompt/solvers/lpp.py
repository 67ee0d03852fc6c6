"""LP++: a linear probe whose class weights are added to text features with a learned weight per class.

LP++: A Surprisingly Strong Linear Probe for Few-Shot CLIP (Huang et al., CVPR 2024)::

    logits_c = <x, w_c> + b_c + alpha_c <x, t_c>

Step sizes follow from Lipschitz constants of the two blocks, so nothing is tuned but the number of steps::

    eta_w = 4 N / lambda_max(X^T X)        eta_alpha = N / (4 max_c sum_i <x_i, t_c>^2)
    w_c(0) = sum of the class's rows       alpha_c(0) = 250 mean over classes of mean_{i in c} <x_i, t_c>
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor

from vlprompt.arguments import check_choices, check_counts
from vlprompt.registry import MODELS
from vlprompt.solvers.base import Linear, Search, Setting, Shots, Solver, zero_shot


@MODELS.register_module()
class LPPlusPlus(Solver):
    """LP++: full-batch gradient descent on class weights with momentum .9, and on alpha every few steps.

    The published code never clears the gradient of alpha, so that a step takes the sum over all iterations so far, and
    starts the bias, which the paper does not have, from random numbers.

    Args:
        steps: iterations.
        alpha_every: iterations between two steps of alpha.
        alpha_gradient: ``'fresh'``, of the current iteration, or ``'accumulated'``, as published.
        bias: start of the bias: ``'zero'``, or ``'random'`` as published, uniform within 1 / sqrt(D); ``'none'``: there
            is no bias.
        views: see :class:`~vlprompt.solvers.Solver`; each is a row of its own.

    Raises:
        ValueError: an unknown ``alpha_gradient`` or ``bias``; ``steps`` or ``alpha_every`` no positive whole numbers;
            from :meth:`fit`, with ``'accumulated'``, classes with different numbers of images, which the published code
            cannot have.
    """

    fitted = ('weight', 'bias', 'alpha')
    last_of_ties = True

    def __init__(
        self,
        steps: int = 300,
        alpha_every: int = 10,
        alpha_gradient: Literal['fresh', 'accumulated'] = 'fresh',
        bias: Literal['zero', 'random', 'none'] = 'zero',
        views: int | None = 1,
    ) -> None:
        super().__init__(views)
        check_choices(self, alpha_gradient=alpha_gradient, bias=bias)
        check_counts(self, steps=steps, alpha_every=alpha_every)
        self.steps, self.alpha_every = steps, alpha_every
        self.alpha_gradient, self.bias_start = alpha_gradient, bias

    def fit(self, shots: Shots) -> None:
        for _ in self.descend(shots):
            pass

    def trained_numbers(self, images: int, classes: int, width: int) -> int:
        return classes * (width + (1 if self.bias_start == 'none' else 2))

    def descend(self, shots: Shots) -> Iterator[Tensor]:
        """The loss, a tensor without axes, before each of the iterations; the fitted tensors are those after it.

        Args:
            shots: as for :meth:`fit`.
        """
        if self.alpha_gradient == 'accumulated' and len(set(counts := shots.per_class.tolist())) > 1:
            raise ValueError(
                f"LPPlusPlus: alpha_gradient='accumulated' is the published code, which needs equally many images of "
                f'every class, not {min(counts)} to {max(counts)}: use fewer shots, or '
                "model.solver.alpha_gradient='fresh'"
            )
        x, labels = shots.rows()
        x = F.normalize(x, dim=-1)
        cosine = x @ shots.text.t()  # (N, K)
        target = F.one_hot(labels, shots.num_classes).to(x)
        weight, alpha = target.t() @ x, start_alpha(cosine, target).repeat(shots.num_classes)
        bias = self._start_bias(weight, shots.seed)
        rate, alpha_rate = step_sizes(x, cosine)
        momentum = torch.zeros_like(weight), torch.zeros_like(bias)
        alpha_gradient = torch.zeros_like(alpha)
        for step in range(self.steps):
            logits = x @ weight.t() + bias + alpha * cosine
            loss = F.cross_entropy(logits, labels)
            error = (logits.softmax(1) - target) / len(x)  # (N, K) gradient of the mean cross-entropy
            alpha_gradient = (error * cosine).sum(0) + (alpha_gradient if self.alpha_gradient == 'accumulated' else 0)
            momentum = 0.9 * momentum[0] + error.t() @ x, 0.9 * momentum[1] + error.sum(0)
            weight = weight - rate * momentum[0]
            if self.bias_start != 'none':
                bias = bias - rate * momentum[1]
            if (step + 1) % self.alpha_every == 0:
                alpha = alpha - alpha_rate * alpha_gradient
            self.hold(weight=weight, bias=bias, alpha=alpha)
            yield loss

    def _start_bias(self, weight: Tensor, seed: int) -> Tensor:
        classes, width = weight.shape
        if self.bias_start != 'random':
            return weight.new_zeros(classes)
        generator = torch.Generator().manual_seed(seed)
        return ((2 * torch.rand(classes, generator=generator) - 1) / math.sqrt(width)).to(weight)

    def forward(self, features: Tensor, text: Tensor, scale: float) -> Tensor:
        x = F.normalize(features, dim=-1)
        return x @ self.weight.t() + self.bias + self.alpha * zero_shot(features, text)

    def linear(self, text: Tensor, scale: float) -> Linear:
        return Linear(self.weight + self.alpha.unsqueeze(1) * text, self.bias)

    @property
    def grid(self) -> dict[str, range]:
        return dict(steps=range(1, self.steps + 1))

    def search(self, shots: Shots, features: Tensor) -> Search:
        for step, _ in enumerate(self.descend(shots), 1):
            yield Setting(steps=step), self(features, shots.text, shots.scale)


def start_alpha(cosine: Tensor, target: Tensor) -> Tensor:
    """Start of alpha, one number for all classes: 250 times the mean cosine of a class's rows with its text.

    Args:
        cosine: (N, K).
        target: (N, K) one-hot labels.
    """
    return 250 * ((cosine * target).sum(0) / target.sum(0)).mean()


def step_sizes(x: Tensor, cosine: Tensor) -> tuple[Tensor, Tensor]:
    """Step sizes of the weights and of alpha.

    Args:
        x: (N, D) unit-norm rows.
        cosine: (N, K) of rows and text.
    """
    return 4 * len(x) / torch.linalg.eigvalsh(x.t() @ x)[-1], len(x) / (4 * cosine.square().sum(0).max())
