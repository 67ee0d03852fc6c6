"""The state that resuming needs besides the trained tensors: progress, optimizer, schedules, log."""

from __future__ import annotations

from typing import Any

from mmengine.logging import HistoryBuffer, MessageHub
from mmengine.runner import Runner

from vlprompt.engine.checkpoint import to_plain_values


def resume_state(runner: Runner) -> dict[str, Any]:
    """Optimizer, schedulers and message hub of a runner, made of plain values (``weights_only`` loading accepts them).

    No state of a random generator is needed, see :class:`~vlprompt.engine.hooks.IterationSeedHook`.
    """
    state = dict(
        optimizer=to_plain_values(runner.optim_wrapper.state_dict()), message_hub=_dump_hub(runner.message_hub)
    )
    schedulers = runner.param_schedulers
    if isinstance(schedulers, dict):
        state['param_schedulers'] = {name: [_dump(s) for s in group] for name, group in schedulers.items()}
    elif schedulers is not None:
        state['param_schedulers'] = [_dump(s) for s in schedulers]
    return state


def _dump(scheduler: Any) -> dict[str, Any]:
    return to_plain_values(scheduler.state_dict())


def _dump_hub(hub: MessageHub) -> dict[str, Any]:
    state = hub.state_dict()
    scalars = {
        name: [to_plain_values(column) for column in buffer.data] for name, buffer in state['log_scalars'].items()
    }
    info = {key: to_plain_values(value) for key, value in state['runtime_info'].items() if key != 'cfg'}
    return dict(log_scalars=scalars, runtime_info=info, resumed_keys=to_plain_values(state['resumed_keys']))


def restore_hub(state: dict[str, Any]) -> dict[str, Any]:
    """Restore a message hub stored by :func:`resume_state`; one stored by mmengine is returned unchanged."""
    scalars = {
        name: HistoryBuffer(*(column.tolist() for column in buffer)) if isinstance(buffer, list) else buffer
        for name, buffer in state['log_scalars'].items()
    }
    return dict(state, log_scalars=scalars)
