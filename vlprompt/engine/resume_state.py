"""The state that resuming needs besides the trained tensors: progress, optimizer, schedules, log."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from mmengine.dist import all_reduce
from mmengine.logging import HistoryBuffer, MessageHub
from mmengine.runner import EpochBasedTrainLoop, Runner
from torch import Tensor, nn

from vlprompt.engine.checkpoint import RESUME_FILE, read_checkpoint
from vlprompt.engine.resume_changes import check_optimizer, describe_changes, optimizer_types
from vlprompt.engine.sharded import is_sharded, let_go, stored, whole
from vlprompt.engine.writing import to_plain_values
from vlprompt.errors import CheckpointError
from vlprompt.files import written_whole
from vlprompt.messages import enumerate_names

VALIDATED = 'last_validation'
"""Entry of the message hub: the iteration after which the last finished validation ran.

mmengine logs entries whose names begin with ``val`` as metrics of the validation, and so for ``train`` and ``test``."""

OUTDATED = 'outdated_checkpoints'
"""Entry of the message hub: names of the checkpoints that the last one makes superfluous."""

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
        remedy = f'resume from {path.parent}' if newest else f'{beside} is missing'
        raise CheckpointError(
            f'{path} holds what was trained, not the state of the optimizer, which is kept for the newest checkpoint '
            f'only: {remedy}; or start a new run from it with --cfg-options load_from={path}'
        )
    return str(beside)


def finish_saving(work_dir: str | os.PathLike, last: str | os.PathLike, outdated: Iterable[str]) -> None:
    """The last steps after a checkpoint and its state were written, which a run that was killed there makes up for.

    Args:
        work_dir: of the run; its ``last_checkpoint`` then names the checkpoint.
        last: the checkpoint.
        outdated: names of the files beside it that it makes superfluous.
    """
    with written_whole(Path(work_dir, 'last_checkpoint')) as file:
        file.write_text(str(last))
    for name in outdated:
        Path(last).with_name(name).unlink(missing_ok=True)


def validation_due(progress: int, goal: int, begin: int, interval: int) -> bool:
    """Whether a training loop validates after this epoch, or iteration.

    Args:
        progress: epochs or iterations that are done.
        goal: all of the training.
        begin: ``val_begin`` of the loop.
        interval: ``val_interval`` of the loop.
    """
    return progress >= begin and (progress % interval == 0 or progress == goal)


def optimizer_state(runner: Runner) -> dict[str, Any]:
    """State of the optimizer, made of plain values.

    Of a sharded model all processes must call this, and only the first has the values
    (:func:`~vlprompt.engine.sharded.stored`).
    """
    state = runner.optim_wrapper.state_dict()
    return to_plain_values(state) if not is_sharded(runner.model) else stored(state)


def resume_state(runner: Runner, optimizer: dict[str, Any], gradients: Mapping[str, Tensor]) -> dict[str, Any]:
    """Optimizer, schedulers and message hub of a runner, made of plain values (``weights_only`` loading accepts them).

    ``optimizer`` is the :func:`optimizer_state`, ``gradients`` are the :func:`pending_gradients`.

    No state of a random generator is needed, see :class:`~vlprompt.engine.hooks.IterationSeedHook`.
    """
    state = dict(
        optimizer=optimizer,
        optimizer_types=optimizer_types(runner.optim_wrapper),
        message_hub=_dump_hub(runner.message_hub),
    )
    if gradients:
        state['gradients'] = to_plain_values(gradients)
    schedulers = runner.param_schedulers
    if isinstance(schedulers, dict):
        state['param_schedulers'] = {name: [_dump(s) for s in group] for name, group in schedulers.items()}
    elif schedulers is not None:
        state['param_schedulers'] = [_dump(s) for s in schedulers]
    return state


def pending_gradients(model: nn.Module) -> dict[str, Tensor]:
    """Gradients that are accumulated for the next update; the mean over the processes of a distributed run.

    All processes must call this.
    """
    let_go(model)
    gradients = {name: whole(p.grad.detach()).clone() for name, p in model.named_parameters() if p.grad is not None}
    for gradient in gradients.values():
        all_reduce(gradient, 'mean')
    return gradients


def load_gradients(model: nn.Module, gradients: Mapping[str, Tensor], filename: str) -> None:
    """Inverse of :func:`pending_gradients`.

    Args:
        model: without the wrapper for distributed training, as there.
        gradients: by name of the parameter.
        filename: where they come from, for messages.

    Raises:
        CheckpointError: the model has no such parameters, or of other shapes.
    """
    parameters = dict(model.named_parameters())
    strange = [n for n, gradient in gradients.items() if n not in parameters or parameters[n].shape != gradient.shape]
    if strange:
        raise CheckpointError(
            f'{filename} holds accumulated gradients of {enumerate_names(strange)}, which this run does not have '
            'in that shape: resume with the config of the interrupted run'
        )
    for name, gradient in gradients.items():
        parameters[name].grad = gradient.to(parameters[name])


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
    runner: Runner,
    checkpoint: dict[str, Any],
    filename: str,
    config: str,
    optimizer: bool = True,
    schedules: bool = True,
) -> None:
    """Put a runner whose model is loaded where the run of a checkpoint stopped.

    Args:
        runner: has not trained yet.
        checkpoint: content of :func:`resume_file`, by :func:`resume_state` or by mmengine's runner.
        filename: its name, for messages.
        config: of the runner as Python code, to be compared with the checkpoint's.
        optimizer: restore the optimizer.
        schedules: restore the schedules.

    Raises:
        CheckpointError: it was trained with another seed or optimizer, does not say how far, or holds gradients of
            parameters that the model does not have.
    """
    meta = checkpoint['meta']
    if meta.get('seed') not in (None, runner.seed):
        raise CheckpointError(
            f'{filename} was trained with seed {meta["seed"]}, this run has seed {runner.seed}: '
            f'resume with --seed {meta["seed"]}'
        )
    if any(key not in meta for key in ('epoch', 'iter')) or 'message_hub' not in checkpoint:
        raise CheckpointError(f'{filename} does not say how far its training was: it cannot be resumed')
    loop = runner.train_loop
    loop._epoch, loop._iter = meta['epoch'], meta['iter']
    if batches := meta.get('batches', 0):
        if not hasattr(loop, 'batches'):
            raise CheckpointError(
                f'{filename} was saved after batch {batches} of an epoch, where {type(loop).__name__} cannot begin: '
                "use train_cfg.type='vlprompt.EpochTrainLoop'"
            )
        loop.batches = batches
    if isinstance(loop, EpochBasedTrainLoop):  # whose number of batches may have changed
        left = (loop.max_epochs - loop.epoch) * len(loop.dataloader) - batches
        loop._max_iters = max(loop._max_iters, loop.iter + left)
    runner.message_hub.load_state_dict(_load_hub(checkpoint['message_hub']))
    if optimizer:
        runner.optim_wrapper = runner.build_optim_wrapper(runner.optim_wrapper)
        check_optimizer(runner.optim_wrapper, checkpoint, filename)
        if changes := describe_changes(runner, config, checkpoint):
            runner.logger.warning(changes)
        runner.optim_wrapper.load_state_dict(checkpoint['optimizer'])
        load_gradients(runner.bare_model, checkpoint.get('gradients', {}), filename)
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
