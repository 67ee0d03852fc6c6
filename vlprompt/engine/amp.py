"""Mixed precision on GPUs and CPUs."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from mmengine.device import get_device
from mmengine.optim import OptimWrapper
from torch import Tensor, nn

from vlprompt.registry import OPTIM_WRAPPERS


@OPTIM_WRAPPERS.register_module()
class AutocastOptimWrapper(OptimWrapper):
    """Autocast in the forward pass, loss scaling if the format needs it; parameters stay in fp32.

    mmengine's ``AmpOptimWrapper`` asserts a GPU.  This one runs bfloat16 on the CPU.

    Args:
        dtype: ``'float16'`` or ``'bfloat16'``; None takes float16 on a GPU and bfloat16 on the CPU.
        loss_scale: initial scale of the loss for float16, adapted afterwards; bfloat16 needs none.
        **kwargs: of mmengine's :class:`OptimWrapper`: ``optimizer``, ``accumulative_counts``, ``clip_grad``.

    Raises:
        ValueError: another dtype, or float16 on the CPU.
    """

    def __init__(self, dtype: str | None = None, loss_scale: float = 2.0**16, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.device_type = get_device()
        dtype = dtype or ('float16' if self.device_type == 'cuda' else 'bfloat16')
        if dtype not in ('float16', 'bfloat16'):
            raise ValueError(f"AutocastOptimWrapper: dtype must be 'float16' or 'bfloat16', got {dtype!r}")
        if dtype == 'float16' and self.device_type != 'cuda':
            raise ValueError(f'AutocastOptimWrapper: float16 needs a GPU, here is {self.device_type}; use bfloat16')
        self.dtype = getattr(torch, dtype)
        self.scaler = torch.amp.GradScaler(self.device_type, init_scale=loss_scale, enabled=dtype == 'float16')

    @contextmanager
    def optim_context(self, model: nn.Module) -> Iterator[None]:
        """Autocast, and no gradient synchronisation while gradients are accumulated."""
        with super().optim_context(model), torch.autocast(self.device_type, dtype=self.dtype):
            yield

    def backward(self, loss: Tensor, **kwargs: Any) -> None:
        """Back-propagate the scaled loss."""
        self.scaler.scale(loss).backward(**kwargs)
        self._inner_count += 1

    def step(self, **kwargs: Any) -> None:
        """Unscale, clip if configured, and update; a step with infinite gradients is skipped and the scale halved."""
        if self.clip_grad_kwargs:
            self.scaler.unscale_(self.optimizer)
            self._clip_grad()
        self.scaler.step(self.optimizer, **kwargs)
        self.scaler.update()

    def state_dict(self) -> dict[str, Any]:
        """The optimizer's state and the loss scaler's."""
        return super().state_dict() | dict(loss_scaler=self.scaler.state_dict())

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Inverse of :meth:`state_dict`; the state of a run without mixed precision is accepted too."""
        state_dict = dict(state_dict)
        scaler = state_dict.pop('loss_scaler', None)
        if scaler and self.scaler.is_enabled():
            self.scaler.load_state_dict(scaler)
        super().load_state_dict(state_dict)
