"""What the text tower costs on a device: the only place where its packing depends on hardware."""

from __future__ import annotations

import torch
from torch import nn

from vlprompt.clip.text.packing import PassCosts
from vlprompt.clip.text.tokens import PromptTokens
from vlprompt.precision import products_in_tf32

LAUNCH = 5e-6
"""Seconds of the host for one kernel: what PyTorch takes for a forward and backward pass of small kernels, divided by
their number."""

BUCKET_KERNELS = (2, 5)
"""Kernels that one more bucket costs in each block, forward and backward: copies of keys and values, attention, and the
sums of their gradients."""

MULTIPROCESSORS = 132
"""Of an H100, which stands for a GPU that is not there."""

FLOPS = {'half': 3e12, 'tf32': 1.5e12, 'fp32': 0.4e12}
"""FLOP/s of one multiprocessor of an H100 in large products, which reach about half of its specified peak."""

BANDWIDTH = 2.3e10
"""Bytes/s of its memory, divided by the multiprocessors."""


def pass_costs(tower: nn.Module, tokens: PromptTokens) -> PassCosts | None:
    """Costs of a token and of a bucket of sequences in a pass of the text tower; None where tokens alone count.

    On a CPU a token of a tower of width 512 and 12 blocks takes milliseconds and a kernel microseconds, so no position
    too many is computed.

    Args:
        tower: the :class:`~vlprompt.clip.TextEncoder`.
        tokens: what it encodes.
    """
    device = tokens.suffix.device
    if device.type == 'cpu':
        return None
    half = torch.is_autocast_enabled(device.type) or tokens.prefix.dtype in (torch.float16, torch.bfloat16)
    precision = 'half' if half else 'tf32' if _tf32() else 'fp32'
    return gpu_costs(tower, precision, torch.is_grad_enabled(), _multiprocessors(device))


def gpu_costs(
    tower: nn.Module, precision: str = 'tf32', gradient: bool = True, processors: int = MULTIPROCESSORS
) -> PassCosts:
    """The costs on a GPU.

    A token costs the larger of its FLOPs (24 W^2 a block, twice with gradients and three times with those of the
    weights) and its bytes (36 W numbers a block, likewise) at the rates above, scaled by the number of multiprocessors;
    a bucket costs its kernels times :data:`LAUNCH`.

    Args:
        tower: the :class:`~vlprompt.clip.TextEncoder`.
        precision: key of :data:`FLOPS`.
        gradient: whether a backward pass follows.
        processors: multiprocessors of the GPU.
    """
    blocks, trained = tower.transformer.resblocks, any(p.requires_grad for p in tower.parameters())
    passes = 1 + gradient + (gradient and trained)
    flops = passes * len(blocks) * 24 * tower.width**2 / (FLOPS[precision] * processors)
    memory = passes * len(blocks) * 36 * tower.width * (2 if precision == 'half' else 4) / (BANDWIDTH * processors)
    forward, backward = BUCKET_KERNELS
    return PassCosts(max(flops, memory), len(blocks) * (forward + backward * gradient) * LAUNCH)


@torch.compiler.assume_constant_result
def _tf32() -> bool:
    return products_in_tf32()


@torch.compiler.assume_constant_result
def _multiprocessors(device: torch.device) -> int:
    if device.type == 'cuda' and torch.cuda.is_available():
        return torch.cuda.get_device_properties(device).multi_processor_count
    return MULTIPROCESSORS
