"""Means over the batches of all processes."""

from __future__ import annotations

import torch
from mmengine.dist import all_reduce, get_world_size
from torch import Tensor
from torch._subclasses import FakeTensor


def process_weight(size: int | Tensor, device: torch.device) -> Tensor | float:
    """Factor for a loss, or a number for the log, that is the mean over ``size`` local samples.

    Distributed training averages gradients over processes, and the log averages numbers.  That is the mean over all
    samples only if every process has equally many, which the last batch of an epoch may violate.  Multiplying the local
    mean by ``size * processes / total`` makes it exact.

    Args:
        size: samples in this process's batch; a scalar tensor if only the device knows.
        device: where the sum over processes is taken.

    Returns:
        1.0 in a single process, else a scalar tensor.
    """
    processes = get_world_size()
    if processes == 1:
        return 1.0
    own = torch.as_tensor(size, dtype=torch.float32, device=device)
    total = own.clone()
    if not isinstance(total, FakeTensor):  # which has no value to add, and no other process waits for
        all_reduce(total)
    return own * processes / total.clamp(min=1)
