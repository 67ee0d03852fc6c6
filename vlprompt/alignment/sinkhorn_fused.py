"""Sinkhorn's iteration for a GPU as one operation of PyTorch, so that a plan reads its cost once.

The plain iteration of :mod:`vlprompt.alignment.sinkhorn` reads all kernel matrices twice an iteration; of 128 images,
1000 classes, 49 tokens and 4 prompts these are 100 MB, read 40 times.  As an operation of its own it has a place in
compiled graphs and works on tensors without data.
"""

from __future__ import annotations

import importlib.util
from functools import cache

import torch
from torch import Tensor

LARGEST = 16384
"""Entries of a cost matrix, filled up to powers of two, that the registers of a program hold."""


def fuses(cost: Tensor) -> bool:
    """Whether problems are solved by the fused kernel: float32 on a GPU, small enough, and Triton is installed.

    Args:
        cost: (..., M, N).
    """
    if cost.device.type != 'cuda' or cost.dtype != torch.float32 or not _triton_is_installed():
        return False
    m, n = cost.shape[-2:]
    return _filled(m) * _filled(n) <= LARGEST


def fused_plan(cost: Tensor, rows: Tensor | None, eps: float, iterations: int, logarithms: bool) -> Tensor:
    """Plans after a fixed number of iterations, as those of the plain iteration up to the order of sums.

    Args:
        cost: (..., M, N) in float32.
        rows: (..., M) marginals that broadcast to the batch axes of ``cost``; None: 1 / M.
        eps: divides the cost.
        iterations: at least 1.
        logarithms: whether to iterate on logarithms.

    Returns:
        (..., M, N).
    """
    batch, size = cost.shape[:-2], cost.shape[-2:]
    if rows is not None:
        rows = rows.expand(*batch, size[0])
    if len(batch) != 2:
        outer, problems = batch[:-1].numel(), batch[-1] if batch else 1
        cost = cost.reshape(outer, problems, *size)
        rows = rows if rows is None else rows.reshape(outer, problems, size[0])
    return _plan(cost, rows, eps, iterations, logarithms).reshape(*batch, *size)


@torch.library.custom_op('vlprompt::sinkhorn_plan', mutates_args=(), device_types='cuda')
def _plan(cost: Tensor, rows: Tensor | None, eps: float, iterations: int, logarithms: bool) -> Tensor:
    """(A, B, M, N) costs, (A, B, M) rows or none -> (A, B, M, N) plans, with the strides of the costs."""
    from vlprompt.alignment.sinkhorn_triton import solve

    return solve(cost, rows, eps, iterations, logarithms)


@_plan.register_fake
def _(cost: Tensor, rows: Tensor | None, eps: float, iterations: int, logarithms: bool) -> Tensor:
    return torch.empty_like(cost)


@cache
def _triton_is_installed() -> bool:
    return importlib.util.find_spec('triton') is not None


def _filled(size: int) -> int:
    """The next power of two."""
    return 1 << (size - 1).bit_length()
