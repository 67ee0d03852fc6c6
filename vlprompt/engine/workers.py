"""Processes that load data: they live as long as the process that they work for, and no error of theirs is lost."""

from __future__ import annotations

import inspect
import multiprocessing
import os
import signal
import threading
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from multiprocessing.process import BaseProcess
from multiprocessing.queues import Queue
from pathlib import Path
from typing import Any

from torch._utils import ExceptionWrapper
from torch.utils.data import DataLoader, get_worker_info

from vlprompt.errors import ConfigError

LOOK_EVERY = 1.0
"""Seconds between two looks of a data worker at its parent process."""

_print_error = Queue._on_queue_feeder_error


def guard_workers(loader: DataLoader) -> DataLoader:
    """Change the data workers of a loader, and return it.

    * They live on when the whole process group is asked to end, since the training goes on to the end of its iteration;
      a SIGTERM of the parent process ends them.
    * They end within seconds when the parent process has died, whatever they wait for.  (Those of torch wait for ever
      if their batches, which nobody reads any more, fill the pipe.)
    * A batch that cannot be sent, for lack of shared memory or since it cannot be pickled, is an error of the loader.
      (Those of torch print it, and the training waits for the batch for ever.)
    """
    if getattr(loader.worker_init_fn, 'func', None) is not _begin:
        loader.worker_init_fn = partial(_begin, init=loader.worker_init_fn)
    loader._get_iterator = partial(_start, loader._get_iterator)
    return loader


@contextmanager
def naming_loader(key: str) -> Iterator[None]:
    """Options that torch's ``DataLoader`` refuses are a ConfigError that names the key of the loader in the config."""
    try:
        yield
    except (ValueError, TypeError) as error:
        if Path(traceback.extract_tb(error.__traceback__)[-1].filename) != Path(inspect.getfile(DataLoader)):
            raise
        raise ConfigError(f'{key}: {error}') from error


def _start(start: Callable[[], Iterator[Any]]) -> Iterator[Any]:
    """Start the workers of a loader while SIGTERM is blocked, which they inherit."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})
    try:
        return start()
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _begin(worker: int, init: Callable[[int], Any] | None) -> None:
    """First function of a data worker."""
    signal.signal(signal.SIGUSR1, signal.SIG_IGN)
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})
    threading.Thread(target=_end_with_parent, args=(multiprocessing.parent_process(),), daemon=True).start()
    Queue._on_queue_feeder_error = _send_error  # of this process
    if init is not None:
        init(worker)


def _end_with_parent(parent: BaseProcess) -> None:
    """Wait for the death of the parent process or a SIGTERM from it; ignore those of others.

    With the start method ``forkserver``, the parent of the system is the server, which lives as long as this process.
    """
    direct = os.getppid() == parent.pid
    while True:
        received = signal.sigtimedwait({signal.SIGTERM}, LOOK_EVERY)
        # A pipe tells is_alive(), of which later siblings that were forked hold copies: with fork, getppid is faster.
        alive = os.getppid() == parent.pid if direct else parent.is_alive()
        if not alive or (received is not None and received.si_pid == parent.pid):
            os._exit(0)


def _send_error(queue: Queue, error: Exception, sent: Any) -> None:
    """Send an error in place of what a queue could not send.

    Python calls this in the thread that empties the queue, while it handles ``error``.

    Args:
        queue: of this process.
        error: the reason.
        sent: ``(position, batch)`` of a data loader; errors with other things are printed, as Python does.
    """
    if not (isinstance(sent, tuple) and len(sent) == 2 and isinstance(sent[0], int)):
        _print_error(error, sent)
        return
    position, batch = sent
    if isinstance(batch, ExceptionWrapper):  # of a class that cannot be pickled
        batch.exc_type = RuntimeError
    else:
        batch = ExceptionWrapper(where=f'in DataLoader worker process {get_worker_info().id}')
    queue.put((position, batch))
