"""The dtype that the ops compute in."""

from __future__ import annotations

import torch
from torch import Tensor


def at_least_float32(*tensors: Tensor) -> tuple[Tensor, ...]:
    """The tensors in the dtype of the first, or in float32 if that is narrower.

    torchvision's CPU kernels have no half precision, and sums of many samples need more.
    """
    dtype = torch.promote_types(tensors[0].dtype, torch.float32)
    return tuple(tensor.to(dtype) for tensor in tensors)
