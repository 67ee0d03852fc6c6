"""The state that resuming needs besides the trained tensors: progress, optimizer, schedules, log."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from mmengine.logging import HistoryBuffer, MessageHub
from mmengine.runner import Runner

from vlprompt.engine.checkpoint import RESUME_FILE, read_checkpoint, to_plain_values
from vlprompt.errors import CheckpointError

_SCHEDULE_PROGRESS = {'last_step', '_global_step', '_last_value', 'base_values'}


def resume_file(path: str | os.PathLike) -> str:
    """The file that holds the state to resume, given a work directory or a checkpoint in it.

    Raises:
        FileNotFoundError: no such file, or none beside the checkpoint.
        CheckpointError: a checkpoint that is not the newest of its directory, whose state is gone.
    """
    path = Path(path)
    if path.is_dir():
        path = path / RESUME_FILE
        if not path.is_file():
            raise FileNotFoundError(f'nothing to resume: {path} does not exist')
        return str(path)
    if 'optimizer' in read_checkpoint(path):
        return str(path)
    beside = path.with_name(RESUME_FILE)
    newest = read_checkpoint(beside)['checkpoint'] if beside.is_file() else None
    if newest != path.name:
        remedy = f'resume from {path.with_name(newest)}' if newest else f'{beside} is missing'
        raise CheckpointError(
            f'{path} holds what was trained, not the state of the optimizer, which is kept for the newest checkpoint '
            f'only: {remedy}; or start a new run from it with --cfg-options load_from={path}'
        )
    return str(beside)


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


def restore_state(
    runner: Runner, checkpoint: dict[str, Any], filename: str, optimizer: bool = True, schedules: bool = True
) -> None:
    """Put a runner whose model is loaded where the run of a checkpoint stopped.

    Args:
        runner: has not trained yet.
        checkpoint: content of :func:`resume_file`, by :func:`resume_state` or by mmengine's runner.
        filename: its name, for messages.
        optimizer: restore the optimizer.
        schedules: restore the schedules.

    Raises:
        CheckpointError: it was trained with another seed.
    """
    meta = checkpoint['meta']
    if meta.get('seed') not in (None, runner.seed):
        raise CheckpointError(
            f'{filename} was trained with seed {meta["seed"]}, this run has seed {runner.seed}: '
            f'resume with --seed {meta["seed"]}'
        )
    runner.train_loop._epoch, runner.train_loop._iter = meta['epoch'], meta['iter']
    runner.message_hub.load_state_dict(_load_hub(checkpoint['message_hub']))
    if optimizer:
        runner.optim_wrapper = runner.build_optim_wrapper(runner.optim_wrapper)
        runner.optim_wrapper.load_state_dict(checkpoint['optimizer'])
    if schedules and runner.param_schedulers is not None:
        runner.param_schedulers = runner.build_param_scheduler(runner.param_schedulers)
        _load_schedulers(runner.param_schedulers, checkpoint['param_schedulers'])


def _load_schedulers(schedulers: list | dict[str, list], states: list | dict[str, list]) -> None:
    """Restore the progress of schedules; their shape comes from the config, so a resumed run can be longer."""
    if isinstance(schedulers, dict):
        for name in schedulers:
            _load_schedulers(schedulers[name], states[name])
    else:
        for scheduler, state in zip(schedulers, states, strict=True):
            scheduler.load_state_dict({key: value for key, value in state.items() if key in _SCHEDULE_PROGRESS})


def _load_hub(state: dict[str, Any]) -> dict[str, Any]:
    """State of a message hub as stored by :func:`resume_state`; one stored by mmengine is returned unchanged."""
    scalars = {
        name: HistoryBuffer(*(column.tolist() for column in buffer)) if isinstance(buffer, list) else buffer
        for name, buffer in state['log_scalars'].items()
    }
    return dict(state, log_scalars=scalars)
