"""What would wait for a GPU, counted on a CPU."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode


class HostReads(TorchDispatchMode):
    """Within it, count what waits for a device.

    Attributes:
        copies: tensors that were copied to the host.
        numbers: numbers, lists or arrays that were made of other tensors, as by ``item()``, ``float()`` or ``if``.
    """

    active = False

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        super().__init__()
        self.copies = self.numbers = 0
        self._on_host: list[Tensor] = []
        monkeypatch.setattr(Tensor, 'cpu', self._bringing(Tensor.cpu, copies=1))
        monkeypatch.setattr(torch, 'frombuffer', self._bringing(torch.frombuffer, copies=0))
        for name in ('numpy', 'tolist'):
            monkeypatch.setattr(Tensor, name, self._reading(getattr(Tensor, name)))

    def _bringing(self, function: Callable, copies: int) -> Callable:
        def bring(*args: Any, **kwargs: Any) -> Tensor:
            result = function(*args, **kwargs)
            if self.active:
                self.copies += copies
                self._on_host.append(result)
            return result

        return bring

    def _reading(self, function: Callable) -> Callable:
        def read(tensor: Tensor, *args: Any, **kwargs: Any) -> Any:
            if self.active:
                self.numbers += not any(tensor is other for other in self._on_host)
            return function(tensor, *args, **kwargs)

        return read

    def __enter__(self) -> HostReads:
        self.active = True
        return super().__enter__()

    def __exit__(self, *error: Any) -> None:
        self.active = False
        super().__exit__(*error)

    def __torch_dispatch__(self, func: Callable, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        self.numbers += func is torch.ops.aten._local_scalar_dense.default
        return func(*args, **kwargs or {})


class CopiesToGpu(TorchDispatchMode):
    """Within it, note copies from the host to a GPU, which need not be there.

    Attributes:
        found: shape of every copy, and whether the host waits for it.
    """

    def __init__(self) -> None:
        super().__init__()
        self.found: list[tuple[tuple[int, ...], bool]] = []

    @property
    def waiting(self) -> list[tuple[int, ...]]:
        """Shapes of the copies for which the host waits."""
        return [shape for shape, waits in self.found if waits]

    def __torch_dispatch__(
        self, function: Callable, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        kwargs = kwargs or {}
        out = function(*args, **kwargs)
        if function is torch.ops.aten._to_copy.default and args[0].device.type == 'cpu' and out.device.type == 'cuda':
            self.found.append((tuple(out.shape), not kwargs.get('non_blocking')))
        return out
