"""What a run tells its log and its other parts, without a wait for the device in every step."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

from mmengine.hooks import LoggerHook
from mmengine.hooks import RuntimeInfoHook as _RuntimeInfoHook
from mmengine.runner import Runner
from torch import Tensor

from vlprompt.engine.hooks.data import bare_model
from vlprompt.engine.optimizer import wrappers_by_name
from vlprompt.engine.readings import Number
from vlprompt.registry import HOOKS


@HOOKS.register_module()
class RuntimeInfoHook(_RuntimeInfoHook):
    """mmengine's ``RuntimeInfoHook``, which reads what training steps return, and norms of clipped gradients, in one
    copy for many steps.

    mmengine reads each of these numbers in its own step, which waits for the device each time.  Here they stay on the
    device (:class:`~vlprompt.engine.readings.Readings`) until someone looks: before a line of the log, at the end of an
    epoch, before a validation, before anything is saved, and at the end.  The message hub then receives them in the
    order of the steps, so that log, smoothed values and what a resumed run goes on with are the same.  A hook of your
    own that looks at ``train/...`` at other times calls ``runner.readings.read()`` before.

    The first step of a run is read at once, since the log names its numbers in the order of their arrival.  All
    processes of a distributed run read after the same steps.

    Args:
        read_every: number of steps after which they are read at the latest.  None: 1 on a CPU, where reading costs
            nothing; elsewhere the interval of the ``LoggerHook``.

    Raises:
        ValueError: ``read_every`` is not positive.
    """

    def __init__(self, read_every: int | None = None) -> None:
        if read_every is not None and read_every < 1:
            raise ValueError(f'RuntimeInfoHook: read_every must be at least 1, got {read_every}')
        self.read_every = read_every

    def before_train(self, runner: Runner) -> None:
        super().before_train(runner)
        self._unread, self._first = 0, True
        self._norms: list[tuple[str, Tensor]] = []
        self._logged = [hook.interval for hook in runner.hooks if isinstance(hook, LoggerHook)]
        on_cpu = next(bare_model(runner).parameters()).device.type == 'cpu'
        self._most = self.read_every or (1 if on_cpu else min(self._logged, default=10))
        for wrapper in wrappers_by_name(runner.optim_wrapper).values():
            if wrapper.clip_grad_kwargs:
                clip = getattr(wrapper.clip_func, 'clip', wrapper.clip_func)  # of an earlier training
                wrapper.clip_func = _KeptNorm(clip, wrapper.grad_name, self._norms)

    def after_train_iter(
        self, runner: Runner, batch_idx: int, data_batch: Any = None, outputs: dict[str, Tensor] | None = None
    ) -> None:
        numbers = [*self._norms, *(outputs or {}).items()]
        self._norms.clear()
        names, values = [name for name, _ in numbers], [value for _, value in numbers]
        runner.readings.add(values, partial(self._tell, runner, names), pressing=self._first)
        self._unread += 1
        self._first = False
        if runner.readings.pressing or self._unread >= self._most or self._is_logged(runner, batch_idx):
            runner.readings.read()

    def after_train_epoch(self, runner: Runner) -> None:
        runner.readings.read()

    def before_val(self, runner: Runner) -> None:
        runner.readings.read()
        super().before_val(runner)

    def after_train(self, runner: Runner) -> None:
        runner.readings.read()
        super().after_train(runner)

    def _tell(self, runner: Runner, names: Sequence[str], values: Sequence[Number]) -> None:
        """Put the numbers of a step into the message hub."""
        self._unread -= 1
        for name, value in zip(names, values, strict=True):
            runner.message_hub.update_scalar(f'train/{name}', value)

    def _is_logged(self, runner: Runner, batch_idx: int) -> bool:
        """Whether a line of the log may follow this step."""
        within = any(self.every_n_inner_iters(batch_idx, interval) for interval in self._logged)
        return within or self.end_of_epoch(runner.train_dataloader, batch_idx)


class _KeptNorm:
    """A function that clips gradients and returns nothing; the norm, or what else it returned, waits to be read.

    mmengine's optimizer wrappers read what it returns in every update.

    Args:
        clip: the function.
        name: of what it returns, in the log.
        norms: where this is put.
    """

    def __init__(self, clip: Callable[..., Tensor | None], name: str, norms: list[tuple[str, Tensor]]) -> None:
        self.clip, self.name, self.norms = clip, name, norms

    def __call__(self, *args: Any, **kwargs: Any) -> None:
        norm = self.clip(*args, **kwargs)
        if norm is not None:
            self.norms.append((self.name, norm))
