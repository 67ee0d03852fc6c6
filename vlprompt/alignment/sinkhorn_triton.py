"""Sinkhorn's iteration as one kernel of a GPU, in Triton, which PyTorch's builds for GPUs bring along.

Imported by :mod:`vlprompt.alignment.sinkhorn_fused` alone, when a plan is asked for on a GPU.
"""

from __future__ import annotations

import torch
import triton
import triton.language as tl
from torch import Tensor

PROBLEMS = 8
"""Neighbouring problems that one program solves: with these 32 bytes of memory are read whole, in whatever order the
axes lie."""

VALUES = 16
"""Values of the kernel matrices that a thread keeps in registers."""


@triton.jit
def _solve(
    cost,
    rows,
    plan,
    problems,
    m,
    n,
    cost_outer,
    cost_problem,
    cost_m,
    cost_n,
    rows_outer,
    rows_problem,
    rows_m,
    plan_outer,
    plan_problem,
    plan_m,
    plan_n,
    scale,
    iterations,
    HAS_ROWS: tl.constexpr,
    LOGARITHMS: tl.constexpr,
    BLOCK: tl.constexpr,
    BLOCK_M: tl.constexpr,
    BLOCK_N: tl.constexpr,
):
    """Plans of ``BLOCK`` problems: the cost is read once, the plan written once, all between is in registers."""
    programs = tl.cdiv(problems, BLOCK)
    outer = (tl.program_id(0) // programs).to(tl.int64)
    problem = tl.program_id(0) % programs * BLOCK + tl.arange(0, BLOCK)[:, None, None]
    row = tl.arange(0, BLOCK_M)[None, :, None]
    column = tl.arange(0, BLOCK_N)[None, None, :]
    in_problems, in_rows, in_columns = problem < problems, row < m, column < n
    inside = in_problems & in_rows & in_columns
    at = outer * cost_outer + problem.to(tl.int64) * cost_problem + row * cost_m + column * cost_n
    exponent = tl.load(cost + at, mask=inside, other=0.0) * -scale
    mu = 1.0 / m
    if HAS_ROWS:
        at = outer * rows_outer + problem.to(tl.int64) * rows_problem + row * rows_m
        mu = tl.load(rows + at, mask=in_problems & in_rows, other=0.0)
    nu = 1.0 / n
    if LOGARITHMS:
        exponent = tl.where(inside, exponent, float('-inf'))
        log_mu, log_nu = tl.log(mu), tl.log(nu)
        log_r = tl.zeros((BLOCK, BLOCK_M, 1), tl.float32)
        log_c = tl.zeros((BLOCK, 1, BLOCK_N), tl.float32)
        for _ in range(iterations):
            term = exponent + log_c
            top = tl.max(term, axis=2, keep_dims=True)
            top = tl.where(top == float('-inf'), 0.0, top)
            log_r = log_mu - (tl.log(tl.sum(tl.exp(term - top), axis=2, keep_dims=True)) + top)
            log_r = tl.where(in_rows, log_r, float('-inf'))
            term = exponent + log_r
            top = tl.max(term, axis=1, keep_dims=True)
            top = tl.where(top == float('-inf'), 0.0, top)
            log_c = log_nu - (tl.log(tl.sum(tl.exp(term - top), axis=1, keep_dims=True)) + top)
            log_c = tl.where(in_columns, log_c, float('-inf'))
        result = tl.exp(log_r + exponent + log_c)
    else:
        kernel = tl.where(inside, tl.exp(exponent), 0.0)
        r = tl.zeros((BLOCK, BLOCK_M, 1), tl.float32)
        c = tl.where(in_columns, 1.0, tl.zeros((BLOCK, 1, BLOCK_N), tl.float32))
        for _ in range(iterations):
            r = tl.where(in_rows, mu / tl.sum(kernel * c, axis=2, keep_dims=True), 0.0)
            c = tl.where(in_columns, nu / tl.sum(kernel * r, axis=1, keep_dims=True), 0.0)
        result = r * kernel * c
    at = outer * plan_outer + problem.to(tl.int64) * plan_problem + row * plan_m + column * plan_n
    tl.store(plan + at, result, mask=inside)


def solve(cost: Tensor, rows: Tensor | None, eps: float, iterations: int, logarithms: bool) -> Tensor:
    """The plans of :func:`vlprompt.alignment.sinkhorn_fused.fused_plan`, whose arguments it takes."""
    outer, problems, m, n = cost.shape
    plan = torch.empty_like(cost)
    block, block_m, block_n = blocks(problems, m, n)
    marginals = cost if rows is None else rows
    with torch.cuda.device_of(cost):  # Triton launches on the current GPU, which may be another
        _solve[(outer * triton.cdiv(problems, block),)](
            cost, marginals, plan, problems, m, n, *cost.stride(), *marginals.stride()[:3], *plan.stride(), 1 / eps,
            iterations, HAS_ROWS=rows is not None, LOGARITHMS=logarithms, BLOCK=block, BLOCK_M=block_m, BLOCK_N=block_n,
            num_warps=warps(block, m, n),
        )  # fmt: skip
    return plan


def blocks(problems: int, m: int, n: int) -> tuple[int, int, int]:
    """Problems, rows and columns of one program: powers of two, which Triton wants."""
    block_m, block_n = triton.next_power_of_2(m), triton.next_power_of_2(n)
    fitting = max(8192 // (block_m * block_n), 1)
    return min(PROBLEMS, fitting, triton.next_power_of_2(problems)), block_m, block_n


def warps(problems: int, m: int, n: int) -> int:
    """Warps, of 32 threads each, of a program that solves some problems."""
    size = problems * triton.next_power_of_2(m) * triton.next_power_of_2(n)
    return min(max(size // (32 * VALUES), 1), 16)
