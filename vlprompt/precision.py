"""The precision of float32 arithmetic on GPUs, and the usual 16-bit format of a device.

TF32 has float32's range and 10 of its 23 bits of precision, about that of float16; sums stay in float32.  On GPUs from
Ampere on (A100, H100, RTX 30) it is several times as fast; others, and CPUs, do not have it.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch

_PRODUCTS = torch.backends.cuda.matmul
_BY_BACKEND = hasattr(_PRODUCTS, 'fp32_precision')  # torch 2.9 and later, where reading the older setting may raise


def allow_tf32(allowed: bool) -> None:
    """Let matrix products and convolutions of float32 tensors round their factors to TF32, or not.

    Args:
        allowed: without a GPU nothing changes.
    """
    if torch.cuda.is_available():
        torch.set_float32_matmul_precision('high' if allowed else 'highest')
        torch.backends.cudnn.allow_tf32 = allowed


def usual_half(device_type: str) -> str:
    """The 16-bit format of mixed precision where none is named: ``'float16'`` on a GPU, ``'bfloat16'`` on a CPU, where
    float16 is slow.
    """
    return 'float16' if device_type == 'cuda' else 'bfloat16'


def products_in_tf32() -> bool:
    """Whether matrix products on a GPU may be in TF32, if there is one."""
    if _BY_BACKEND:
        return _PRODUCTS.fp32_precision == 'tf32'
    return torch.get_float32_matmul_precision() != 'highest'


def uses_tf32() -> bool:
    """Whether matrix products on a GPU of this process may be in TF32."""
    return torch.cuda.is_available() and products_in_tf32()


@contextmanager
def full_precision() -> Iterator[None]:
    """Matrix products of float32 tensors in float32, whatever training may round to."""
    if _BY_BACKEND:
        before, _PRODUCTS.fp32_precision = _PRODUCTS.fp32_precision, 'ieee'
    else:
        before = torch.get_float32_matmul_precision()
        torch.set_float32_matmul_precision('highest')
    try:
        yield
    finally:
        if _BY_BACKEND:
            _PRODUCTS.fp32_precision = before
        else:
            torch.set_float32_matmul_precision(before)
