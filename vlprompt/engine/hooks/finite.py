"""End a training whose loss, gradient or weights are NaN or infinite."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from itertools import chain
from typing import Any

import torch
from mmengine.dist import is_distributed
from mmengine.hooks import Hook
from mmengine.optim import OptimWrapper
from mmengine.runner import Runner
from torch import Tensor
from torch.optim import Optimizer

from vlprompt.engine.finite import BatchSource, broken_tensors, hints_of, largest_size
from vlprompt.engine.hooks.data import bare_model
from vlprompt.engine.hooks.runtime_info import RuntimeInfoHook
from vlprompt.engine.optimizer import wrappers_by_name
from vlprompt.engine.readings import Number
from vlprompt.errors import ConfigError, NonFiniteError
from vlprompt.messages import enumerate_names
from vlprompt.registry import HOOKS

OVERFLOWS = 40
"""Updates in a row that a loss scaler may leave out: by then it has divided the scale by 2 ** 40."""


@HOOKS.register_module()
class NonFiniteHook(Hook):
    """End a training whose loss, gradient or weights are NaN or infinite, before anything is saved.

    The error names the loss terms, the iteration, the learning rate, the files of the batch, the last checkpoint,
    which stays, and what the model's parts say (:func:`~vlprompt.engine.finite.hints_of`).  An update that a loss
    scaler leaves out (float16) is no error, unless it leaves out every one.

    Losses, and the sizes of gradients and weights, which are computed beside an update, are read with the numbers of
    the log (:class:`~vlprompt.engine.hooks.RuntimeInfoHook`), so that nothing waits for the device which would not wait
    anyway: on a GPU a training goes on for up to an interval of the log after the iteration that failed.  The error is
    about the first one that did, and comes before a validation and before anything is saved.

    Args:
        skip: number of updates of a run that may be left out: a warning names the files of their batches, and training
            goes on.  Above 0 every gradient is read before its update, which then waits for the backward pass.  With
            gradient accumulation an update has several batches.

    A loss that is not finite in a batch without update (gradient accumulation) waits for the update if it may be left
    out, or if there are other processes, which notice it then: all end after the same iteration.

    Raises:
        NonFiniteError: from the training.
        ConfigError: no RuntimeInfoHook reads the numbers.
    """

    batch: Any = None
    """The batch at hand, for an error that comes from within the step."""
    loop: str = 'train'
    """The loop that it belongs to: ``'train'``, ``'val'`` or ``'test'``."""
    priority = 'HIGHEST'  # its numbers are there when those of the step are read

    def __init__(self, skip: int = 0) -> None:
        if skip < 0:
            raise ValueError(f'NonFiniteHook: skip must be at least 0, got {skip}')
        self.skip = skip

    def before_train(self, runner: Runner) -> None:
        if not any(isinstance(hook, RuntimeInfoHook) for hook in runner.hooks):
            raise ConfigError('default_hooks.non_finite needs default_hooks.runtime_info, which reads its numbers')
        self._sizes: list[Tensor] = []  # (2,) each: largest weight and gradient of an update of the step
        # What follows is known of the steps whose numbers are read.
        self._batches: list[BatchSource] = []  # since the last update
        self._failures: list[str] = []  # of these batches
        self._without_update = 0
        self._skipped = runner.message_hub.get_info('skipped_batches', 0)
        for wrapper in _wrappers(runner):
            wrapper.optimizer.register_step_pre_hook(self._before_update)

    def _before_epoch(self, runner: Runner, mode: str = 'train') -> None:
        self.batch, self.loop = None, mode

    def _before_iter(self, runner: Runner, batch_idx: int, data_batch: Any = None, mode: str = 'train') -> None:
        self.batch, self.loop = data_batch, mode

    def after_val_iter(self, runner: Runner, batch_idx: int, data_batch: Any = None, outputs: Any = None) -> None:
        self.batch = None  # what fails from here on is the metric

    after_test_iter = after_val_iter

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
        losses = {name: value for name, value in (outputs or {}).items() if 'loss' in name}
        sizes = torch.stack(self._sizes).amax(0).unbind() if self._sizes else (0.0, 0.0)  # NaN if any is
        step = _Step(
            runner.iter + 1,
            tuple(losses),
            _rates(runner),
            BatchSource.of(data_batch),
            any(wrapper.should_update() for wrapper in _wrappers(runner)),
        )
        runner.readings.add([*losses.values(), *sizes], partial(self._judge, runner, step), pressing=self.skip > 0)
        self._count_updates(runner, bool(self._sizes))
        self._sizes.clear()

    def _judge(self, runner: Runner, step: _Step, numbers: Sequence[Number]) -> None:
        """End the training, or count what is left out, if the numbers of a step are not finite.

        Args:
            runner: in training, perhaps some steps later.
            step: the step, in their order.
            numbers: its losses, its largest weight and its largest gradient.
        """
        losses = dict(zip(step.losses, numbers, strict=False))
        weight, gradient = numbers[-2:]
        self._batches.append(step.batch)
        loss_fails = not all(map(math.isfinite, losses.values()))
        if loss_fails or not (self._failures or all(map(math.isfinite, (weight, gradient)))):
            suspects = self._batches[-1:] if loss_fails else self._batches
            failure = describe_failure(step, losses, weight, gradient, suspects)
            hints = hints_of(bare_model(runner)) if loss_fails and math.isfinite(weight) else []
            self._failures.append(' '.join([failure, *hints]))
            files = list(chain(*(batch.files for batch in suspects)))
            runner.logger.error(f'Not finite at iteration {step.iteration}: {files}')
        others_notice_later = self.skip or is_distributed()
        if self._failures and (step.ends_update or not others_notice_later):
            problem = ' '.join(self._failures)
            if not self.skip:
                raise NonFiniteError(f'{problem} {_what_stays(runner)} {_REMEDY}')
            self._skip(runner, problem)
        if step.ends_update:
            self._batches.clear()
            self._failures.clear()

    def after_train(self, runner: Runner) -> None:
        if broken := broken_tensors(bare_model(runner)):
            raise NonFiniteError(
                f'after the last update (learning rate {_name_rates(_rates(runner))}) {enumerate_names(broken)} '
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
                '--amp bfloat16'
            )


_REMEDY = (
    'Lower the learning rate (optim_wrapper.optimizer.lr), clip gradients '
    '(optim_wrapper.clip_grad.max_norm=1), look at the files, or leave out a few such updates: '
    'default_hooks.non_finite.skip=N.'
)


@dataclass(frozen=True)
class _Step:
    """A training step whose numbers are still to be read.

    Attributes:
        iteration: counted from 1.
        losses: their names.
        rates: all learning rates.
        batch: where its images came from.
        ends_update: whether it ends with an update, as every step does without gradient accumulation.
    """

    iteration: int
    losses: tuple[str, ...]
    rates: tuple[float, ...]
    batch: BatchSource
    ends_update: bool


def describe_failure(
    step: _Step, losses: dict[str, Number], weight: float, gradient: float, suspects: Sequence[BatchSource]
) -> str:
    """Sentences about a training step that failed.

    Args:
        step: the step.
        losses: by name; those that are not finite are named.
        weight: largest absolute value of the trained weights before the update.
        gradient: the same of the gradients.
        suspects: batches that may be the cause.
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
        f'iteration {step.iteration}: {", ".join(parts)}'
        + (f' (finite: {", ".join(finite)})' if finite else '')
        + f', with learning rate {_name_rates(step.rates)}; {_name_batches(suspects)}.'
    )


def _name_batches(batches: Sequence[BatchSource]) -> str:
    """The batch, or those of an update."""
    if len(batches) == 1:
        return batches[0].describe()
    names = enumerate_names(list(chain(*(batch.files for batch in batches))), 8)
    return f'{len(batches)} batches since the last update' + (f', files: {names}' if names else '')


def failure_before(runner: Runner) -> NonFiniteError | None:
    """The error of the first step that failed among those whose numbers are not read yet.

    Args:
        runner: in whose training another error has come up, which may be no more than a consequence.
    """
    try:
        runner.readings.read()
    except NonFiniteError as error:
        return error
    except RuntimeError:  # a device that has failed answers nothing
        return None
    return None


@contextmanager
def explaining_failures(runner: Runner) -> Iterator[None]:
    """An operation, or a metric, that meets NaN or infinity ends what is done with :func:`explain_failure`."""
    try:
        yield
    except FloatingPointError as error:
        raise explain_failure(runner, error) from error


def explain_failure(runner: Runner, error: FloatingPointError) -> NonFiniteError:
    """The error of a run in which an operation, or a metric, met NaN or infinity: in training before there was a loss,
    in a validation or in a test.
    """
    hook = next((hook for hook in runner.hooks if isinstance(hook, NonFiniteHook)), None)
    loop = 'train' if hook is None else hook.loop
    batch = f'; {BatchSource.of(hook.batch).describe()}' if hook is not None and hook.batch is not None else ''
    broken = broken_tensors(bare_model(runner))
    if getattr(runner, 'stop_request', None) is None:  # nothing is trained
        cause = [f'Of the model, {enumerate_names(broken, 3)} {_are(broken)} not finite.'] if broken else []
        where = dict(val='validation', test='test').get(loop, loop)
        return NonFiniteError(' '.join([f'{where}: {error}{batch}.', *(cause or hints_of(bare_model(runner)))]))
    if loop == 'train':
        where, rates = f'iteration {runner.iter + 1}', f', with learning rate {_name_rates(_rates(runner))}'
    else:
        where, rates = f'validation after iteration {runner.iter}', ''
    cause = [f'The update before it broke {enumerate_names(broken, 3)}.'] if broken else hints_of(bare_model(runner))
    return NonFiniteError(' '.join([f'{where}: {error}{rates}{batch}.', *cause, _what_stays(runner), _REMEDY]))


def _rates(runner: Runner) -> tuple[float, ...]:
    """All learning rates, ascending."""
    return tuple(sorted({group['lr'] for wrapper in _wrappers(runner) for group in wrapper.optimizer.param_groups}))


def _name_rates(rates: Sequence[float]) -> str:
    """Such as ``'1e-05 and 0.0001'``."""
    return ' and '.join(f'{rate:.4g}' for rate in rates)


def _what_stays(runner: Runner) -> str:
    last = runner.message_hub.get_info('last_ckpt')
    return f'The last checkpoint is {last}.' if last else 'No checkpoint was saved before.'


def _wrappers(runner: Runner) -> list[OptimWrapper]:
    return list(wrappers_by_name(runner.optim_wrapper).values())


def _are(names: list[str]) -> str:
    return 'is' if len(names) == 1 else 'are'
