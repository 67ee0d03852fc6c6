"""Processes without GPUs, which mmengine's launcher code does not reach, those that torchrun starts again, and threads
beside data workers.
"""

from __future__ import annotations

import logging
import os
import socket
import subprocess
import sys
import time
from collections.abc import Mapping
from datetime import timedelta
from typing import Any

import torch
from torch import distributed as dist


def init_cpu_process_group(launcher: str, timeout: float = 1800) -> None:
    """Join the process group over gloo.

    mmengine selects a CUDA device before it looks at the backend, which fails without a GPU.

    Args:
        launcher: ``'pytorch'`` (torchrun), ``'slurm'`` or ``'mpi'``: source of rank and world size.
        timeout: seconds after which a collective that waits for another process gives up.

    Raises:
        RuntimeError: the launcher's environment variables are not set.
    """
    names = {
        'pytorch': ('RANK', 'WORLD_SIZE', 'LOCAL_RANK'),
        'slurm': ('SLURM_PROCID', 'SLURM_NTASKS', 'SLURM_LOCALID'),
        'mpi': ('OMPI_COMM_WORLD_RANK', 'OMPI_COMM_WORLD_SIZE', 'OMPI_COMM_WORLD_LOCAL_RANK'),
    }
    if launcher not in names:
        raise ValueError(f'launcher must be one of {", ".join(names)}, got {launcher!r}')
    missing = [name for name in names[launcher] if name not in os.environ]
    if missing:
        raise RuntimeError(
            f'--launcher {launcher}: {", ".join(missing)} not set in the environment. '
            'Start through tools/dist_train.sh or tools/slurm_train.sh, or drop --launcher for one process.'
        )
    for ours, theirs in zip(names['pytorch'], names[launcher], strict=True):
        os.environ[ours] = os.environ[theirs]
    if launcher == 'slurm' and 'MASTER_ADDR' not in os.environ:
        nodes = os.environ['SLURM_NODELIST']
        shown = subprocess.run(['scontrol', 'show', 'hostname', nodes], capture_output=True, text=True, check=True)
        os.environ['MASTER_ADDR'] = shown.stdout.split()[0]
    os.environ.setdefault('MASTER_ADDR', '127.0.0.1')
    os.environ.setdefault('MASTER_PORT', '29500')
    dist.init_process_group('gloo', timeout=timedelta(seconds=timeout), **meeting_point(timeout))


def meeting_point(timeout: float = 1800) -> dict[str, Any]:
    """Where processes that torchrun has started find each other: arguments of ``init_process_group``, or none.

    torchrun (``--rdzv-backend c10d`` and ``--standalone``) keeps one store of addresses for all starts of its workers,
    and those that it starts again would look for processes that have died.  Here the first process opens a store for
    each start, whose port the other processes read from torchrun's; where that is still the port of an earlier start,
    nobody answers, and they read again.

    Args:
        timeout: seconds after which the store is given up.

    Raises:
        torch.distributed.DistNetworkError: the first process was not found in that time.
    """
    if os.environ.get('TORCHELASTIC_USE_AGENT_STORE') != 'True':
        return {}
    host, limit, key = os.environ['MASTER_ADDR'], timedelta(seconds=timeout), 'vlprompt/port'
    rank, processes = int(os.environ['RANK']), int(os.environ['WORLD_SIZE'])
    of_torchrun = dist.TCPStore(host, int(os.environ['MASTER_PORT']), is_master=False, timeout=limit)
    if rank == 0:
        store = dist.TCPStore(host, 0, is_master=True, timeout=limit, wait_for_workers=False)
        of_torchrun.set(key, str(store.port))
    else:
        deadline = time.monotonic() + timeout
        while not _answers(host, port := int(of_torchrun.get(key))) and time.monotonic() < deadline:
            time.sleep(0.1)
        store = dist.TCPStore(host, port, is_master=False, timeout=limit)
    return dict(store=store, rank=rank, world_size=processes)


def _answers(host: str, port: int) -> bool:
    """Whether somebody listens at a port."""
    try:
        with socket.create_connection((host, port), timeout=2):
            return True
    except OSError:
        return False


def cpu_only() -> bool:
    """Whether no GPU is visible, so that processes communicate through gloo."""
    return not torch.cuda.is_available()


def leave_process_group(code: int = 0) -> None:
    """End a process of a distributed run with an exit code once all have come here; nothing is done without a process
    group.

    The interpreter is left without its usual clean-up: threads of gloo that still run at that point may abort a process
    after all its work (``terminate called without an active exception``), and its launcher would report a failure.
    """
    if dist.is_available() and dist.is_initialized():
        dist.barrier()
        dist.destroy_process_group()
        logging.shutdown()
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


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
