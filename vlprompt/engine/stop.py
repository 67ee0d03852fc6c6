"""Signals that ask a training to end, as Slurm sends them before it takes a machine away."""

from __future__ import annotations

import contextlib
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from functools import partial
from types import FrameType
from typing import Any

from mmengine.logging import print_log
from torch.utils.data import DataLoader

SIGNALS = (signal.SIGTERM, signal.SIGUSR1)
_SAME_REQUEST = 1.0
"""Seconds within which a second signal is the first one again, sent by the launcher as well as by the scheduler."""


class StopRequest:
    """Whether the process was asked to end, and by which signal; a second signal ends it at once."""

    def __init__(self) -> None:
        self.signal: int | None = None
        self._since = 0.0

    def receive(self, number: int, frame: FrameType | None = None) -> None:
        """Handler of a signal."""
        if self.signal is None:
            self.signal, self._since = number, time.monotonic()
            name = signal.Signals(number).name
            print_log(f'{name}: the training saves its state after this iteration and ends.', logger='current')
        elif time.monotonic() - self._since > _SAME_REQUEST:
            signal.signal(number, signal.SIG_DFL)
            os.kill(os.getpid(), number)


@contextlib.contextmanager
def stop_on_signals() -> Iterator[StopRequest]:
    """Receive :data:`SIGNALS` in the block; only the main thread of a process can, others receive none."""
    request = StopRequest()
    if threading.current_thread() is not threading.main_thread():
        yield request
        return
    before = {number: signal.signal(number, request.receive) for number in SIGNALS}
    try:
        yield request
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def shield_workers(loader: DataLoader) -> DataLoader:
    """Let the data workers of a loader live on when the whole process group is asked to end.

    Otherwise the training could not go on to the end of its iteration.  Only the training itself ends its workers.
    """
    if getattr(loader.worker_init_fn, 'func', None) is not _shielded:
        loader.worker_init_fn = partial(_shielded, init=loader.worker_init_fn)
    loader._get_iterator = partial(_start, loader._get_iterator)
    return loader


def _start(start: Callable[[], Iterator[Any]]) -> Iterator[Any]:
    """Start the workers of a loader while SIGTERM is blocked, which they inherit."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})
    try:
        return start()
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _shielded(worker: int, init: Callable[[int], Any] | None) -> None:
    """First function of a data worker."""
    signal.signal(signal.SIGUSR1, signal.SIG_IGN)
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})
    threading.Thread(target=_end_with_parent, daemon=True).start()
    if init is not None:
        init(worker)


def _end_with_parent() -> None:
    """Wait for a SIGTERM from the parent process and ignore those of others."""
    parent = os.getppid()
    while True:
        if signal.sigwaitinfo({signal.SIGTERM}).si_pid in (parent, os.getppid()):
            os._exit(0)
