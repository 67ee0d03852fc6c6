"""What a runner writes: checkpoints, and the state of a training that is asked to end."""

from __future__ import annotations

import time
from collections.abc import Mapping
from pathlib import Path
from signal import Signals
from typing import Any

import mmengine
from mmengine.dist import barrier, is_main_process
from mmengine.runner import Runner
from torch import Tensor, nn

from vlprompt.engine.checkpoint import RESUME_FILE, describe_model, recipe_of, trained_state
from vlprompt.engine.finite import broken_tensors
from vlprompt.engine.hooks.data import bare_model
from vlprompt.engine.resume_state import optimizer_state, pending_gradients, resume_state
from vlprompt.engine.sharded import is_sharded
from vlprompt.engine.writing import to_plain_values, write_checkpoint
from vlprompt.errors import NonFiniteError, Stopped
from vlprompt.messages import enumerate_names
from vlprompt.version import __version__


def save_checkpoint(
    runner: Runner,
    folder: str | Path,
    filename: str,
    config: str,
    progress: dict[str, Any],
    state: bool,
    schedules: bool,
) -> None:
    """Write a checkpoint and, if asked to, the file to resume from beside it.  All processes must call this.

    Args:
        runner: in training.
        folder: for the files.
        filename: of the checkpoint.
        config: of the runner, as Python code.
        progress: epoch, iteration and whatever else goes into ``meta``.
        state: also write the file to resume from.
        schedules: with the state of the schedules in it.

    Raises:
        NonFiniteError: a tensor, or a number of a step, is NaN or infinite; nothing is written.
    """
    runner.readings.read()
    shared = _gather_state(runner) if state else None
    checkpoint = _content(runner, config, progress, f'{filename} was not written')
    if checkpoint is None:
        return
    write_checkpoint(checkpoint, Path(folder) / filename)
    if shared is not None:
        _write_state(runner, checkpoint, shared, Path(folder), filename, schedules)


def save_state(
    runner: Runner, folder: str | Path, filename: str, config: str, progress: dict[str, Any], schedules: bool = True
) -> None:
    """Write the file to resume from alone.  All processes must call this.

    Args:
        runner: in training.
        folder: for the file.
        filename: of the checkpoint with the same tensors; the file itself, :data:`RESUME_FILE`, where there is none.
        config: of the runner, as Python code.
        progress: epoch, iteration and whatever else goes into ``meta``.
        schedules: with the state of the schedules in it.

    Raises:
        NonFiniteError: a tensor, or a number of a step, is NaN or infinite; nothing is written.
    """
    runner.readings.read()
    shared = _gather_state(runner)
    checkpoint = _content(runner, config, progress, 'the state was not saved')
    if checkpoint is not None:
        _write_state(runner, checkpoint, shared, Path(folder), filename, schedules)


def stop_training(runner: Runner, config: str, signal: int, iteration: int) -> None:
    """Write the file to resume from between two iterations and end the training.  All processes must call this.

    Args:
        runner: in training.
        config: of the runner, as Python code.
        signal: number of the signal that asked for it.
        iteration: number of iterations that are done.

    Raises:
        Stopped: always.
    """
    # It is no checkpoint of an epoch, so it names itself as the newest.
    save_state(runner, runner.work_dir, RESUME_FILE, config, dict(epoch=runner.epoch, iter=iteration))
    barrier()  # nobody ends before it is written
    message = (
        f'Interrupted by {Signals(signal).name} after iteration {iteration}. The state is saved in {runner.work_dir}; '
        '--resume continues the training.'
    )
    runner.logger.warning(message)
    raise Stopped(message if is_main_process() else '', signal)


def _write_state(
    runner: Runner,
    checkpoint: dict[str, Any],
    shared: tuple[dict[str, Any], dict[str, Tensor]],
    folder: Path,
    filename: str,
    schedules: bool,
) -> None:
    """Write the file to resume from, with the content of a checkpoint, which it names ``filename``."""
    state = resume_state(runner, *shared)
    if not schedules:
        state.pop('param_schedulers', None)
    write_checkpoint(checkpoint | state | dict(checkpoint=filename), folder / RESUME_FILE)


def _gather_state(runner: Runner) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """What the processes must put together before the first one writes it: returns the state of the optimizer and the
    accumulated gradients, and calls ``before_save_state(runner)`` of the hooks that have it, in all processes.
    """
    runner.call_hook('before_save_state')
    gradients = pending_gradients(bare_model(runner))
    return optimizer_state(runner) if _takes_part(runner) else {}, gradients


def _takes_part(runner: Runner) -> bool:
    """Whether this process is needed to put together what the first one writes."""
    return is_main_process() or is_sharded(bare_model(runner))


def _content(runner: Runner, config: str, progress: dict[str, Any], refusal: str) -> dict[str, Any] | None:
    """What a checkpoint holds; None except in the first process.  A NonFiniteError begins with ``refusal``."""
    if not _takes_part(runner):
        return None
    model = bare_model(runner)
    progress = dict(batches=getattr(runner.train_loop, 'batches', 0), processes=runner.world_size) | progress
    checkpoint = dict(meta=describe_run(runner, model, config, progress), state_dict=trained_state(model))
    if not is_main_process():
        return None
    if broken := broken_tensors(model, checkpoint['state_dict']):
        raise NonFiniteError(
            f'{refusal}, since after iteration {progress["iter"]} {len(broken)} of {len(checkpoint["state_dict"])} '
            f'trained tensors hold NaN or infinity ({enumerate_names(broken, 3)}): the training has diverged. What was '
            f'saved in {runner.work_dir} before stays. Lower the learning rate (optim_wrapper.optimizer.lr), or clip '
            'gradients (optim_wrapper.clip_grad.max_norm=1)'
        )
    runner.call_hook('before_save_checkpoint', checkpoint=checkpoint)
    return checkpoint


def describe_run(runner: Runner, model: nn.Module, config: str, progress: Mapping[str, Any]) -> dict[str, Any]:
    """The ``meta`` entry of a checkpoint, made of plain values.

    Args:
        runner: of the training.
        model: its model, without the wrapper for distributed training.
        config: its config as Python code.
        progress: epoch, iteration and whatever else the caller records.
    """
    about = describe_model(model) | recipe_of(runner.cfg)
    dataset_meta = dict(getattr(runner.train_dataloader.dataset, 'metainfo', {}))
    if about['class_names'] is not None:
        dataset_meta.pop('classes', None)  # a thousand names are stored once
    return to_plain_values(
        dict(
            progress,
            cfg=config,
            seed=runner.seed,
            experiment_name=runner.experiment_name,
            phase=runner.cfg.get('phase'),
            time=time.strftime('%Y%m%d_%H%M%S', time.localtime()),
            mmengine_version=mmengine.__version__,
            vlprompt_version=__version__,
            dataset_meta=dataset_meta,
            vlprompt=about,
        )
    )
