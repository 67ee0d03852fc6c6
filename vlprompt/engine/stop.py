"""Signals that ask a training to end, as Slurm sends them before it takes a machine away."""

from __future__ import annotations

import contextlib
import os
import signal
import threading
import time
from collections.abc import Iterator
from types import FrameType

from mmengine.logging import print_log

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
