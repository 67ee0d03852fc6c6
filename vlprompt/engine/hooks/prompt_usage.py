"""Log the usage of prompt pools."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from mmengine.dist import all_reduce, broadcast_object_list, collect_results
from mmengine.hooks import Hook, LoggerHook
from mmengine.runner import Runner
from torch import Tensor

from vlprompt.engine.hooks.data import bare_model
from vlprompt.prompts import PromptPool
from vlprompt.registry import HOOKS

_USAGE = 'prompt_usage'


@HOOKS.register_module()
class PromptUsageHook(Hook):
    """Log how evenly images spread over the groups of a prompt pool; models without a pool are left alone.

    In every line of the training log, for the epoch so far, and among validation and test metrics as ``lpt/...``:

    * ``keys_used``: groups that at least one image chose;
    * ``key_entropy``: entropy of the choices over the log of the number of groups, 1 if all are chosen equally often
      (log k / log m if every image takes the same k of m).

    Both are about the images of all processes.  In validation and test every image counts once, as in a metric; in
    training every image of every step does.  A test that averages logits over crops reports none, since every crop
    chooses for itself.
    """

    _carried: Tensor | None = None
    """Counts of an epoch in which the run was interrupted, until it goes on."""
    priority = 'HIGHEST'  # RuntimeInfoHook puts the metrics into the log and must find these among them

    def before_train(self, runner: Runner) -> None:
        loggers = [hook for hook in runner.hooks if isinstance(hook, LoggerHook)]
        self._interval = min((hook.interval for hook in loggers), default=1)  # counting synchronises with the device
        pool = _pool(runner)
        if pool is not None:
            loop, hub = runner.train_loop, runner.message_hub
            within_epoch = getattr(loop, 'batches', loop.iter) > 0
            if within_epoch and runner.rank == 0:  # resumed; the counts of all processes until then
                self._carried = hub.get_info(_USAGE)

    def before_save_state(self, runner: Runner) -> None:
        """Put the counts of all processes where the file to resume from has them."""
        pool = _pool(runner)
        if pool is not None:
            runner.message_hub.update_info(_USAGE, _of_all_processes(pool))

    def before_train_epoch(self, runner: Runner) -> None:
        pool = _pool(runner)
        if pool is not None:
            pool.reset_usage()
            if self._carried is not None:
                pool.usage += self._carried.to(pool.usage)
                self._carried = None

    def after_train_iter(self, runner: Runner, batch_idx: int, data_batch: Any = None, outputs: Any = None) -> None:
        end = self.end_of_epoch(runner.train_dataloader, batch_idx)
        if end or self.every_n_inner_iters(batch_idx, self._interval):
            for name, value in _usage_in_training(runner).items():
                runner.message_hub.update_scalar(f'train/{name}', value)

    def after_train_epoch(self, runner: Runner) -> None:
        for name, value in _usage_in_training(runner).items():
            runner.logger.info(f'Epoch {runner.epoch + 1}: {name} {value:.3g}')

    def before_val_epoch(self, runner: Runner) -> None:
        self._matched: list[list[int]] = []

    def after_val_iter(
        self, runner: Runner, batch_idx: int, data_batch: Any = None, outputs: Sequence[Any] = ()
    ) -> None:
        matched = [sample.matched_groups for sample in outputs if 'matched_groups' in sample]
        if matched and _pool(runner) is not None:
            self._matched += torch.stack(matched).tolist()

    def after_val_epoch(self, runner: Runner, metrics: dict[str, Any] | None = None) -> None:
        self._report(runner, len(runner.val_dataloader.dataset), metrics)

    before_test_epoch, after_test_iter = before_val_epoch, after_val_iter

    def after_test_epoch(self, runner: Runner, metrics: dict[str, Any] | None = None) -> None:
        self._report(runner, len(runner.test_dataloader.dataset), metrics)

    def _report(self, runner: Runner, images: int, metrics: dict[str, Any]) -> None:
        """Add the usage by ``images`` images to the metrics; what samplers repeated to fill up is left out."""
        pool = _pool(runner)
        if pool is None:
            return
        found = [collect_results(self._matched, images)]  # None except in the first process
        broadcast_object_list(found)
        if not found[0]:
            return
        usage = torch.bincount(torch.tensor(found[0]).flatten(), minlength=len(pool.usage))
        metrics.update({f'lpt/{name}': value for name, value in usage_statistics(usage).items()})


def _usage_in_training(runner: Runner) -> dict[str, float]:
    pool = _pool(runner)
    if pool is None:
        return {}
    return usage_statistics(_of_all_processes(pool))


def _of_all_processes(pool: PromptPool) -> Tensor:
    usage = pool.usage.clone()
    all_reduce(usage)
    return usage


def _pool(runner: Runner) -> PromptPool | None:
    modules = bare_model(runner).modules()
    return next((module for module in modules if isinstance(module, PromptPool)), None)


def usage_statistics(usage: Tensor) -> dict[str, float]:
    """``keys_used`` and ``key_entropy`` of (m,) counts, see :class:`PromptUsageHook`."""
    usage = usage.cpu()
    share = usage.double() / usage.sum().clamp(min=1)
    entropy = -(share * share.clamp(min=1e-12).log()).sum() / torch.tensor(float(max(len(usage), 2))).log()
    return dict(keys_used=float((usage > 0).sum()), key_entropy=float(entropy))
