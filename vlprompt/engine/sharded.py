"""Models whose trained parameters are shared out over the processes: whole tensors of them, and calls that need them.

A sharded model (:mod:`~vlprompt.engine.fsdp`) has ``DTensor`` parameters, of which this process holds some rows.  Its
forward pass gathers them, part by part, and lets them go.  Functions here that gather are called by all processes.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
from mmengine.dist import is_main_process
from torch import Tensor, nn
from torch.distributed.fsdp import FSDPModule
from torch.distributed.tensor import DTensor, distribute_tensor


def is_sharded(model: nn.Module) -> bool:
    """Whether the parameters of a model are shared out over the processes."""
    return isinstance(model, FSDPModule)


def class_of(model: nn.Module) -> type[nn.Module]:
    """The class of a model; torch gives one that is sharded a class of its own, derived from it."""
    return type(model).__mro__[2] if is_sharded(model) else type(model)


def let_go(model: nn.Module) -> None:
    """From now on ``model.parameters()`` are the shards; a validation may have left gathered ones in their places."""
    for part in _parts(model):
        part.reshard()


def own_rows(tensor: Tensor) -> Tensor:
    """The rows of a tensor that this process holds: all of one that is not shared out."""
    return tensor.to_local() if isinstance(tensor, DTensor) else tensor


@torch.no_grad()
def whole(tensor: Tensor) -> Tensor:
    """The tensor with the rows of all processes."""
    return tensor.full_tensor() if isinstance(tensor, DTensor) else tensor


def stored(value: Any) -> Any:
    """Whole tensors of anything made of dicts, lists and tensors: on the CPU in the first process, which writes them;
    in the others, which need no memory for them, on the ``meta`` device.
    """
    if isinstance(value, Tensor):
        full = whole(value).detach()
        return full.cpu() if is_main_process() else torch.empty_like(full, device='meta')
    if isinstance(value, Mapping):
        return {key: stored(item) for key, item in value.items()}
    return [stored(item) for item in value] if isinstance(value, (list, tuple)) else value


def as_shard(tensor: Tensor, parameter: Tensor) -> Tensor:
    """A tensor of a parameter's shape, the same in all processes, shared out as the parameter is, on its device."""
    if not isinstance(parameter, DTensor):
        return tensor.to(parameter.device)
    tensor = tensor.to(parameter.to_local().device).contiguous()
    return distribute_tensor(tensor, parameter.device_mesh, parameter.placements, src_data_rank=None)


@torch.no_grad()
def assign(parameter: Tensor, value: Tensor) -> None:
    """Write a whole tensor, the same in all processes, into a parameter that may be shared out."""
    parameter.copy_(as_shard(value.to(parameter.dtype), parameter))


@contextmanager
def gathered(model: nn.Module, keep: bool = False) -> Iterator[None]:
    """A block in which all parameters of a model are whole: for calls other than its forward pass, as many of them as
    each process needs.

    Args:
        model: sharded; nothing is done to others.
        keep: what the block writes into parameters, the same in all processes, stays; otherwise it is lost.
    """
    let_go(model)
    shards = dict(model.named_parameters())
    for part in _parts(model):
        part.set_reshard_after_forward(False, recurse=False)
        part.unshard()
    try:
        yield
        if keep:
            for name, parameter in model.named_parameters():
                if parameter is not shards[name]:
                    assign(shards[name], parameter.detach())
    finally:
        for part in _parts(model):
            part.set_reshard_after_forward(part is not model, recurse=False)
        let_go(model)


def _parts(model: nn.Module) -> list[FSDPModule]:
    """Those whose parameters are gathered together; the whole model is the first."""
    return [module for module in model.modules() if isinstance(module, FSDPModule)]
