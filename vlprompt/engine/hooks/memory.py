"""A word before a training step that will not fit into the memory of the GPU."""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from mmengine.hooks import Hook
from mmengine.model import is_model_wrapper
from mmengine.runner import Runner

from vlprompt.engine.hooks.data import bare_model
from vlprompt.engine.optimizer import wrappers_by_name
from vlprompt.engine.sharded import is_sharded
from vlprompt.messages import LESS_GPU_MEMORY
from vlprompt.registry import HOOKS

GIBIBYTE = 2**30


@dataclass(frozen=True)
class DeviceMemory:
    """Bytes of a device.

    Attributes:
        free: what this process can have, with what it has already.
        total: of the device.
    """

    free: int
    total: int


def gpu_memory(device: torch.device) -> DeviceMemory | None:
    """The memory of a GPU; None for other devices."""
    if device.type != 'cuda':
        return None
    free, total = torch.cuda.mem_get_info(device)
    return DeviceMemory(free + torch.cuda.memory_reserved(device), total)


@HOOKS.register_module()
class MemoryHook(Hook):
    """Estimate the memory of a training step from its first batch, and warn if the GPU has less.

    The first batch goes through a copy of the model without data (:func:`~vlprompt.engine.memory.training_memory`),
    before the first step and once in a training; a model that is shared out over processes (``--strategy fsdp``) cannot
    be copied.  A warning is no error: the estimate leaves out workspaces, later batches may be larger or smaller, and
    other processes may come or go.

    Args:
        read: memory of a device; None: there is nothing to compare with, and nothing is estimated.
    """

    priority = 'LOW'

    def __init__(self, read: Callable[[torch.device], DeviceMemory | None] = gpu_memory) -> None:
        self.read = read
        self._waits = False

    def before_train(self, runner: Runner) -> None:
        self._waits = True

    def before_train_iter(self, runner: Runner, batch_idx: int, data_batch: Any = None) -> None:
        if not self._waits:
            return
        self._waits = False
        device = next(bare_model(runner).parameters()).device
        memory = self.read(device)
        if memory is None:
            return
        if is_sharded(bare_model(runner)):
            runner.logger.info('The memory of a training step is not estimated under --strategy fsdp')
            return
        try:
            peak = _estimate(runner, data_batch, device)
        except Exception as error:  # whatever a model does with tensors without data, its training begins
            reason = f'{type(error).__name__}: {error}'.partition('\n')[0]
            runner.logger.info(f'The memory of a training step cannot be estimated ({reason})')
            return
        sizes = (
            f'A training step needs about {peak / GIBIBYTE:.1f} GiB of memory, as estimated from the first batch; '
            f'{memory.free / GIBIBYTE:.1f} of {memory.total / GIBIBYTE:.1f} GiB of the GPU are free for it'
        )
        if peak > memory.free:
            runner.logger.warning(f'{sizes}. It will most likely run out of memory: {LESS_GPU_MEMORY}.')
        else:
            runner.logger.info(sizes)


def _estimate(runner: Runner, batch: Any, device: torch.device) -> int:
    """Bytes of a step on a batch of the data loader; neither the batch nor random numbers change."""
    from vlprompt.engine.memory import training_memory  # whose imports would cost every start

    model = bare_model(runner)
    wrappers = list(wrappers_by_name(runner.optim_wrapper).values())
    with wrappers[0].optim_context(runner.model):
        half = torch.is_autocast_enabled(device.type)
        dtype = torch.get_autocast_dtype(device.type) if half else None
    with torch.random.fork_rng(devices=[device] if device.type == 'cuda' else []):
        prepared = model.data_preprocessor(copy.deepcopy(batch), True)
    memory = training_memory(model, prepared, [wrapper.optimizer for wrapper in wrappers], dtype)
    buckets = memory.gradients if is_model_wrapper(runner.model) else 0  # in which several processes add them up
    return memory.peak + buckets
