"""Gradients of ops that are written in plain torch."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor


def add_gradients(
    op: Callable[..., Tensor], inputs: Sequence[Tensor], grad_output: Tensor, totals: Sequence[Tensor]
) -> None:
    """Add the gradients of ``op(*inputs)`` with respect to all inputs to ``totals``.

    The op is computed once more, because mmcv's autograd functions call a compiled op without a graph.
    """
    with torch.enable_grad():
        inputs = [tensor.detach().requires_grad_() for tensor in inputs]
        gradients = torch.autograd.grad(op(*inputs), inputs, grad_output)
    for total, gradient in zip(totals, gradients, strict=True):
        total.add_(gradient)
