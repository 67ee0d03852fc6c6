"""Number of compute threads of a process that shares the cores with its data workers."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

import torch


def leave_cores_to_workers(cfg: Mapping[str, Any]) -> None:
    """On a machine without a GPU, use as many threads as the data workers leave cores, at least one.

    More threads than cores make torch's threads wait for each other at every operation, which on two cores with two
    workers was several times slower.  ``OMP_NUM_THREADS``, if set, takes precedence.  The log gives the number of
    threads under ``processors``.
    """
    if torch.cuda.is_available() or 'OMP_NUM_THREADS' in os.environ:
        return
    loaders = [cfg.get(f'{split}_dataloader') or {} for split in ('train', 'val', 'test')]
    workers = max(loader.get('num_workers', 0) for loader in loaders)
    threads = max(1, (os.cpu_count() or 1) - workers)
    if threads < torch.get_num_threads():
        torch.set_num_threads(threads)
