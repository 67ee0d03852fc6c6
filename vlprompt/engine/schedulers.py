"""Learning-rate schedules as the methods were published, in closed form.

mmengine's own ``LinearLR`` and ``CosineAnnealingLR`` count from 0 and update recursively, which shifts published
schedules.  Here the value at a step is a function of the step alone, so resuming cannot drift.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from math import cos, pi
from typing import Any

from vlprompt.engine.closed_form import ClosedFormLR
from vlprompt.registry import PARAM_SCHEDULERS


@PARAM_SCHEDULERS.register_module()
class WarmupCosineLR(ClosedFormLR):
    r"""Constant warm-up followed by half a cosine, the schedule of CoOp and the methods built on its code.

    With :math:`E` = ``T_max``, :math:`w` = ``warmup_epochs`` and a group's own rate :math:`\eta`, in epoch
    :math:`e = 0, 1, \dots`:

    .. math::
        \eta_e = \text{warmup_lr} \quad (e < w), \qquad
        \eta_e = \tfrac{\eta}{2} \bigl(1 + \cos(\pi (e - w) / E)\bigr) \quad (e \ge w)

    The period stays :math:`E` although the cosine starts only after the warm-up, so the rate does not reach zero:
    the last of 50 epochs runs at 0.4 % of it.

    Args:
        optimizer: optimizer or wrapper whose groups are scheduled.
        T_max: period of the cosine, in published recipes the number of epochs.
        warmup_epochs: epochs at ``warmup_lr``; 0 for none.
        warmup_lr: rate of *every* group during the warm-up, whatever its own.
        recount: restart counting after the warm-up, as above.  False gives the variant whose counter keeps running,
            :math:`\eta (1 + \cos(\pi e / E)) / (1 + \cos(\pi w / E))`.
        begin: step at which the schedule starts.
        end: step at which it stops; the rate stays afterwards.
        last_step: index of the last step.
        by_epoch: steps are epochs; else iterations, in which case ``T_max`` and ``warmup_epochs`` are counted in
            them too (``convert_to_iter_based=True`` does that conversion).
        verbose: print every value.

    Example:
        >>> optimizer = torch.optim.SGD([nn.Parameter(torch.zeros(1))], lr=2e-3)
        >>> schedule = WarmupCosineLR(optimizer, T_max=50)
        >>> optimizer.param_groups[0]['lr']
        1e-05
    """

    def __init__(
        self,
        optimizer: Any,
        T_max: int,
        warmup_epochs: int = 1,
        warmup_lr: float = 1e-5,
        recount: bool = True,
        begin: int = 0,
        end: int = int(1e9),
        last_step: int = -1,
        by_epoch: bool = True,
        verbose: bool = False,
    ) -> None:
        if T_max <= 0 or warmup_epochs < 0:
            raise ValueError(f'WarmupCosineLR: T_max={T_max} must be positive and warmup_epochs={warmup_epochs} >= 0')
        if not recount and warmup_epochs >= T_max:
            raise ValueError(
                f'WarmupCosineLR: without recount, warmup_epochs={warmup_epochs} must be below T_max={T_max}'
            )
        self.T_max = T_max
        self.warmup_epochs = warmup_epochs
        self.warmup_lr = warmup_lr
        self.recount = recount
        super().__init__(optimizer, 'lr', begin, end, last_step, by_epoch, verbose)

    @classmethod
    def build_iter_from_epoch(
        cls,
        optimizer: Any,
        T_max: int,
        epoch_length: int,
        warmup_epochs: int = 1,
        **kwargs: Any,
    ) -> WarmupCosineLR:
        """The same schedule counted in iterations, ``epoch_length`` per epoch (for ``convert_to_iter_based``)."""
        counted = dict(T_max=T_max * epoch_length, warmup_epochs=warmup_epochs * epoch_length)
        return cls.in_iterations(optimizer, epoch_length, **counted, **kwargs)

    def _get_value(self) -> list[float]:
        """Rate of each group at ``self.last_step``."""
        step, warmup = self.last_step, self.warmup_epochs
        if step < warmup:
            return [self.warmup_lr for _ in self.base_values]
        if self.recount:
            factor = 0.5 * (1 + cos(pi * (step - warmup) / self.T_max))
        else:
            factor = (1 + cos(pi * step / self.T_max)) / (1 + cos(pi * warmup / self.T_max))
        return [base * factor for base in self.base_values]


@PARAM_SCHEDULERS.register_module()
class LinearWarmupCosineLR(ClosedFormLR):
    r"""Linear warm-up and half a cosine: the first stage of CLIP-ReID, LPT, VPT.

    With :math:`T` = ``T_max``, :math:`W` = ``warmup``, a group's own rate :math:`\eta`, in step
    :math:`t = f, f + 1, \dots` with :math:`f` = ``first``:

    .. math::
        \eta_t = \text{warmup_lr} + \tfrac{t}{W} (\eta - \text{warmup_lr}) \quad (t < W), \qquad
        \eta_t = m + \tfrac12 (\eta - m) (1 + \cos(\pi t / T)) \quad (t \ge W), \quad m = \text{eta_min}

    The cosine has begun at step 0, so the rate drops a little where the warm-up ends; at :math:`t = T` it is
    ``eta_min``.  With ``restart`` it begins there instead: :math:`(t - W) / (T - W)` takes the place of :math:`t / T`.

    ======================  ============================================================
    CLIP-ReID's first stage ``first=1``
    LPT                     ``first=0, warmup=1, warmup_lr=1e-6, eta_min=0``
    VPT                     ``first=0, warmup=10, warmup_lr=0, eta_min=0, restart=True``
    ======================  ============================================================

    The last two run their first epoch at (almost) zero.  ``convert_to_iter_based=True`` counts everything in
    iterations, and the rate rises within that epoch.

    Args:
        optimizer: optimizer or wrapper whose groups are scheduled.
        T_max: steps of the cosine, in published recipes the number of epochs.
        warmup: steps of the warm-up, 0 for none.
        warmup_lr: rate at step 0, for every group.
        eta_min: rate at the end, for every group.
        first: number of the first step.
        restart: begin the cosine where the warm-up ends.
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
        warmup: int = 5,
        warmup_lr: float = 1e-5,
        eta_min: float = 1e-6,
        first: int = 1,
        restart: bool = False,
        begin: int = 0,
        end: int = int(1e9),
        last_step: int = -1,
        by_epoch: bool = True,
        verbose: bool = False,
    ) -> None:
        if T_max <= 0 or warmup < 0 or (restart and warmup >= T_max):
            raise ValueError(
                f'LinearWarmupCosineLR: T_max={T_max} must be positive and warmup={warmup} >= 0, below T_max to restart'
            )
        self.T_max, self.warmup, self.warmup_lr, self.eta_min = T_max, warmup, warmup_lr, eta_min
        self.first, self.restart = first, restart
        super().__init__(optimizer, 'lr', begin, end, last_step, by_epoch, verbose)

    @classmethod
    def build_iter_from_epoch(
        cls,
        optimizer: Any,
        T_max: int,
        epoch_length: int,
        warmup: int = 5,
        **kwargs: Any,
    ) -> LinearWarmupCosineLR:
        """The same schedule counted in iterations, ``epoch_length`` per epoch (for ``convert_to_iter_based``)."""
        counted = dict(T_max=T_max * epoch_length, warmup=warmup * epoch_length)
        return cls.in_iterations(optimizer, epoch_length, **counted, **kwargs)

    def _get_value(self) -> list[float]:
        """Rate of each group at ``self.last_step``, which counts from 0."""
        t = self.last_step + self.first
        if t < self.warmup:
            return [self.warmup_lr + t * (base - self.warmup_lr) / self.warmup for base in self.base_values]
        skipped = self.warmup if self.restart else 0
        part = (min(t, self.T_max) - skipped) / (self.T_max - skipped)
        half = 0.5 * (1 + cos(pi * part))
        return [self.eta_min + (base - self.eta_min) * half for base in self.base_values]


@PARAM_SCHEDULERS.register_module()
class EpochWarmupStepLR(ClosedFormLR):
    r"""Steps down at milestones, after a linear warm-up, counted from 1: the second stage of CLIP-ReID.

    With :math:`W` = ``warmup``, :math:`w` = ``warmup_factor``, in step :math:`e = 1, 2, \dots` (the first epoch is 1),
    a group's own rate is multiplied by

    .. math::
        \bigl[w (1 - e/W) + e/W\bigr]_{e < W} \cdot \gamma^{|\{m \in \text{milestones} : m \le e\}|}

    Args:
        optimizer: optimizer or wrapper whose groups are scheduled.
        milestones: steps from which on the rate is multiplied by ``gamma`` once more.
        gamma: that factor.
        warmup: steps of the warm-up, 0 for none.
        warmup_factor: factor at step 0, which is before the first.
        begin: step at which the schedule starts.
        end: step at which it stops; the rate stays afterwards.
        last_step: index of the last step.
        by_epoch: steps are epochs; else iterations.
        verbose: print every value.
    """

    def __init__(
        self,
        optimizer: Any,
        milestones: Sequence[int],
        gamma: float = 0.1,
        warmup: int = 10,
        warmup_factor: float = 0.01,
        begin: int = 0,
        end: int = int(1e9),
        last_step: int = -1,
        by_epoch: bool = True,
        verbose: bool = False,
    ) -> None:
        if list(milestones) != sorted(milestones) or warmup < 0:
            raise ValueError(f'EpochWarmupStepLR: milestones {list(milestones)} must ascend and warmup={warmup} >= 0')
        self.milestones, self.gamma = list(milestones), gamma
        self.warmup, self.warmup_factor = warmup, warmup_factor
        super().__init__(optimizer, 'lr', begin, end, last_step, by_epoch, verbose)

    def _get_value(self) -> list[float]:
        """Rate of each group at ``self.last_step``, which counts from 0."""
        e = self.last_step + 1
        warm = self.warmup_factor * (1 - e / self.warmup) + e / self.warmup if e < self.warmup else 1.0
        factor = warm * self.gamma ** bisect_right(self.milestones, e)
        return [base * factor for base in self.base_values]
