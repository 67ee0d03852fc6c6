"""Kernels, FLOPs and bytes of what runs, by counting operators; on tensors without data too."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from torch.utils.flop_counter import flop_registry, sdpa_flop_count

from vlprompt.clip.text.costs import BANDWIDTH, FLOPS, LAUNCH, MULTIPROCESSORS

FREE = ('detach', 'alias', '_unsafe_view', 'promote_types', 'empty', 'lift_fresh')
"""Parts of names of operators that launch nothing, besides views."""


def _cpu_attention(query: Sequence[int], key: Sequence[int], value: Sequence[int], *_: Any, **__: Any) -> int:
    """FLOPs of attention from the shapes of its three tensors."""
    return sdpa_flop_count(query, key, value)


CPU_ATTENTION = {torch.ops.aten._scaled_dot_product_flash_attention_for_cpu: _cpu_attention}
"""``custom_mapping`` of torch's ``FlopCounterMode``, which has formulas for attention on a GPU alone."""


@dataclass
class Counts(TorchDispatchMode):
    """Kernels, FLOPs and bytes of what runs under it.

    Kernels are operators that are no views, and bytes are inputs and outputs of each: both are upper bounds, since
    operators that run together read and write less.
    """

    kernels: int = 0
    flops: int = 0
    bytes: int = 0

    def __post_init__(self) -> None:
        super().__init__()

    def __torch_dispatch__(self, function: Any, types: Any, args: tuple = (), kwargs: dict | None = None) -> Any:
        out = function(*args, **(kwargs or {}))
        name = function.name()
        free = function.is_view or any(part in name for part in FREE)
        if function.namespace not in ('aten', 'vlprompt') or free:
            return out
        self.kernels += 1
        tensors = [leaf for leaf in tree_leaves((args, kwargs, out)) if isinstance(leaf, Tensor)]
        self.bytes += sum(tensor.numel() * tensor.element_size() for tensor in tensors)
        if 'flash_attention_for_cpu' in name:
            passes = 2.5 if 'backward' in name else 1
            query, key, value = args[1:4] if 'backward' in name else args[:3]
            self.flops += round(passes * sdpa_flop_count(query.shape, key.shape, value.shape))
        elif function._overloadpacket in flop_registry:
            self.flops += flop_registry[function._overloadpacket](*args, **(kwargs or {}), out_val=out)
        return out

    def milliseconds(self, precision: str = 'tf32') -> float:
        """What an H100 would take: the larger of FLOPs and bytes at the rates of :mod:`vlprompt.clip.text.costs`, and
        the launch of every kernel.

        Args:
            precision: key of :data:`~vlprompt.clip.text.costs.FLOPS`.
        """
        work = max(self.flops / (FLOPS[precision] * MULTIPROCESSORS), self.bytes / (BANDWIDTH * MULTIPROCESSORS))
        return 1000 * (work + self.kernels * LAUNCH)
