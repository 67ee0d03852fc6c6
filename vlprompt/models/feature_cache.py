"""Features that are computed once per evaluation instead of once per batch, window or scale."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import chain

import torch
from torch import Tensor, nn


class FeatureCache:
    """Caches one tensor until a parameter or buffer that it was computed from changes.

    Used for text features: under ``no_grad``, or if no parameter is trained (PLOT++'s first phase, VPT), they are
    computed once and returned until a parameter or a buffer (the token ids of other class names) is replaced, moved
    or written to, or autocast is switched.  While gradients of a parameter are recorded nothing is cached.  Changes
    that leave no trace in a tensor (a write through ``.data``) need :meth:`clear`; models call it in ``train()`` and
    ``eval()``, with which every loop begins.

    Compiled code cannot look for such changes: it takes the cached tensor as it is, which :meth:`refresh` brings up to
    date before.
    """

    def __init__(self) -> None:
        self._entry: tuple[tuple, Tensor] | None = None
        self._source: tuple[Callable[[], Tensor], Sequence[nn.Module]] | None = None
        self._of_trained = False
        self._held = False

    def clear(self) -> None:
        """Drop the cached tensor."""
        self._entry, self._held = None, False

    def forget_trained(self) -> None:
        """Drop the cached tensor if it was computed from trained parameters: after an update that leaves no trace in
        them, as the gathered parameters of a sharded model have it.
        """
        if self._of_trained:
            self.clear()

    def hold(self, dtype: torch.dtype) -> None:
        """Return the cached tensor, if there is one, from now on until :meth:`clear`, whatever becomes of the modules:
        a constant of an exported model.

        Args:
            dtype: of the constant.
        """
        if self._entry is not None:
            self._entry, self._held = (self._entry[0], self._entry[1].to(dtype)), True

    def __call__(self, compute: Callable[[], Tensor], modules: Sequence[nn.Module]) -> Tensor:
        """``compute()``, or its last result while the parameters and buffers of ``modules`` are unchanged."""
        if self._held:
            return self._entry[1]
        tensors = _tensors_of(modules)
        if _records_gradients(tensors):
            return compute()
        if torch.compiler.is_dynamo_compiling():
            return compute() if self._entry is None else self._entry[1]
        device = tensors[0].device.type
        autocast = torch.get_autocast_dtype(device) if torch.is_autocast_enabled(device) else None
        key = (autocast, torch.is_inference_mode_enabled(), *((t.data_ptr(), t._version) for t in tensors))
        if self._entry is None or self._entry[0] != key:
            self._entry, self._source = (key, compute()), (compute, modules)
            self._of_trained = any(t.requires_grad for t in tensors)
        return self._entry[1]

    def refresh(self) -> None:
        """Compute again what was cached before, if it has changed or was dropped, unless gradients are recorded."""
        if self._source is not None and not _records_gradients(_tensors_of(self._source[1])):
            self(*self._source)


def _tensors_of(modules: Sequence[nn.Module]) -> list[Tensor]:
    return [t for module in modules for t in chain(module.parameters(), module.buffers())]


def _records_gradients(tensors: Sequence[Tensor]) -> bool:
    return torch.is_grad_enabled() and any(t.requires_grad for t in tensors)
