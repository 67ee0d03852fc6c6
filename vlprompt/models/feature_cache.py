"""Features that are computed once per evaluation instead of once per batch, window or scale."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn


class FeatureCache:
    """Keeps one tensor until a parameter that it was computed from changes.

    Used for text features: while gradients are recorded nothing is kept; under ``no_grad`` the features are
    computed once and returned until a parameter is replaced, moved or written to.  Changes that leave no trace in a
    parameter (other class names, a write through ``.data``) need :meth:`clear`; models call it in ``train()`` and
    ``eval()``, with which every loop begins.
    """

    def __init__(self) -> None:
        self._entry: tuple[tuple, Tensor] | None = None

    def clear(self) -> None:
        """Forget."""
        self._entry = None

    def __call__(self, compute: Callable[[], Tensor], modules: Sequence[nn.Module]) -> Tensor:
        """``compute()``, or what it gave last time, with the parameters of ``modules`` unchanged since then."""
        if torch.is_grad_enabled():
            return compute()
        key = tuple((p.data_ptr(), p._version) for module in modules for p in module.parameters())
        if self._entry is None or self._entry[0] != key:
            self._entry = (key, compute())
        return self._entry[1]
