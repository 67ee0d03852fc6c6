"""What schedules whose rate is a function of the step alone have in common."""

from __future__ import annotations

from typing import Any

from mmengine.optim.scheduler.param_scheduler import _ParamScheduler


class ClosedFormLR(_ParamScheduler):
    """A schedule that computes rates from ``self.last_step``, so resuming cannot drift."""

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Continue at the stored step; the rate follows from it, also where the stored run would have ended."""
        super().load_state_dict(state_dict)
        if self.begin <= self._global_step < self.end:
            self.last_step = self._global_step - self.begin
            for group, value in zip(self.optimizer.param_groups, self._get_value(), strict=True):
                group['lr'] = value
