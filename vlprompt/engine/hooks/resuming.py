"""Runs that are cut off: stop when asked to by a signal, and make up for a validation that was not finished."""

from __future__ import annotations

from typing import Any

import torch
from mmengine.device import get_device
from mmengine.dist import all_reduce, is_distributed
from mmengine.hooks import Hook
from mmengine.runner import EpochBasedTrainLoop, Runner

from vlprompt.engine.resume_state import VALIDATED, validation_due
from vlprompt.registry import HOOKS

AGREEMENT = 10
"""Iterations after which processes of a distributed run ask each other whether to stop: it waits for the device."""


@HOOKS.register_module()
class ResumeHook(Hook):
    """What a run needs to be interrupted and resumed without a trace.

    * A run that was asked to end by a signal (:mod:`vlprompt.engine.stop`) saves its state after the iteration, of
      training or of validation, and ends.  Processes of a distributed run do so after the same one of training: they
      ask each other in every 10th (:data:`AGREEMENT`) and in the last of an epoch.
    * A resumed run first repeats a validation that its checkpoint was due for and that was not finished, so that its
      log and its best checkpoint are those of a run that was not interrupted.

    Raises:
        Stopped: by the signal.
    """

    priority = 'LOWEST'  # after the iteration's schedules and checkpoint

    def before_train(self, runner: Runner) -> None:
        loop = runner.train_loop
        progress = loop.epoch if isinstance(loop, EpochBasedTrainLoop) else loop.iter
        goal = loop.max_epochs if isinstance(loop, EpochBasedTrainLoop) else loop.max_iters
        if runner.val_loop is None or not progress or getattr(loop, 'batches', 0):
            return
        loop._decide_current_val_interval()
        missed = runner.message_hub.get_info(VALIDATED) != runner.iter
        if missed and validation_due(progress, goal, loop.val_begin, loop.val_interval):
            runner.logger.info('The validation of this checkpoint was not finished before: it comes first.')
            runner.val_loop.run()

    def after_train_iter(self, runner: Runner, batch_idx: int, data_batch: Any = None, outputs: Any = None) -> None:
        if not is_distributed() or self.every_n_train_iters(runner, AGREEMENT) or self._ends_epoch(runner, batch_idx):
            self._stop_if_asked(runner, in_training=True)

    def after_val_iter(self, runner: Runner, batch_idx: int, data_batch: Any = None, outputs: Any = None) -> None:
        if not is_distributed():  # whose processes may have different numbers of batches
            self._stop_if_asked(runner, in_training=False)

    def _ends_epoch(self, runner: Runner, batch_idx: int) -> bool:
        by_epoch = isinstance(runner.train_loop, EpochBasedTrainLoop)
        return by_epoch and self.end_of_epoch(runner.train_dataloader, batch_idx)

    def _stop_if_asked(self, runner: Runner, in_training: bool) -> None:
        if runner.stop_request is None:  # not in training
            return
        number = runner.stop_request.signal or 0
        if is_distributed():
            agreed = torch.tensor(number, device=get_device())
            all_reduce(agreed, 'max')
            number = int(agreed)
        if number:
            runner.stop(number, in_training)
