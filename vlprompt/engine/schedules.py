"""Learning-rate schedules as the methods were published, in closed form.

mmengine's own ``LinearLR``, ``CosineAnnealingLR`` and ``PolyLR`` count from 0, update recursively and have warm-up only
as a separate schedule, so their rates differ from the published ones by a step or by a percent.  Here the rate is a
function of the step alone, and resuming cannot drift.
"""

from __future__ import annotations

import inspect
import logging
from bisect import bisect_right
from collections.abc import Mapping, Sequence
from functools import cache
from math import cos, pi
from typing import Any

from mmengine.logging import print_log
from mmengine.optim.scheduler.param_scheduler import _ParamScheduler

from vlprompt.registry import PARAM_SCHEDULERS

FOREVER = int(1e9)  # mmengine's ``end`` of a schedule that does not end


class ClosedFormLR(_ParamScheduler):
    r"""A schedule that computes rates from the step alone: subclasses define :meth:`rate`.

    Subclasses take the arguments below as ``**schedule``.  In their formulas :math:`\eta` is a group's own rate,
    :math:`T` = ``T_max``, :math:`m` = ``eta_min``, :math:`W` = ``warmup`` and :math:`\rho` = ``warmup_ratio``.

    Args:
        optimizer: optimizer or wrapper whose groups are scheduled.
        T_max: steps of the decay; None: the length of training, which :func:`follow_training_length` must fill in
            before the schedule is built.  Schedules with milestones have no ``T_max``.
        warmup, warmup_ratio: steps of the warm-up, 0 for none, and the factor at its step 0, where a schedule has them.
        begin: step at which the schedule starts.
        end: step at which it stops; the rate stays afterwards.
        last_step: index of the last step.
        by_epoch: steps are epochs; else iterations.  With ``convert_to_iter_based=True`` in its config, a schedule
            written in epochs changes the rate at every iteration.
        verbose: print every value.

    Raises:
        ValueError: ``T_max`` is missing or not positive, a warm-up is negative or counts iterations beside milestones
            in epochs, milestones do not ascend.
    """

    counted: tuple[str, ...] = ()
    """Arguments that count steps, besides ``begin`` and ``end``; attributes of the same name."""

    first = 0
    """Number of the first step in the formula."""

    def __init__(
        self,
        optimizer: Any,
        begin: int = 0,
        end: int = FOREVER,
        last_step: int = -1,
        by_epoch: bool = True,
        verbose: bool = False,
    ) -> None:
        self.by_epoch = by_epoch
        try:
            self.check()
        except ValueError as error:
            raise ValueError(f'{type(self).__name__}: {error}') from None
        super().__init__(optimizer, 'lr', begin, end, last_step, by_epoch, verbose)

    def check(self) -> None:
        """Raise a ValueError for invalid arguments."""
        for name in self.counted:
            steps = getattr(self, name)
            if steps is None:
                unit = 'max_epochs' if self.by_epoch else 'max_iters'
                raise ValueError(f'{name} is not set, and there is no train_cfg.{unit} that it could follow: set it')
            if name == 'milestones' and list(steps) != sorted(steps):
                raise ValueError(f'milestones={list(steps)} must ascend')
            if name != 'milestones' and steps < (name == 'T_max'):
                raise ValueError(f'{name}={steps} must be {"positive" if name == "T_max" else ">= 0"}')

    def rate(self, step: int, base: float) -> float:
        """Rate at ``step``, counted from 0, of a group whose own rate is ``base``."""
        raise NotImplementedError

    def _get_value(self) -> list[float]:
        """Rate of each group at ``self.last_step``."""
        return [self.rate(self.last_step, base) for base in self.base_values]

    @classmethod
    def build_iter_from_epoch(
        cls,
        optimizer: Any,
        epoch_length: int,
        begin: int = 0,
        end: int = FOREVER,
        by_epoch: bool = True,
        **options: Any,
    ) -> ClosedFormLR:
        """The same schedule counted in iterations, ``epoch_length`` per epoch (for ``convert_to_iter_based``).

        Raises:
            ValueError: the config already counts iterations.
        """
        if not by_epoch:
            raise ValueError(f'{cls.__name__}: convert_to_iter_based needs by_epoch=True')
        parameters = inspect.signature(cls).parameters
        for name in cls.counted:
            steps = options.get(name, parameters[name].default)
            if isinstance(steps, Sequence):
                options[name] = [step * epoch_length for step in steps]
            elif steps is not None:
                options[name] = steps * epoch_length
        end = min(end * epoch_length, FOREVER)
        return cls(optimizer, begin=begin * epoch_length, end=end, by_epoch=False, **options)

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Continue at the stored step, which determines the rate, even past the end of the stored run."""
        super().load_state_dict(state_dict)
        if self.begin <= self._global_step < self.end:
            self.last_step = self._global_step - self.begin
            for group, value in zip(self.optimizer.param_groups, self._get_value(), strict=True):
                group['lr'] = value


@PARAM_SCHEDULERS.register_module()
class WarmupCosineLR(ClosedFormLR):
    r"""Constant warm-up followed by half a cosine, the schedule of CoOp and the methods built on its code.

    With :math:`w` = ``warmup_epochs``, in epoch :math:`e = 0, 1, \dots`:

    .. math::
        \eta_e = \text{warmup_lr} \quad (e < w), \qquad
        \eta_e = \tfrac{\eta}{2} \bigl(1 + \cos(\pi (e - w) / T)\bigr) \quad (e \ge w)

    The period stays :math:`T` although the cosine starts only after the warm-up, so the rate does not reach zero:
    the last of 50 epochs runs at 0.4 % of it.

    Args:
        T_max: period of the cosine, in published recipes the number of epochs.
        warmup_epochs: epochs at ``warmup_lr``; 0 for none.
        warmup_lr: rate of *every* group during the warm-up, whatever its own.
        recount: restart counting after the warm-up, as above.  False gives the variant whose counter keeps running,
            :math:`\eta (1 + \cos(\pi e / T)) / (1 + \cos(\pi w / T))`.
    """

    counted = ('T_max', 'warmup_epochs')

    def __init__(
        self,
        optimizer: Any,
        T_max: int | None = None,
        warmup_epochs: int = 1,
        warmup_lr: float = 1e-5,
        recount: bool = True,
        **schedule: Any,
    ) -> None:
        self.T_max, self.warmup_epochs, self.warmup_lr, self.recount = T_max, warmup_epochs, warmup_lr, recount
        super().__init__(optimizer, **schedule)

    def check(self) -> None:
        super().check()
        if not self.recount and self.warmup_epochs >= self.T_max:
            raise ValueError(f'without recount, warmup_epochs={self.warmup_epochs} must be below T_max={self.T_max}')

    def rate(self, step: int, base: float) -> float:
        warmup = self.warmup_epochs
        if step < warmup:
            return self.warmup_lr
        if self.recount:
            return base * (0.5 * (1 + cos(pi * (step - warmup) / self.T_max)))
        return base * ((1 + cos(pi * step / self.T_max)) / (1 + cos(pi * warmup / self.T_max)))


@PARAM_SCHEDULERS.register_module()
class LinearWarmupCosineLR(ClosedFormLR):
    r"""Linear warm-up and half a cosine: the first phase of CLIP-ReID, LPT, VPT.

    In step :math:`t = f, f + 1, \dots` with :math:`f` = ``first``:

    .. math::
        \eta_t = \text{warmup_lr} + \tfrac{t}{W} (\eta - \text{warmup_lr}) \quad (t < W), \qquad
        \eta_t = m + \tfrac12 (\eta - m) (1 + \cos(\pi t / T)) \quad (t \ge W)

    The cosine has begun at step 0, so the rate drops a little where the warm-up ends; at :math:`t = T` it is
    ``eta_min``.  With ``restart`` it begins there instead: :math:`(t - W) / (T - W)` takes the place of :math:`t / T`.

    * CLIP-ReID's first phase: ``first=1``
    * LPT: ``first=0, warmup=1, warmup_lr=1e-6, eta_min=0``
    * VPT: ``first=0, warmup=10, warmup_lr=0, eta_min=0, restart=True``

    The last two run their first epoch at (almost) zero.  ``convert_to_iter_based=True`` counts everything in
    iterations, and the rate rises within that epoch.

    Args:
        T_max: steps of the cosine, in published recipes the number of epochs.
        warmup_lr: rate at step 0, for every group.
        eta_min: rate at the end, for every group.
        first: number of the first step.
        restart: begin the cosine where the warm-up ends.
    """

    counted = ('T_max', 'warmup')

    def __init__(
        self,
        optimizer: Any,
        T_max: int | None = None,
        warmup: int = 5,
        warmup_lr: float = 1e-5,
        eta_min: float = 1e-6,
        first: int = 1,
        restart: bool = False,
        **schedule: Any,
    ) -> None:
        self.T_max, self.warmup, self.warmup_lr, self.eta_min = T_max, warmup, warmup_lr, eta_min
        self.first, self.restart = first, restart
        super().__init__(optimizer, **schedule)

    def check(self) -> None:
        super().check()
        if self.restart and self.warmup >= self.T_max:
            raise ValueError(f'to restart, warmup={self.warmup} must be below T_max={self.T_max}')

    def rate(self, step: int, base: float) -> float:
        t = step + self.first
        if t < self.warmup:
            return self.warmup_lr + t * (base - self.warmup_lr) / self.warmup
        skipped = self.warmup if self.restart else 0
        part = (min(t, self.T_max) - skipped) / (self.T_max - skipped)
        half = 0.5 * (1 + cos(pi * part))
        return self.eta_min + (base - self.eta_min) * half


@PARAM_SCHEDULERS.register_module()
class EpochWarmupStepLR(ClosedFormLR):
    r"""Steps down at milestones, after a linear warm-up, counted from 1: the second phase of CLIP-ReID.

    With :math:`w` = ``warmup_factor``, in step :math:`e = 1, 2, \dots`, the factor of :math:`\eta` is

    .. math::
        \bigl[w (1 - e/W) + e/W\bigr]_{e < W} \cdot \gamma^{|\{m \in \text{milestones} : m \le e\}|}

    Args:
        milestones: steps from which on the rate is multiplied by ``gamma`` once more.
        gamma: that factor.
        warmup_factor: factor at step 0, which is before the first.
    """

    counted = ('milestones', 'warmup')
    first = 1

    def __init__(
        self,
        optimizer: Any,
        milestones: Sequence[int],
        gamma: float = 0.1,
        warmup: int = 10,
        warmup_factor: float = 0.01,
        **schedule: Any,
    ) -> None:
        self.milestones, self.gamma = list(milestones), gamma
        self.warmup, self.warmup_factor = warmup, warmup_factor
        super().__init__(optimizer, **schedule)

    def rate(self, step: int, base: float) -> float:
        e = step + 1
        warm = self.warmup_factor * (1 - e / self.warmup) + e / self.warmup if e < self.warmup else 1.0
        return base * (warm * self.gamma ** bisect_right(self.milestones, e))


@PARAM_SCHEDULERS.register_module()
class WarmupPolyLR(ClosedFormLR):
    r"""Polynomial decay multiplied by a linear warm-up: mmcv 1's "poly" policy, with which DenseCLIP was trained.

    In step :math:`t = 0, 1, \dots`:

    .. math::
        \eta_t = \bigl[(\eta - m)(1 - t/T)^{power} + m\bigr] \cdot
        \bigl[1 - (1 - t/W)(1 - \rho)\bigr]_{t < W}

    The decay begins at step 0 and the warm-up multiplies it; mmengine's ``LinearLR`` followed by ``PolyLR`` peaks up
    to 1.7 % higher.  :math:`m` is an absolute rate: a group whose own rate is below it *rises* to it, and one of rate
    0 is trained after all.

    Args:
        power: exponent of the decay.
        eta_min: the rate at its end, for every group.
    """

    counted = ('T_max', 'warmup')

    def __init__(
        self,
        optimizer: Any,
        T_max: int | None = None,
        power: float = 0.9,
        eta_min: float = 0.0,
        warmup: int = 0,
        warmup_ratio: float = 1e-6,
        **schedule: Any,
    ) -> None:
        self.T_max, self.power, self.eta_min = T_max, power, eta_min
        self.warmup, self.warmup_ratio = warmup, warmup_ratio
        super().__init__(optimizer, **schedule)

    def rate(self, step: int, base: float) -> float:
        decay = (1 - min(step, self.T_max) / self.T_max) ** self.power
        return ((base - self.eta_min) * decay + self.eta_min) * _linear(step, self.warmup, self.warmup_ratio)


@PARAM_SCHEDULERS.register_module()
class WarmupStepLR(ClosedFormLR):
    r"""Steps down at milestones, multiplied by a linear warm-up: mmcv 1's "step" policy, mmdet's 1x schedule.

    With the milestones :math:`m_i`, in step :math:`t = 0, 1, \dots`:

    .. math::
        \eta_t = \eta \cdot \gamma^{|\{i : m_i \le t\}|} \cdot \bigl[1 - (1 - t/W)(1 - \rho)\bigr]_{t < W}

    mmengine's ``LinearLR`` of the same length reaches the full rate one step earlier.

    Args:
        milestones: steps; epochs with ``by_epoch``.
        gamma: factor at each milestone.
        warmup: *iterations* of the warm-up, 0 for none.  Milestones in epochs and a warm-up in iterations go together
            by ``convert_to_iter_based=True``.
    """

    counted = ('milestones',)

    def __init__(
        self,
        optimizer: Any,
        milestones: Sequence[int],
        gamma: float = 0.1,
        warmup: int = 0,
        warmup_ratio: float = 1e-3,
        **schedule: Any,
    ) -> None:
        self.milestones, self.gamma = list(milestones), gamma
        self.warmup, self.warmup_ratio = warmup, warmup_ratio
        super().__init__(optimizer, **schedule)

    def check(self) -> None:
        super().check()
        if self.warmup < 0 or (self.by_epoch and self.warmup):
            raise ValueError(
                f'warmup={self.warmup} counts iterations and must be >= 0; with milestones in epochs set '
                'convert_to_iter_based=True'
            )

    def rate(self, step: int, base: float) -> float:
        factor = self.gamma ** bisect_right(self.milestones, step) * _linear(step, self.warmup, self.warmup_ratio)
        return base * factor


def _linear(step: int, warmup: int, ratio: float) -> float:
    """Factor of mmcv's linear warm-up: ``ratio`` at step 0, 1 from step ``warmup`` on."""
    return 1 - (1 - step / warmup) * (1 - ratio) if step < warmup else 1.0


def follow_training_length(param_scheduler: Any, train_cfg: Mapping[str, Any] | None) -> None:
    """Complete the schedules of a config in place: a missing ``T_max`` becomes the length of training.

    That is ``max_epochs`` for a schedule by epoch and ``max_iters`` for one by iteration, minus the steps before its
    ``begin`` or after its ``end``.  A ``T_max`` that is given and differs, and milestones that training never reaches,
    are kept with a warning.

    Args:
        param_scheduler: ``param_scheduler`` of a config of one phase: a dict with a type, a list of those, a dict of
            lists by optimizer, or None.
        train_cfg: ``train_cfg`` of the same config.
    """
    for key, schedule in _schedules('param_scheduler', param_scheduler):
        target = PARAM_SCHEDULERS.get(schedule['type']) if isinstance(schedule['type'], str) else schedule['type']
        unit = 'max_epochs' if schedule.get('by_epoch', True) else 'max_iters'
        total = (train_cfg or {}).get(unit)
        if not isinstance(total, int) or total < 1:  # absent, or a mistake that the check of values names
            continue
        length = min(schedule.get('end') or FOREVER, total) - (schedule.get('begin') or 0)
        if 'T_max' in getattr(target, 'counted', ()) and schedule.get('T_max') is None:
            schedule['T_max'] = length
        problems = []
        if schedule.get('T_max', length) != length:
            problems.append(f'{key}.T_max={schedule["T_max"]} (leave it out to follow)')
        first = schedule.get('first', getattr(target, 'first', 0))
        if unreached := [step for step in schedule.get('milestones') or () if step - first >= length]:
            problems.append(f'{key}.milestones={schedule["milestones"]} ({unreached} are never reached)')
        for name in ('warmup', 'warmup_epochs', 'warmup_iters', 'end'):
            steps = schedule.get(name)
            if isinstance(steps, int) and steps not in (FOREVER, 0) and steps > total:
                problems.append(f'{key}.{name}={steps} (training ends before)')
        for problem in problems:
            _say_once(f'The length of training, train_cfg.{unit}={total}, does not match {problem}.')


@cache
def _say_once(message: str) -> None:
    """Log a warning; configs are completed when they are read, and again by the runner."""
    print_log(message, logger='current', level=logging.WARNING)


def _schedules(key: str, node: Any) -> list[tuple[str, Any]]:
    """Dotted keys and dicts of all schedules below a config node."""
    if isinstance(node, Mapping) and 'type' in node:
        return [(key, node)]
    if not isinstance(node, (Mapping, list, tuple)):
        return []
    items = node.items() if isinstance(node, Mapping) else enumerate(node)
    return [found for name, below in items for found in _schedules(f'{key}.{name}', below)]
