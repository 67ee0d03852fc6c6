"""The precision of float32 arithmetic on GPUs."""

from __future__ import annotations

import torch


def allow_tf32(allowed: bool) -> None:
    """Let matrix products and convolutions of float32 tensors round their factors to TF32, or not.

    TF32 has float32's range and 10 of its 23 bits of precision, about that of float16; sums stay in float32.  On GPUs
    from Ampere on (A100, H100, RTX 30) it is several times as fast; others, and CPUs, do not have it.

    Args:
        allowed: without a GPU nothing changes.
    """
    if torch.cuda.is_available():
        torch.set_float32_matmul_precision('high' if allowed else 'highest')
        torch.backends.cudnn.allow_tf32 = allowed


def uses_tf32() -> bool:
    """Whether matrix products on a GPU of this process may be in TF32."""
    return torch.cuda.is_available() and torch.get_float32_matmul_precision() != 'highest'
