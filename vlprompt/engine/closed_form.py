"""What schedules whose rate is a function of the step alone have in common."""

from __future__ import annotations

from typing import Any

from mmengine.optim.scheduler.param_scheduler import _ParamScheduler


class ClosedFormLR(_ParamScheduler):
    """A schedule that computes rates from ``self.last_step``, so resuming cannot drift."""

    @classmethod
    def in_iterations(
        cls,
        optimizer: Any,
        epoch_length: int,
        begin: int = 0,
        end: int = int(1e9),
        by_epoch: bool = True,
        **counted: Any,
    ) -> ClosedFormLR:
        """A schedule written in epochs, for ``build_iter_from_epoch``: ``begin`` and ``end`` in iterations.

        Args:
            optimizer: optimizer or wrapper whose groups are scheduled.
            epoch_length: iterations of an epoch.
            begin: epoch at which the schedule starts.
            end: epoch at which it stops.
            by_epoch: whether the config counts epochs.
            counted: the other arguments of the schedule, those that count steps in iterations.

        Raises:
            ValueError: the config counts iterations already.
        """
        if not by_epoch:
            raise ValueError(f'{cls.__name__}: convert_to_iter_based needs by_epoch=True')
        end = min(end * epoch_length, int(1e9))
        return cls(optimizer, begin=begin * epoch_length, end=end, by_epoch=False, **counted)

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Continue at the stored step; the rate follows from it, also where the stored run would have ended."""
        super().load_state_dict(state_dict)
        if self.begin <= self._global_step < self.end:
            self.last_step = self._global_step - self.begin
            for group, value in zip(self.optimizer.param_groups, self._get_value(), strict=True):
                group['lr'] = value
