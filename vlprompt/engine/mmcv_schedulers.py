"""Learning-rate policies of mmcv 1, with which DenseCLIP was trained, in closed form.

In mmengine a warm-up is a schedule of its own, and its rates differ from these by a step or by a percent.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from typing import Any

from vlprompt.engine.closed_form import ClosedFormLR
from vlprompt.registry import PARAM_SCHEDULERS


@PARAM_SCHEDULERS.register_module()
class WarmupPolyLR(ClosedFormLR):
    r"""Polynomial decay multiplied by a linear warm-up: mmcv's "poly" policy, with which DenseCLIP was trained.

    With :math:`T` = ``T_max``, :math:`m` = ``eta_min``, :math:`W` = ``warmup``, :math:`\rho` = ``warmup_ratio`` and
    a group's own rate :math:`\eta`, in step :math:`t = 0, 1, \dots`:

    .. math::
        \eta_t = \bigl[(\eta - m)(1 - t/T)^{power} + m\bigr] \cdot
        \bigl[1 - (1 - t/W)(1 - \rho)\bigr]_{t < W}

    The decay begins at step 0 and the warm-up multiplies it; mmengine's ``LinearLR`` followed by ``PolyLR`` peaks up
    to 1.7 % higher.  :math:`m` is an absolute rate: a group whose own rate is below it *rises* to it, and one of rate
    0 is trained after all.

    Args:
        optimizer: optimizer or wrapper whose groups are scheduled.
        T_max: steps of the decay.
        power: its exponent.
        eta_min: the rate at its end, for every group.
        warmup: steps of the warm-up, 0 for none.
        warmup_ratio: factor at step 0.
        begin: step at which the schedule starts.
        end: step at which it stops; the rate stays afterwards.
        last_step: index of the last step.
        by_epoch: steps are epochs; else iterations.
        verbose: print every value.
    """

    def __init__(
        self,
        optimizer: Any,
        T_max: int,
        power: float = 0.9,
        eta_min: float = 0.0,
        warmup: int = 0,
        warmup_ratio: float = 1e-6,
        begin: int = 0,
        end: int = int(1e9),
        last_step: int = -1,
        by_epoch: bool = True,
        verbose: bool = False,
    ) -> None:
        if T_max <= 0 or warmup < 0:
            raise ValueError(f'WarmupPolyLR: T_max={T_max} must be positive and warmup={warmup} >= 0')
        self.T_max, self.power, self.eta_min = T_max, power, eta_min
        self.warmup, self.warmup_ratio = warmup, warmup_ratio
        super().__init__(optimizer, 'lr', begin, end, last_step, by_epoch, verbose)

    def _get_value(self) -> list[float]:
        """Rate of each group at ``self.last_step``."""
        step = self.last_step
        decay = (1 - min(step, self.T_max) / self.T_max) ** self.power
        warm = 1 - (1 - step / self.warmup) * (1 - self.warmup_ratio) if step < self.warmup else 1.0
        return [((base - self.eta_min) * decay + self.eta_min) * warm for base in self.base_values]


@PARAM_SCHEDULERS.register_module()
class WarmupStepLR(ClosedFormLR):
    r"""Steps down at milestones, multiplied by a linear warm-up: mmcv's "step" policy, mmdet's 1x schedule.

    With the milestones :math:`m_i`, :math:`W` = ``warmup``, :math:`\rho` = ``warmup_ratio`` and a group's own rate
    :math:`\eta`, in step :math:`t = 0, 1, \dots`:

    .. math::
        \eta_t = \eta \cdot \gamma^{|\{i : m_i \le t\}|} \cdot \bigl[1 - (1 - t/W)(1 - \rho)\bigr]_{t < W}

    mmengine's ``LinearLR`` of the same length reaches the full rate one step earlier.

    Args:
        optimizer: optimizer or wrapper whose groups are scheduled.
        milestones: steps; epochs with ``by_epoch``.
        gamma: factor at each milestone.
        warmup: iterations of the warm-up, 0 for none.
        warmup_ratio: factor at step 0.
        begin: step at which the schedule starts.
        end: step at which it stops; the rate stays afterwards.
        last_step: index of the last step.
        by_epoch: steps are epochs; else iterations.  Milestones in epochs and a warm-up in iterations go together by
            ``convert_to_iter_based=True``.
        verbose: print every value.

    Raises:
        ValueError: a negative warm-up, or one with steps that are epochs.
    """

    def __init__(
        self,
        optimizer: Any,
        milestones: Sequence[int],
        gamma: float = 0.1,
        warmup: int = 0,
        warmup_ratio: float = 1e-3,
        begin: int = 0,
        end: int = int(1e9),
        last_step: int = -1,
        by_epoch: bool = True,
        verbose: bool = False,
    ) -> None:
        if warmup < 0 or (by_epoch and warmup):
            raise ValueError(
                f'WarmupStepLR: warmup={warmup} counts iterations and must be >= 0; with milestones in epochs set '
                'convert_to_iter_based=True'
            )
        self.milestones, self.gamma = sorted(milestones), gamma
        self.warmup, self.warmup_ratio = warmup, warmup_ratio
        super().__init__(optimizer, 'lr', begin, end, last_step, by_epoch, verbose)

    @classmethod
    def build_iter_from_epoch(
        cls,
        optimizer: Any,
        milestones: Sequence[int],
        epoch_length: int,
        **kwargs: Any,
    ) -> WarmupStepLR:
        """Milestones in epochs of ``epoch_length`` iterations, warm-up in iterations."""
        milestones = [epoch * epoch_length for epoch in milestones]
        return cls.in_iterations(optimizer, epoch_length, milestones=milestones, **kwargs)

    def _get_value(self) -> list[float]:
        """Rate of each group at ``self.last_step``."""
        step = self.last_step
        warm = 1 - (1 - step / self.warmup) * (1 - self.warmup_ratio) if step < self.warmup else 1.0
        factor = self.gamma ** bisect_right(self.milestones, step) * warm
        return [base * factor for base in self.base_values]
