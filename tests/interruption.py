"""Training runs that are cut off, to be resumed."""

from __future__ import annotations

import multiprocessing
import os
import signal
from pathlib import Path
from typing import Any

from mmengine.hooks import Hook
from mmengine.runner import Runner

from vlprompt.engine import work_dir
from vlprompt.errors import RunError
from vlprompt.registry import HOOKS


class Interrupted(Exception):
    """The power has gone off."""


@HOOKS.register_module()
class InterruptingHook(Hook):
    """Raise :class:`Interrupted` before an epoch, or before an iteration."""

    def __init__(self, epoch: int | None = None, iteration: int | None = None) -> None:
        self.epoch, self.iteration = epoch, iteration

    def before_train_epoch(self, runner: Runner) -> None:
        if runner.epoch == self.epoch:
            raise Interrupted

    def before_train_iter(self, runner: Runner, batch_idx: int, data_batch: Any = None) -> None:
        if runner.iter == self.iteration:
            raise Interrupted


@HOOKS.register_module()
class SignallingHook(Hook):
    """Send a signal to one process of a distributed run, before an iteration; not after a restart by torchrun."""

    def __init__(self, iteration: int, rank: int, number: int = signal.SIGTERM) -> None:
        self.iteration, self.rank, self.number = iteration, rank, int(number)

    def before_train_iter(self, runner: Runner, batch_idx: int, data_batch: Any = None) -> None:
        restarted = int(os.environ.get('TORCHELASTIC_RESTART_COUNT', 0)) > 0
        if (runner.iter, runner.rank) == (self.iteration, self.rank) and not restarted:
            os.kill(os.getpid(), self.number)


def claim_elsewhere(folder: str | Path) -> str:
    """Claim a folder in another process, which then ends; the message with which it is refused, or ''."""
    queue = (context := multiprocessing.get_context('fork')).Queue()
    process = context.Process(target=_claim, args=(folder, queue))
    process.start()
    answer = queue.get(timeout=60)
    process.join()
    return answer


def _claim(folder: str | Path, queue: Any) -> None:
    work_dir._HELD.clear()  # what a fork inherits is the parent's
    work_dir._RUN.clear()
    try:
        work_dir.claim(folder)
    except RunError as error:
        queue.put(str(error))
    else:
        queue.put('')
