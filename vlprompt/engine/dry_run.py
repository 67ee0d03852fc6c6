"""Models on tensors without data, of any device: what a step would do on a GPU that is not here."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, TypeVar

import torch
from mmengine.structures import BaseDataElement
from torch import Tensor, nn
from torch._subclasses import FakeTensor, FakeTensorMode
from torch.overrides import TorchFunctionMode
from torch.utils._pytree import tree_map_only

Copied = TypeVar('Copied')

WIDENED = {'cumprod', 'cumsum', 'log_softmax', 'prod', 'softmax', 'sum'}
"""Functions to which autocast on a GPU gives ``dtype=torch.float32``."""

IN_FLOAT32 = {
    *('layer_norm', 'group_norm', 'rms_norm', 'norm', 'normalize', 'renorm', 'cosine_similarity', 'cdist', 'dist'),
    *('exp', 'expm1', 'log', 'log10', 'log1p', 'log2', 'logsumexp', 'pow', '__pow__', '__rpow__'),
    *('cross_entropy', 'nll_loss', 'binary_cross_entropy_with_logits', 'kl_div', 'mse_loss', 'l1_loss'),
    *('smooth_l1_loss', 'softplus', 'reciprocal', 'rsqrt'),
}
"""Functions whose arguments autocast on a GPU makes float32: https://docs.pytorch.org/docs/stable/amp.html."""


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
    return fake_copies(model, [], mode, device)[0]


def fake_copies(
    model: nn.Module, optimizers: Iterable[torch.optim.Optimizer], mode: FakeTensorMode, device: str | torch.device
) -> tuple[nn.Module, list[torch.optim.Optimizer]]:
    """A :func:`fake_copy` of a model, and copies of its optimizers, without their states, that update it."""
    optimizers, made = list(optimizers), {}
    with torch.no_grad():
        for tensor in [*model.parameters(), *model.buffers()]:
            fake = fake_tensor(tensor, mode, device)
            if isinstance(tensor, nn.Parameter):
                fake = nn.Parameter(fake, tensor.requires_grad)
            made[id(tensor)] = fake
    for optimizer in optimizers:
        made[id(optimizer.state)] = type(optimizer.state)(dict)
    return copy.deepcopy((model, optimizers), made)


def fake_batch(batch: Copied, mode: FakeTensorMode, device: str | torch.device) -> Copied:
    """A batch, of tensors and samples in lists, tuples and dicts, whose tensors are :func:`fake_tensor` s."""
    if isinstance(batch, Tensor):
        return fake_tensor(batch, mode, device)
    if isinstance(batch, BaseDataElement):
        made = batch.new()
        made.set_data({name: fake_batch(value, mode, device) for name, value in batch.items()})
        return made
    if isinstance(batch, Mapping):
        return type(batch)((key, fake_batch(value, mode, device)) for key, value in batch.items())
    return type(batch)(fake_batch(value, mode, device) for value in batch) if type(batch) in (list, tuple) else batch


def take_as_filled(model: nn.Module) -> None:
    """Have no part of a model ask for the values of tensors that a run fills."""
    for module in model.modules():
        if hasattr(module, 'take_as_filled'):
            module.take_as_filled()


class _Float32OnGpu(TorchFunctionMode):
    """Autocast's float32 functions of a GPU, while autocast of the CPU is on, which leaves them in half precision."""

    def __torch_function__(
        self, function: Callable, types: Any, args: tuple = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        kwargs, name = dict(kwargs or {}), getattr(function, '__name__', '')
        if name in WIDENED | IN_FLOAT32 and torch.is_autocast_enabled('cpu'):
            if name in IN_FLOAT32:
                args, kwargs = tree_map_only(Tensor, _widened, (args, kwargs))
            elif isinstance(args[0], Tensor) and args[0].dtype in (torch.float16, torch.bfloat16):
                kwargs['dtype'] = kwargs.get('dtype') or torch.float32
        return function(*args, **kwargs)


def _widened(tensor: Tensor) -> Tensor:
    return tensor.float() if tensor.dtype in (torch.float16, torch.bfloat16) else tensor


@contextmanager
def gpu_autocast(dtype: torch.dtype | None) -> Iterator[None]:
    """Context in which tensors of a CPU get the dtypes that autocast gives them on a GPU; None: without autocast."""
    if dtype is None:
        yield
    else:
        with torch.autocast('cpu', dtype), _Float32OnGpu():
            yield
