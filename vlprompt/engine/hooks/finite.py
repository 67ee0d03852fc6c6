"""End a training whose loss, gradient or weights are NaN or infinite."""

from __future__ import annotations

import math
from itertools import chain
from typing import Any

import torch
from mmengine.dist import is_distributed
from mmengine.hooks import Hook
from mmengine.optim import OptimWrapper
from mmengine.runner import Runner
from torch import Tensor
from torch.optim import Optimizer

from vlprompt.engine.finite import broken_tensors, describe_batch, files_of_batch, largest_size
from vlprompt.engine.hooks.data import bare_model
from vlprompt.engine.optimizer import wrappers_by_name
from vlprompt.errors import NonFiniteError
from vlprompt.messages import enumerate_names
from vlprompt.registry import HOOKS

OVERFLOWS = 40
"""Updates in a row that a loss scaler may leave out: by then it has divided the scale by 2 ** 40."""


@HOOKS.register_module()
class NonFiniteHook(Hook):
    """End a training whose loss, gradient or weights are NaN or infinite, before anything is saved.

    The error names the loss terms, the iteration, the learning rate, the files of the batch and the last checkpoint,
    which stays.  An update that a loss scaler leaves out (float16) is no error, unless it leaves out every one.

    Losses are read when the log reads them; the sizes of gradients and weights are computed beside an update and read
    after it.  So nothing waits for the device that would not wait anyway.

    Args:
        skip: number of updates of a run that may be left out: a warning names the files of their batches, and training
            goes on.  Above 0 every gradient is read before its update, which then waits for the backward pass.  With
            gradient accumulation an update has several batches.

    A loss that is not finite in a batch without update (gradient accumulation) waits for the update if it may be left
    out, or if there are other processes, which notice it then: all end after the same iteration.

    Raises:
        NonFiniteError: from the training.
    """

    batch: Any = None
    """The batch at hand, of training or validation, for an error that comes from within the step."""
    validating: bool = False
    """Whether the training pauses for a validation."""
    priority = 'HIGH'  # after the hook that reads the losses, before those that log and save

    def __init__(self, skip: int = 0) -> None:
        if skip < 0:
            raise ValueError(f'NonFiniteHook: skip must be at least 0, got {skip}')
        self.skip = skip

    def before_train(self, runner: Runner) -> None:
        self._sizes: list[Tensor] = []  # (2,) each: largest weight and gradient of an update
        self._files: list[list[str]] = []  # of every batch since the last update
        self._failures: list[str] = []  # of these batches
        self._without_update = 0
        self._skipped = runner.message_hub.get_info('skipped_batches', 0)
        for wrapper in _wrappers(runner):
            wrapper.optimizer.register_step_pre_hook(self._before_update)

    def before_train_iter(self, runner: Runner, batch_idx: int, data_batch: Any = None) -> None:
        self.batch, self.validating = data_batch, False

    def before_val_epoch(self, runner: Runner) -> None:
        self.batch, self.validating = None, True

    def before_val_iter(self, runner: Runner, batch_idx: int, data_batch: Any = None) -> None:
        self.batch = data_batch

    def after_val_iter(self, runner: Runner, batch_idx: int, data_batch: Any = None, outputs: Any = None) -> None:
        self.batch = None  # what fails from here on is the metric

    def _before_update(self, optimizer: Optimizer, args: Any, kwargs: Any) -> None:
        """Called by every optimizer; keeps the sizes of weights and gradients, and drops a bad update if it may."""
        if getattr(optimizer, 'found_inf', None) is not None:  # the optimizer itself leaves out what overflowed
            self._without_update = 0
            return
        trained = [p for group in optimizer.param_groups for p in group['params'] if p.grad is not None]
        if not trained:
            return
        gradient = largest_size(p.grad for p in trained)
        self._sizes.append(torch.stack([largest_size(trained).to(gradient), gradient]))
        if self.skip and not math.isfinite(gradient.item()):
            optimizer.zero_grad(set_to_none=True)  # a parameter without gradient is not updated

    def after_train_iter(
        self, runner: Runner, batch_idx: int, data_batch: Any = None, outputs: dict[str, Tensor] | None = None
    ) -> None:
        losses = {name: _value(runner, name, value) for name, value in (outputs or {}).items() if 'loss' in name}
        sizes = torch.stack(self._sizes).amax(0).tolist() if self._sizes else (0.0, 0.0)  # NaN if any is
        self._count_updates(runner, bool(self._sizes))
        self._sizes.clear()
        self._files.append(files_of_batch(data_batch))
        loss_fails = not all(map(math.isfinite, losses.values()))
        if loss_fails or not (self._failures or all(map(math.isfinite, sizes))):
            suspects = self._files[-1:] if loss_fails else self._files
            source = describe_batch(data_batch) if len(suspects) == 1 else _describe_batches(suspects)
            self._failures.append(describe_failure(runner, losses, *sizes, source))
            runner.logger.error(f'Not finite at iteration {runner.iter + 1}: {list(chain(*suspects))}')
        ends_update = any(wrapper.should_update() for wrapper in _wrappers(runner))
        others_notice_later = self.skip or is_distributed()
        if self._failures and (ends_update or not others_notice_later):
            problem = ' '.join(self._failures)
            if not self.skip:
                raise NonFiniteError(f'{problem} {_what_stays(runner)} {_REMEDY}')
            self._skip(runner, problem)
        if ends_update:
            self._files.clear()
            self._failures.clear()

    def after_train(self, runner: Runner) -> None:
        if broken := broken_tensors(bare_model(runner)):
            raise NonFiniteError(
                f'after the last update (learning rate {_rates(runner)}) {enumerate_names(broken)} '
                f'{_are(broken)} not finite. {_what_stays(runner)} {_REMEDY}'
            )

    def _skip(self, runner: Runner, problem: str) -> None:
        """Count an update that was left out."""
        if broken := broken_tensors(bare_model(runner)):  # such as batch statistics, which no update changes
            raise NonFiniteError(
                f'{problem} It cannot be left out, since {enumerate_names(broken)} {_are(broken)} not finite any more. '
                f'{_what_stays(runner)}'
            )
        if self._skipped == self.skip:
            raise NonFiniteError(
                f'{problem} {self.skip} such updates were left out before, as many as skip={self.skip} allows. '
                f'{_what_stays(runner)} {_REMEDY}'
            )
        self._skipped += 1
        runner.message_hub.update_info('skipped_batches', self._skipped)
        runner.logger.warning(f'{problem} Left out, the {self._skipped}. of at most {self.skip} updates.')

    def _count_updates(self, runner: Runner, updated: bool) -> None:
        """Raise if a loss scaler leaves out every update."""
        self._without_update = 0 if updated else self._without_update + 1
        wrappers = _wrappers(runner)
        scaled = any(getattr(getattr(w, 'scaler', None), 'is_enabled', bool)() for w in wrappers)
        if scaled and self._without_update > OVERFLOWS * max(w._accumulative_counts for w in wrappers):
            raise NonFiniteError(
                f'iteration {runner.iter + 1}: in float16 gradients overflowed {self._without_update} times in a row, '
                f'however small the loss scale, so nothing is trained. {_what_stays(runner)} Use bfloat16: '
                '--cfg-options optim_wrapper.type=vlprompt.AutocastOptimWrapper optim_wrapper.dtype=bfloat16'
            )


_REMEDY = (
    'Lower the learning rate (optim_wrapper.optimizer.lr), clip gradients '
    '(optim_wrapper.clip_grad.max_norm=1), look at the files, or leave out a few such updates: '
    'default_hooks.non_finite.skip=N.'
)


def describe_failure(runner: Runner, losses: dict[str, float], weight: float, gradient: float, source: str) -> str:
    """Sentences about a training step that failed.

    Args:
        runner: in the step.
        losses: by name; those that are not finite are named.
        weight: largest absolute value of the trained weights before the update.
        gradient: the same of the gradients.
        source: the batch, or batches, in words.
    """
    terms = {name: value for name, value in losses.items() if not math.isfinite(value)}
    if len(terms) > 1:
        terms.pop('loss', None)  # the sum
    kinds: dict[str, list[str]] = {}
    for name, value in terms.items():
        kinds.setdefault(f'{value}', []).append(name)
    parts = [f'{", ".join(names)} {_are(names)} {kind}' for kind, names in kinds.items()]
    if not math.isfinite(gradient):
        parts.append('the gradient is not finite')
    if not math.isfinite(weight):
        parts.insert(0, 'weights were not finite before this step, since the update before it broke them')
    finite = [f'{name} {value:.4g}' for name, value in losses.items() if math.isfinite(value)]
    return (
        f'iteration {runner.iter + 1}: {", ".join(parts)}'
        + (f' (finite: {", ".join(finite)})' if finite else '')
        + f', with learning rate {_rates(runner)}; {source}.'
    )


def _describe_batches(files: list[list[str]]) -> str:
    """The files of the batches of an update."""
    names = enumerate_names(list(chain(*files)), 8)
    return f'{len(files)} batches since the last update' + (f', files: {names}' if names else '')


def explain_failure(runner: Runner, error: FloatingPointError) -> NonFiniteError:
    """The error of a training, or of a validation in it, in which an operation met NaN or infinity before there was a
    loss.
    """
    hook = next((hook for hook in runner.hooks if isinstance(hook, NonFiniteHook)), None)
    batch = f'; {describe_batch(hook.batch)}' if hook is not None and hook.batch is not None else ''
    if hook is not None and hook.validating:
        where, rates = f'validation after iteration {runner.iter}', ''
    else:
        where, rates = f'iteration {runner.iter + 1}', f', with learning rate {_rates(runner)}'
    broken = broken_tensors(bare_model(runner))
    cause = f' The update before it broke {enumerate_names(broken, 3)}.' if broken else ''
    return NonFiniteError(f'{where}: {error}{rates}{batch}.{cause} {_what_stays(runner)} {_REMEDY}')


def _value(runner: Runner, name: str, value: Tensor) -> float:
    """A loss as the log has read it already, so that the device is not asked again."""
    scalars = runner.message_hub.log_scalars
    return scalars[f'train/{name}'].current() if f'train/{name}' in scalars else float(value)


def _rates(runner: Runner) -> str:
    """All learning rates, such as ``'1e-05 and 0.0001'``."""
    found = {group['lr'] for wrapper in _wrappers(runner) for group in wrapper.optimizer.param_groups}
    return ' and '.join(f'{rate:.4g}' for rate in sorted(found))


def _what_stays(runner: Runner) -> str:
    last = runner.message_hub.get_info('last_ckpt')
    return f'The last checkpoint is {last}.' if last else 'No checkpoint was saved before.'


def _wrappers(runner: Runner) -> list[OptimWrapper]:
    return list(wrappers_by_name(runner.optim_wrapper).values())


def _are(names: list[str]) -> str:
    return 'is' if len(names) == 1 else 'are'
