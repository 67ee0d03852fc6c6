"""Linear probe: logistic regression on image features, without text.

Learning Transferable Visual Models From Natural Language Supervision (Radford et al., ICML 2021), section 3.2; the
few-shot protocol is that of CoOp (Zhou et al., IJCV 2022)::

    minimise  C sum_i cross-entropy(<f_i, w> + b, y_i) + |w|^2 / 2
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from vlprompt.arguments import check_counts, check_positive
from vlprompt.registry import MODELS
from vlprompt.solvers.base import Linear, Search, Setting, Shots, Solver

BISECTIONS = 8
"""Steps of the search for C after its grid."""


@MODELS.register_module()
class LinearProbe(Solver):
    """Multinomial logistic regression by L-BFGS, on features as the tower gives them, not normalised.

    Args:
        C: inverse strength of the penalty on the weights; the bias has none.
        max_iters: of L-BFGS.
        views: see :class:`~vlprompt.solvers.Solver`.

    Raises:
        ValueError: ``C`` not positive, or ``max_iters`` no positive whole number.
    """

    fitted = ('weight', 'bias')

    def __init__(self, C: float = 1.0, max_iters: int = 1000, views: int | None = None) -> None:
        super().__init__(views)
        check_positive(self, C=C)
        check_counts(self, max_iters=max_iters)
        self.C, self.max_iters = C, max_iters

    def trained_numbers(self, images: int, classes: int, width: int) -> int:
        return classes * (width + 1)

    @torch.enable_grad()
    def fit(self, shots: Shots) -> None:
        rows, labels = shots.rows()
        rows = rows.double()
        weight = rows.new_zeros(shots.num_classes, rows.shape[1]).requires_grad_()
        bias = rows.new_zeros(shots.num_classes).requires_grad_()
        optimizer = torch.optim.LBFGS(
            [weight, bias],
            max_iter=self.max_iters,
            tolerance_grad=1e-7,
            tolerance_change=1e-12,
            line_search_fn='strong_wolfe',
        )

        def closure() -> Tensor:
            optimizer.zero_grad()
            loss = F.cross_entropy(rows @ weight.t() + bias, labels) + weight.square().sum() / (2 * self.C * len(rows))
            loss.backward()
            return loss

        optimizer.step(closure)
        self.hold(weight=weight.detach().to(shots.features), bias=bias.detach().to(shots.features))

    def forward(self, features: Tensor, text: Tensor, scale: float) -> Tensor:
        return features @ self.weight.t() + self.bias

    def linear(self, text: Tensor, scale: float) -> Linear:
        return Linear(self.weight, self.bias, normalised=False)

    @property
    def grid(self) -> Mapping[str, Sequence[float]]:
        return dict(C=(1e6, 1e4, 1e2, 1.0, 1e-2, 1e-4, 1e-6))

    def search(self, shots: Shots, features: Tensor) -> Search:
        """The grid, then bisections of the interval of a decade on both sides of its peak, in the logarithm of C.

        Each keeps the better end and moves the other to the middle.
        """

        def logits(C: float) -> tuple[Setting, Tensor]:
            self.configure(Setting(C=C))
            self.fit(shots)
            return Setting(C=C), self(features, shots.text, shots.scale)

        found = {}
        for C in self.grid['C']:
            found[C] = yield logits(C)
        peak = math.log10(max(found, key=found.get))
        low, high = peak - 1, peak + 1
        for _ in range(BISECTIONS):
            at_low = yield logits(10**low)
            at_high = yield logits(10**high)
            middle = (low + high) / 2
            low, high = (middle, high) if at_low < at_high else (low, middle)
