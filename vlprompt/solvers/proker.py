"""ProKeR: kernel ridge regression of what the zero-shot classifier misses.

ProKeR: A Kernel Perspective on Few-Shot Adaptation of Large Vision-Language Models (Bendou et al., CVPR 2025).  With
the kernel ``k(a, b) = exp(-beta (1 - <a, b>))`` of unit vectors, the zero-shot classifier ``f0(x) = <x, t>`` as prior
and one-hot labels Y of all rows S::

    G = (K_SS / lambda + I)^-1 (Y - f0(S))        f(x) = f0(x) + k(x, S) G

Compared with ordinary ridge regression of the residual, the correction has a further factor lambda, as published; it
changes predictions, since ``f0`` is a plain cosine.  Logits stay within about one unit.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import replace

import torch
import torch.nn.functional as F
from mmengine.logging import print_log
from torch import Tensor

from vlprompt.arguments import check_counts, check_positive, is_count
from vlprompt.registry import MODELS
from vlprompt.solvers.base import Search, Setting, Shots, Solver, linspace, number_like, zero_shot


@MODELS.register_module()
class ProKeR(Solver):
    """Proximal kernel ridge regression, in closed form.

    Args:
        beta: sharpness of the kernel.
        lambda_: lambda, which weighs the labels against the prior.
        betas: low end, high end and number of values of ``beta`` in the grid.
        lambdas: the same of ``lambda_``.
        max_rows: rows that are solved for at most: memory grows with their square, time with their cube.  With more,
            views are left out, which the log says.
        views: see :class:`~vlprompt.solvers.Solver`; each is a row of its own.

    Raises:
        ValueError: ``beta``, ``lambda_`` or ``max_rows`` not positive, or a grid that is not two positive numbers and a
            count; from :meth:`fit`, more images than ``max_rows``.
    """

    fitted = ('rows', 'coefficients', 'beta_')
    cosine_logits = True

    def __init__(
        self,
        beta: float = 1.7,
        lambda_: float = 0.1,
        betas: tuple[float, float, int] = (0.5, 3, 20),
        lambdas: tuple[float, float, int] = (0.001, 1, 10),
        max_rows: int = 20_000,
        views: int | None = 10,
    ) -> None:
        super().__init__(views)
        check_positive(self, beta=beta, lambda_=lambda_)
        check_counts(self, max_rows=max_rows)
        for name, grid in dict(betas=betas, lambdas=lambdas).items():
            if len(grid) != 3 or min(grid) <= 0 or not is_count(grid[2]):
                raise ValueError(
                    f'ProKeR: {name} must be two positive numbers and how many values to try between them, got {grid}'
                )
        self.beta, self.lambda_, self.max_rows = beta, lambda_, max_rows
        self.betas, self.lambdas = tuple(betas), tuple(lambdas)

    def fit(self, shots: Shots) -> None:
        rows, residual = self._rows_and_residual(shots)
        coefficients = solve_in_place(upper_kernel(rows, self.beta), self.lambda_, residual)
        self.hold(rows=rows, coefficients=coefficients, beta_=number_like(self.beta, rows))

    def _rows_and_residual(self, shots: Shots) -> tuple[Tensor, Tensor]:
        """(N, D) unit-norm rows, and (N, K) what the zero-shot classifier misses of their labels."""
        rows, labels = self._within_budget(shots).rows()
        rows = F.normalize(rows, dim=-1)
        return rows, F.one_hot(labels, shots.num_classes).to(rows) - zero_shot(rows, shots.text)

    def _within_budget(self, shots: Shots) -> Shots:
        """The shots with as many views as ``max_rows`` allows."""
        images, views, _ = shots.features.shape
        if images > self.max_rows:
            raise ValueError(
                f'ProKeR: {images} training images are more than max_rows={self.max_rows}: use fewer shots, or raise '
                f'model.solver.max_rows; {images} rows take {4 * images**2 / 1e9:.1f} GB'
            )
        allowed = min(views, self.max_rows // images)
        if allowed < views:
            print_log(
                f'ProKeR: {allowed} of {views} views, since {images * views} rows are more than '
                f'model.solver.max_rows={self.max_rows}',
                'current',
                logging.WARNING,
            )
        return replace(shots, features=shots.features[:, :allowed])

    def forward(self, features: Tensor, text: Tensor, scale: float) -> Tensor:
        return (
            zero_shot(features, text) + kernel(F.normalize(features, dim=-1), self.rows, self.beta_) @ self.coefficients
        )

    @property
    def grid(self) -> Mapping[str, Sequence[float]]:
        return dict(beta=linspace(*self.betas), lambda_=linspace(*self.lambdas))

    def search(self, shots: Shots, features: Tensor) -> Search:
        """Both kernels once for every ``beta``; each ``lambda_`` then costs one Cholesky factor."""
        rows, residual = self._rows_and_residual(shots)
        queries, prior = F.normalize(features, dim=-1), zero_shot(features, shots.text)
        for beta in self.grid['beta']:
            among_rows, to_queries = upper_kernel(rows, beta), kernel(queries, rows, beta)
            for lambda_ in self.grid['lambda_']:
                coefficients = solve_in_place(among_rows.clone(), lambda_, residual)
                yield Setting(beta=beta, lambda_=lambda_), prior + to_queries @ coefficients


def kernel(a: Tensor, b: Tensor, beta: float | Tensor) -> Tensor:
    """(A, B) ``exp(-beta (1 - <a, b>))`` of unit-norm rows (A, D) and (B, D)."""
    return (a @ b.t()).sub_(1).mul_(beta).exp_()


def upper_kernel(rows: Tensor, beta: float, block: int = 1024) -> Tensor:
    """(N, N) upper triangle of the symmetric kernel of unit-norm rows (N, D); what is below it is not initialised.

    Half of the products and exponentials of :func:`kernel`.

    Args:
        rows: unit-norm rows.
        beta: sharpness.
        block: rows of the kernel that are computed at a time.
    """
    result = rows.new_empty(len(rows), len(rows))
    for start in range(0, len(rows), block):
        own = slice(start, start + block)
        result[own, start:] = kernel(rows[own], rows[start:], beta)
    return result


def solve_in_place(upper: Tensor, lambda_: float, residual: Tensor) -> Tensor:
    """(N, K) ``(K_SS / lambda + I)^-1 R`` by a Cholesky factor; the system is positive definite.

    Args:
        upper: (N, N) upper triangle of the kernel, see :func:`upper_kernel`; overwritten by the factor, so that the
            largest matrix is in memory once.
        lambda_: lambda.
        residual: (N, K) R.
    """
    upper.div_(lambda_).diagonal().add_(1)
    lower = upper.mT  # by columns, as LAPACK wants it
    torch.linalg.cholesky(lower, out=lower)
    half = torch.linalg.solve_triangular(lower, residual, upper=False)
    return torch.linalg.solve_triangular(lower.mT, half, upper=True)
