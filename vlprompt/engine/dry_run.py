"""Models on tensors without data, of any device: what a step would do on a GPU that is not here."""

from __future__ import annotations

import copy

import torch
from torch import Tensor, nn
from torch._subclasses import FakeTensor, FakeTensorMode


def fake_tensor(tensor: Tensor, mode: FakeTensorMode, device: str | torch.device) -> Tensor:
    """A tensor without data of the same shape, strides and dtype, on a device that need not exist."""
    meta = torch.empty_strided(tensor.shape, tensor.stride(), dtype=tensor.dtype, device='meta')
    return FakeTensor(mode, meta, torch.device(device))


def fake_copy(model: nn.Module, mode: FakeTensorMode, device: str | torch.device) -> nn.Module:
    """A copy of a model whose parameters and buffers are :func:`fake_tensor` s on a device.

    A step of it under ``mode`` computes shapes alone.  It raises where a value is read by the host
    (``DataDependentOutputException``, ``DynamicOutputShapeException``), where tensors of several devices meet, and
    where an operation does not take a dtype.
    """
    made = {}
    with torch.no_grad():
        for tensor in [*model.parameters(), *model.buffers()]:
            fake = fake_tensor(tensor, mode, device)
            if isinstance(tensor, nn.Parameter):
                fake = nn.Parameter(fake, tensor.requires_grad)
            made[id(tensor)] = fake
    return copy.deepcopy(model, made)
