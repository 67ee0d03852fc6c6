"""Copies of batches to the device of a model, few and without waiting for it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from mmengine.utils import is_seq_of
from torch import Tensor


def to_device(
    tensors: Sequence[Tensor] | Tensor,
    device: torch.device,
    join: Callable[..., Tensor] = torch.stack,
    non_blocking: bool = True,
) -> Tensor:
    """A tensor, or several that ``join`` makes one of, on a device, by one copy.

    A copy to a GPU waits for what the GPU has to do before, unless it is from pinned memory: with ``non_blocking`` the
    tensors are joined there.

    Args:
        tensors: one, or several of one dtype and device.
        device: where to.
        join: ``torch.stack`` or ``torch.cat``, for several.
        non_blocking: whether the host goes on before the copy has ended.
    """
    stage = non_blocking and device.type == 'cuda' and memory_can_be_pinned()
    if isinstance(tensors, Tensor):
        if stage and tensors.device.type == 'cpu' and not tensors.is_pinned():
            tensors = torch.empty(tensors.shape, dtype=tensors.dtype, pin_memory=True).copy_(tensors)
        return tensors.to(device, non_blocking=non_blocking)
    out = None
    if stage and tensors[0].device.type == 'cpu':
        first = tensors[0]
        shape = (len(tensors), *first.shape) if join is torch.stack else (sum(map(len, tensors)), *first.shape[1:])
        out = torch.empty(shape, dtype=first.dtype, pin_memory=True)
    return join(list(tensors), out=out).to(device, non_blocking=non_blocking)


def memory_can_be_pinned() -> bool:
    """Whether there is a GPU, which pinned memory needs."""
    return torch.cuda.is_available()


def alike(values: Sequence[Any]) -> bool:
    """Whether all are tensors of one shape and dtype, so that one copy can move them."""
    return is_seq_of(values, Tensor) and len({(value.shape, value.dtype) for value in values}) == 1
