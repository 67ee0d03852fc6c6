"""What a resumed run has otherwise than the run that it continues: refused, or named in one warning."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from mmengine.dist import get_world_size
from mmengine.optim import OptimWrapper, OptimWrapperDict
from mmengine.runner import Runner

from vlprompt.engine.adapters.config_text import parse_config
from vlprompt.engine.config_changes import changed_values, same
from vlprompt.engine.optimizer import wrappers_by_name
from vlprompt.errors import CheckpointError

COMPARED = ('model', 'train_dataloader', 'train_cfg', 'param_scheduler', 'optim_wrapper', 'auto_scale_lr')
"""Config keys that decide how a training goes on."""

_EQUIVALENT = ('num_workers', 'persistent_workers', 'prefetch_factor', 'pin_memory', 'data_root', 'store')
"""Keys below them that only say where or how fast data are read."""


def optimizer_types(wrapper: OptimWrapper | OptimWrapperDict) -> dict[str, str]:
    """Class of every optimizer by its name; a single one has the name ``''``."""
    return {name: type(single.optimizer).__name__ for name, single in wrappers_by_name(wrapper).items()}


def check_optimizer(wrapper: OptimWrapper | OptimWrapperDict, checkpoint: Mapping[str, Any], filename: str) -> None:
    """Raise unless the state of a checkpoint belongs to these optimizers and their groups of parameters.

    Args:
        wrapper: of the run that is resumed.
        checkpoint: as stored for resuming.
        filename: its name, for messages.

    Raises:
        CheckpointError: no state of an optimizer, another type of it, or other groups of parameters.
    """
    stored = checkpoint.get('optimizer')
    if not isinstance(stored, Mapping):
        raise CheckpointError(
            f'{filename} holds no state of an optimizer: it cannot be resumed; start a new run from its weights: '
            f'--cfg-options load_from={filename} without --resume'
        )
    types = checkpoint.get('optimizer_types') or {}
    for name, single in wrappers_by_name(wrapper).items():
        state, kind = stored.get(name) if name else stored, type(single.optimizer).__name__
        theirs = types.get(name, kind)
        sizes = [len(group['params']) for group in (state or {}).get('param_groups', ())]
        wanted = [len(group['params']) for group in single.optimizer.param_groups]
        options = [_options(group) for group in (state or {}).get('param_groups', ())]
        problem = None
        if theirs != kind:
            problem = f'was trained with {theirs}, this run has {kind}'
        elif sizes != wanted:
            problem = f'has {_spell_groups(sizes)} in its optimizer, this run {_spell_groups(wanted)}'
        elif options and set(options[0]) != set(_options(single.optimizer.param_groups[0])):
            problem = f'has the options of another optimizer ({", ".join(sorted(options[0]))}) than {kind}'
        if problem:
            raise CheckpointError(
                f'{filename} {problem}: resume with the optimizer, trainable parameters and groups of the interrupted '
                f'run, or start a new one from its weights: --cfg-options load_from={filename} without --resume'
            )


def describe_changes(runner: Runner, config: str, checkpoint: Mapping[str, Any]) -> str | None:
    """One line about everything that the resumed run has otherwise than the interrupted one; None if nothing differs.

    Args:
        runner: with its optimizer as its own config builds it.
        config: of the runner, as Python code.
        checkpoint: as stored for resuming; its config is read, not run.
    """
    meta, parts = checkpoint['meta'], []
    kept = list(_kept_options(runner.optim_wrapper, checkpoint['optimizer']))
    if kept:
        parts.append(f'without effect, since the optimizer continues with its own: {"; ".join(kept)}')
    new = list(_changed_values(meta.get('cfg'), config))
    if meta.get('processes', get_world_size()) != get_world_size():
        new.append(f'number of processes {meta["processes"]} -> {get_world_size()}')
    if new:
        parts.append(f'from here on: {"; ".join(new)}')
    loop = runner.train_loop
    for unit, done, goal in (('epochs', meta['epoch'], loop.max_epochs), ('iters', meta['iter'], loop.max_iters)):
        if f'max_{unit}' in runner.cfg.train_cfg and done > goal:
            parts.append(f'nothing is left to train: train_cfg.max_{unit}={goal}, but {done} are done')
    return f'The resumed run differs from the interrupted one: {". ".join(parts)}.' if parts else None


def _kept_options(wrapper: OptimWrapper | OptimWrapperDict, stored: Mapping[str, Any]) -> Iterator[str]:
    """Options of the optimizers whose stored values replace those of the config."""
    for name, single in wrappers_by_name(wrapper).items():
        state = stored[name] if name else stored
        seen: dict[str, None] = {}
        for ours, theirs in zip(single.optimizer.param_groups, state['param_groups'], strict=True):
            old, new = _options(theirs), _options(ours)
            for option in new:
                if option in old and not same(old[option], new[option]):
                    seen[f'{name and name + "."}{option}={new[option]} (stays {old[option]})'] = None
        yield from seen


def _options(group: Mapping[str, Any]) -> dict[str, Any]:
    """Options of a parameter group as its config gives them: schedules move the rate, not its initial value."""
    values = {key: value for key, value in group.items() if key not in ('params', 'param_names')}
    for key in [key for key in values if key.startswith('initial_')]:
        values[key.removeprefix('initial_')] = values.pop(key)
    return values


def _changed_values(before: str | None, after: str) -> Iterator[str]:
    """``'key old -> new'`` for values of two configs that differ; those of the optimizer are its own matter."""
    if not before:
        return
    try:
        old, new = (parse_config(text, 'the checkpoint') for text in (before, after))
    except CheckpointError:  # of a foreign text
        yield 'the config of the interrupted run cannot be read and is not compared'
        return
    for key, was, now in changed_values(old, new):
        top, leaf = key.split('.')[0], key.split('.')[-1]
        if top in COMPARED and not key.startswith('optim_wrapper.optimizer.') and leaf not in _EQUIVALENT:
            yield f'{key} {was} -> {now}'


def _spell_groups(sizes: list[int]) -> str:
    return f'{len(sizes)} groups of {", ".join(map(str, sizes))} tensors' if len(sizes) > 1 else f'{sum(sizes)} tensors'
