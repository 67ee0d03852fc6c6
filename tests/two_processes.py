"""Two processes of a distributed run, forked from the test's, over gloo."""

from __future__ import annotations

import multiprocessing
import os
import pickle
import sys
import traceback
from collections.abc import Callable
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import torch
from torch import distributed as dist

LIMIT = 120
"""Seconds after which processes that wait for each other are given up."""


def in_two_processes(function: Callable[[], Any], folder: Path) -> list[Any]:
    """Call ``function()`` in two processes of one group and return both results, which must be picklable.

    Args:
        function: may read ``torch.distributed`` or mmengine's ranks, and anything of the test.
        folder: an empty one, where the processes find each other.

    Raises:
        AssertionError: one of them failed or did not end; with its traceback.
    """
    context = multiprocessing.get_context('fork')
    processes, ends = [], []
    for rank in range(2):
        ours, theirs = context.Pipe(duplex=False)
        process = context.Process(target=_member, args=(function, rank, folder / 'meeting point', theirs))
        process.start()
        theirs.close()
        processes.append(process)
        ends.append(ours)
    try:
        return [_answer(end) for end in ends]
    finally:
        for process in processes:
            process.kill()
            process.join()


def _answer(end: Connection) -> Any:
    assert end.poll(LIMIT), f'no answer within {LIMIT} seconds'
    fine, content = pickle.loads(end.recv_bytes())
    assert fine, content
    return content


def _member(function: Callable[[], Any], rank: int, meeting_point: Path, answer: Connection) -> None:
    torch.set_num_threads(1)  # the threads of the parent do not exist here
    os.environ.update(RANK=str(rank), LOCAL_RANK=str(rank), WORLD_SIZE='2')
    try:
        dist.init_process_group('gloo', init_method=f'file://{meeting_point}', rank=rank, world_size=2)
        answer.send_bytes(pickle.dumps((True, function())))  # whole tensors, not handles that end with this process
        dist.barrier()
    except BaseException:
        answer.send_bytes(pickle.dumps((False, traceback.format_exc())))
    sys.stdout.flush()
    os._exit(0)  # nothing of pytest is to run here
