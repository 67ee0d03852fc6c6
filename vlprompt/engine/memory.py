"""The memory of a step, from tensors without data: no GPU is needed, and nothing is computed.

Counted are the storages that are alive at once: weights, gradients, optimizer states, what the forward pass keeps, and
results of single operations.  Left out is what happens inside of an operation (workspaces of cuDNN and cuBLAS), what
the allocator loses between its blocks, and the CUDA context of the process, which is some hundred MiB.
"""

from __future__ import annotations

import warnings
import weakref
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch._subclasses import FakeTensorMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from vlprompt.clip.text.encoder import pack_texts_for_gpu
from vlprompt.engine.dry_run import fake_batch, fake_copies, fake_copy, gpu_autocast, take_as_filled

BLOCK = 512
"""Bytes to whose multiples torch's allocator of a GPU rounds."""


class LiveMemory(TorchDispatchMode):
    """Bytes of the storages that operations under this mode make, while they live; of real tensors and of fake ones.

    Attributes:
        bytes: of those that live now.
        peak: the most at any time.
    """

    def __init__(self) -> None:
        super().__init__()
        self.bytes = self.peak = 0
        self._living: dict[int, tuple[weakref.ref, int]] = {}

    def add(self, tensors: Iterable[Tensor]) -> None:
        """Count tensors that were made outside."""
        for tensor in tensors:
            storage = tensor.untyped_storage()
            if (key := storage._cdata) in self._living:
                continue
            size = -(-storage.nbytes() // BLOCK) * BLOCK
            self._living[key] = weakref.ref(storage, lambda _, key=key: self._freed(key)), size
            self.bytes += size
        self.peak = max(self.peak, self.bytes)

    def _freed(self, key: int) -> None:
        self.bytes -= self._living.pop(key)[1]

    def __torch_dispatch__(
        self, function: Callable, types: Any, args: tuple = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        out = function(*args, **(kwargs or {}))
        given = {leaf.untyped_storage()._cdata for leaf in tree_leaves((args, kwargs)) if isinstance(leaf, Tensor)}
        made = (leaf for leaf in tree_leaves(out) if isinstance(leaf, Tensor))
        self.add(leaf for leaf in made if leaf.untyped_storage()._cdata not in given)
        return out


@dataclass(frozen=True)
class StepMemory:
    """Bytes of a step.

    Attributes:
        peak: the most that lives at once.
        weights: parameters and buffers.
        gradients: of trained parameters.
        optimizer: states of the optimizers.
    """

    peak: int
    weights: int
    gradients: int = 0
    optimizer: int = 0

    @property
    def activations(self) -> int:
        """What the forward pass keeps and what operations return, at the peak, if gradients are complete there."""
        return max(0, self.peak - self.weights - self.gradients - self.optimizer)


def training_memory(
    model: nn.Module,
    batch: Mapping[str, Any],
    optimizers: Sequence[torch.optim.Optimizer],
    dtype: torch.dtype | None = None,
) -> StepMemory:
    """Memory of a training step on a GPU: forward pass, backward pass, update; from the second step on, when optimizers
    have their states.

    Args:
        model: on any device; it is copied without data.
        batch: arguments of its ``forward`` beside ``mode='loss'``, such as ``inputs`` and ``data_samples``: what its
            preprocessor returns.
        optimizers: of its parameters.
        dtype: of autocast; None: float32.

    Raises:
        RuntimeError: a shape, or a decision, depends on values, as in the assigners of detectors.
    """
    mode, memory = FakeTensorMode(), LiveMemory()
    fake, fakes = fake_copies(model, optimizers, mode, 'cpu')
    _prepare(fake, half=dtype is not None)
    use_foreach(fakes)
    batch = fake_batch(dict(batch), mode, 'cpu')
    weights = [*fake.parameters(), *fake.buffers()]
    with _asking_for_addresses(), mode, memory, torch.enable_grad():
        memory.add([*weights, *tensors_in(batch)])
        _give_states(fakes)
        with gpu_autocast(dtype):
            loss, logged = fake.parse_losses(fake(**batch, mode='loss'))
        loss.backward()
        gradients = _bytes(p.grad for p in fake.parameters() if p.grad is not None)
        del loss, logged
        for optimizer in fakes:
            optimizer.step()
    states = _bytes(tensors_in([list(optimizer.state.values()) for optimizer in fakes]))
    return StepMemory(memory.peak, _bytes(weights), gradients, states)


def _give_states(optimizers: Iterable[torch.optim.Optimizer]) -> None:
    """Let optimizers make their states, by an update."""
    for optimizer in optimizers:
        for parameter in (parameter for group in optimizer.param_groups for parameter in group['params']):
            parameter.grad = torch.empty_like(parameter)
        optimizer.step()
        optimizer.zero_grad()


def use_foreach(optimizers: Iterable[torch.optim.Optimizer]) -> None:
    """Have optimizers update all tensors at once, as they do on a GPU, unless they are told how."""
    for group in (group for optimizer in optimizers for group in optimizer.param_groups):
        if 'foreach' in group and group['foreach'] is None and not group.get('fused'):
            group['foreach'] = True


def inference_memory(
    model: nn.Module, batch: Mapping[str, Any], dtype: torch.dtype | None = None, mode: str = 'tensor'
) -> StepMemory:
    """Memory of a forward pass without gradients, in a mode of the model; see :func:`training_memory`."""
    fakes, memory = FakeTensorMode(), LiveMemory()
    fake = fake_copy(model, fakes, 'cpu').eval()
    _prepare(fake, half=dtype is not None, gradient=False)
    batch = fake_batch(dict(batch), fakes, 'cpu')
    weights = [*fake.parameters(), *fake.buffers()]
    with _asking_for_addresses(), fakes, memory, torch.no_grad(), gpu_autocast(dtype):
        memory.add([*weights, *tensors_in(batch)])
        fake(**batch, mode=mode)
    return StepMemory(memory.peak, _bytes(weights))


def _prepare(fake: nn.Module, half: bool, gradient: bool = True) -> None:
    """Make a copy without data ready for steps of a GPU."""
    for name in [name for name in vars(fake) if callable(getattr(type(fake), name, None))]:
        vars(fake).pop(name)  # compiled methods are those of the model itself
    take_as_filled(fake)
    pack_texts_for_gpu(fake, half, gradient)


@contextmanager
def _asking_for_addresses() -> Iterator[None]:
    """Caches compare addresses of tensors; torch warns that those without data have none."""
    with warnings.catch_warnings():
        warnings.filterwarnings('ignore', 'Accessing the data pointer of FakeTensor')
        yield


def tensors_in(tree: Any) -> list[Tensor]:
    """Tensors in lists, dicts and samples."""
    leaves = [item for leaf in tree_leaves(tree) for item in (leaf.values() if hasattr(leaf, 'all_items') else [leaf])]
    return [leaf for leaf in leaves if isinstance(leaf, Tensor)]


def _bytes(tensors: Iterable[Tensor]) -> int:
    sizes = {storage._cdata: storage.nbytes() for storage in (tensor.untyped_storage() for tensor in tensors)}
    return sum(sizes.values())
