"""Entropic optimal transport (Cuturi, 2013), solver only.

For a cost ``C (..., M, N)``, row marginals ``mu`` (by default ``1/M``) and column marginals ``nu = 1/N`` the plan

    T* = argmin_T <T, C> - eps * H(T)    s.t.  T 1 = mu,  T^T 1 = nu

has the form ``T = diag(r) K diag(c)`` with ``K = exp(-C / eps)``.  Sinkhorn's iteration alternates
``r = mu / (K c)`` and ``c = nu / (K^T r)``; after a full iteration the column marginal is exact and the row
marginal approximate.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal, get_args

import torch
from torch import Tensor

from vlprompt.alignment.sinkhorn_fused import fused_plan, fuses

Method = Literal['fixed', 'legacy', 'log']
METHODS = get_args(Method)


@dataclass
class SinkhornResult:
    """Result of :func:`sinkhorn`.

    Attributes:
        plan: (..., M, N) transport plan in the dtype of the solver; sums to 1 over the last two axes.
        iterations: full iterations done.
        errors: for ``legacy``, mean ``|r' - r|`` over the whole batch after every iteration; empty otherwise.
    """

    plan: Tensor
    iterations: int
    errors: tuple[float, ...] = ()


@torch.no_grad()
def sinkhorn(
    cost: Tensor,
    eps: float = 0.1,
    method: Method = 'fixed',
    max_iters: int = 20,
    tol: float = 1e-2,
    dtype: torch.dtype = torch.float32,
    rows: Tensor | None = None,
) -> SinkhornResult:
    """Solve entropic transport problems that share a shape, all at once and without gradient.

    Args:
        cost: (..., M, N) cost of moving mass from item m to item n; any number of leading batch axes.
        eps: entropic regularisation, in the unit of the cost; it *divides* the cost.
        method: ``'fixed'`` does exactly ``max_iters`` iterations, so a plan does not depend on the rest of
            the batch; ``'log'`` is the same iteration on logarithms, for small ``eps`` with which
            ``exp(-cost / eps)`` would underflow; ``'legacy'`` is the published PLOT code: it stops once
            mean ``|r' - r|`` *over the whole batch* falls below ``tol``, which couples samples and classes.
        max_iters: iterations (``fixed``, ``log``) or their upper limit (``legacy``).
        tol: threshold of ``legacy``; absolute, so it depends on the scale of the kernel.
        dtype: dtype of the iteration and of the returned plan.
        rows: (..., M) row marginals mu, non-negative, each summing to 1, with the batch axes of ``cost`` or ones that
            broadcast to them; None: 1 / M.

    Raises:
        ValueError: unknown method, ``eps`` or ``max_iters`` not positive, or ``rows`` of another size.
        FloatingPointError: the plan is not finite (``eps`` too small for the dtype: use ``'log'``), or the cost is not;
            to know that is to wait for the device, see :func:`unchecked_sinkhorn`.
    """
    result = unchecked_sinkhorn(cost, eps, method, max_iters, tol, dtype, rows)
    if not torch.isfinite(result.plan).all():
        if not torch.isfinite(cost.to(dtype)).all():
            raise FloatingPointError(
                'sinkhorn: the cost is not finite, so features of the images or of the text are not: the weights have '
                'diverged in training, or their checkpoint is broken'
            )
        raise FloatingPointError(
            f"sinkhorn: the plan is not finite with eps={eps} in {dtype}; raise eps or use method='log'"
        )
    return result


@torch.no_grad()
def unchecked_sinkhorn(
    cost: Tensor,
    eps: float = 0.1,
    method: Method = 'fixed',
    max_iters: int = 20,
    tol: float = 1e-2,
    dtype: torch.dtype = torch.float32,
    rows: Tensor | None = None,
) -> SinkhornResult:
    """As :func:`sinkhorn`, whose arguments it takes, without a look at the plan, which may hold NaN.

    Except for ``'legacy'``, whose stop depends on the plan, nothing is read from the device, so that nothing waits for
    it: for callers that look at what follows from the plan, such as the loss of a training step.  On a GPU one kernel
    does all iterations (:mod:`vlprompt.alignment.sinkhorn_fused`).

    Raises:
        ValueError: unknown method, ``eps`` or ``max_iters`` not positive, or ``rows`` of another size.
    """
    if method not in METHODS:
        raise ValueError(f'sinkhorn: method must be one of {METHODS}, got {method!r}')
    if eps <= 0 or max_iters < 1:
        raise ValueError(f'sinkhorn: eps and max_iters must be positive, got eps={eps}, max_iters={max_iters}')
    if rows is not None and rows.shape[-1] != cost.shape[-2]:
        raise ValueError(f'sinkhorn: rows have {rows.shape[-1]} marginals, the cost {cost.shape[-2]} rows')
    cost, rows = cost.to(dtype), None if rows is None else rows.to(dtype)
    if method != 'legacy' and fuses(cost):
        return SinkhornResult(fused_plan(cost, rows, eps, max_iters, method == 'log'), max_iters)
    if method == 'log':
        return SinkhornResult(_log_domain(cost, eps, max_iters, rows), max_iters)
    return SinkhornResult(*_scaling(cost, eps, max_iters, tol if method == 'legacy' else None, rows))


def smallest_eps(dtype: torch.dtype, largest_cost: float) -> float:
    """The ``eps`` below which ``exp(-cost / eps)`` may be 0 in a dtype, so that a plan of another method than ``'log'``
    may not be finite.

    Args:
        dtype: of the iteration.
        largest_cost: of all entries, in the unit of ``eps``.
    """
    return largest_cost / -math.log(torch.finfo(dtype).tiny)


def _scaling(
    cost: Tensor, eps: float, max_iters: int, tol: float | None, rows: Tensor | None
) -> tuple[Tensor, int, tuple[float, ...]]:
    """The iteration on ``r (..., M)`` and ``c (..., N)``; stops early only when ``tol`` is given."""
    m, n = cost.shape[-2:]
    kernel = torch.exp(-cost / eps)
    r = torch.ones_like(cost[..., 0])
    c = torch.ones_like(cost[..., 0, :])
    mu = 1 / m if rows is None else rows
    errors = []
    iterations = 0
    while iterations < max_iters:
        iterations += 1
        previous = r
        r = mu / torch.matmul(kernel, c.unsqueeze(-1)).squeeze(-1)
        c = (1 / n) / torch.matmul(r.unsqueeze(-2), kernel).squeeze(-2)
        if tol is not None:
            errors.append((r - previous).abs().mean().item())
            if errors[-1] < tol:
                break
    return r.unsqueeze(-1) * kernel * c.unsqueeze(-2), iterations, tuple(errors)


def _log_domain(cost: Tensor, eps: float, max_iters: int, rows: Tensor | None) -> Tensor:
    """The same iteration on ``log r`` and ``log c``."""
    m, n = cost.shape[-2:]
    log_kernel = -cost / eps
    log_mu, log_nu = -math.log(m) if rows is None else rows.log(), -math.log(n)
    log_c = torch.zeros_like(cost[..., 0, :])
    for _ in range(max_iters):
        log_r = log_mu - torch.logsumexp(log_kernel + log_c.unsqueeze(-2), dim=-1)
        log_c = log_nu - torch.logsumexp(log_kernel + log_r.unsqueeze(-1), dim=-2)
    return torch.exp(log_r.unsqueeze(-1) + log_kernel + log_c.unsqueeze(-2))


def plan_entropy(plan: Tensor) -> Tensor:
    """Entropy of transport plans, relative to the uniform plan.

    Args:
        plan: (..., M, N), non-negative, summing to 1 over the last two axes.

    Returns:
        (...) in [0, 1]: ``-sum T log T / log(MN)``; 1 is the uniform plan; also 1 if MN = 1.
    """
    size = plan.shape[-1] * plan.shape[-2]
    if size == 1:
        return torch.ones_like(plan[..., 0, 0])
    plan = plan.float()
    return -torch.xlogy(plan, plan).sum((-2, -1)) / math.log(size)


def plan_deviation(plan: Tensor) -> Tensor:
    """Distance of transport plans from the uniform plan, in total variation.

    Args:
        plan: (..., M, N), non-negative, summing to 1 over the last two axes.

    Returns:
        (...) in [0, 1): ``1/2 sum |T - 1/(MN)|``, the share of the mass that would have to move for the plan to be
        uniform; 0 is the uniform plan.
    """
    size = plan.shape[-1] * plan.shape[-2]
    return (plan.float() - 1 / size).abs().sum((-2, -1)) / 2
