"""Batches of all processes, for losses that compare the samples of a batch."""

from __future__ import annotations

from typing import Any

import torch
from mmengine.dist import get_dist_info
from torch import Tensor
from torch import distributed as dist
from torch._subclasses import FakeTensor


class _Gather(torch.autograd.Function):
    """(B, ...) of every process -> (R B, ...) on all; the gradient of a row is the sum of those of all processes."""

    @staticmethod
    def forward(ctx: Any, own: Tensor) -> Tensor:
        rank, processes = get_dist_info()
        ctx.rows = slice(rank * len(own), (rank + 1) * len(own))
        parts = [torch.empty_like(own, memory_format=torch.contiguous_format) for _ in range(processes)]
        if not isinstance(own, FakeTensor):  # which has no values to send, and no other process waits for
            dist.all_gather(parts, own.contiguous())
        return torch.cat(parts)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> Tensor:
        total = grad.clone(memory_format=torch.contiguous_format)
        if not isinstance(total, FakeTensor):
            dist.all_reduce(total)
        return total[ctx.rows]


def gather_batch(own: Tensor) -> Tensor:
    """The batch of all R processes, as if it were this one's: process 0's B rows, process 1's, and so on.

    Gradients flow back to the process that a row came from.  If every process computes the same loss of the whole
    batch, it receives R times the gradient of its rows; since distributed training averages gradients over processes,
    those of the parameters are exactly those of one process with the whole batch, both of parameters before
    the gathering and of parameters after it.

    Args:
        own: (B, ...), of the same shape in all processes.  A tensor without data (:mod:`vlprompt.engine.dry_run`) gets
            the shape alone, and the processes do not meet.

    Returns:
        (R B, ...); ``own`` itself in a single process.
    """
    _, processes = get_dist_info()
    return own if processes == 1 else _Gather.apply(own)
