"""Start training from chosen tensors of another model's checkpoint, with checks and a log."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from fnmatch import fnmatchcase
from pathlib import Path

import torch
from mmengine.logging import print_log
from torch import nn

from vlprompt.clip.tensor_files import find_state, require_finite
from vlprompt.engine.adapters import is_adapter
from vlprompt.engine.checkpoint import RESUME_FILE, check_base, read_checkpoint
from vlprompt.errors import CheckpointError
from vlprompt.messages import did_you_mean


def hand_over(model: nn.Module, keys: Sequence[str], checkpoint: str | Path | None = None) -> list[str]:
    """Copy chosen tensors of a checkpoint into a model; all others stay as they are.

    The log lists the tensors that were carried over and those that were not.

    Args:
        model: the model to be trained, on the same base weights as the checkpoint's.
        keys: shell-style patterns of tensor names; a chosen tensor must be in the model under its own name.
        checkpoint: a checkpoint or an adapter, or a work directory for its newest checkpoint.

    Returns:
        Names of the tensors that were carried over, in the checkpoint's order.

    Raises:
        FileNotFoundError: no such checkpoint.
        CheckpointError: no checkpoint although ``keys`` asks for tensors, a pattern that matches nothing, a tensor that
            the model lacks or has in another shape, or other base weights.
    """
    if isinstance(keys, str):
        raise TypeError(f'start_from.keys must be a list of patterns, got the string {keys!r}: write [{keys!r}]')
    if not keys:
        return []
    if checkpoint is None:
        raise CheckpointError(
            f'start_from.keys={list(keys)} asks for tensors, but start_from.checkpoint names no checkpoint with them'
        )
    path = newest_checkpoint(checkpoint)
    content = read_checkpoint(path)
    check_base(model, content)
    state = find_state(content, path)
    carried = chosen_tensors(model, keys, {name: tensor.shape for name, tensor in state.items()}, str(path))
    require_finite(state, carried, str(path))
    model.load_state_dict({name: state[name] for name in carried}, strict=False)
    left = [name for name in state if name not in set(carried)]
    print_log(
        f'Starting from {path}\n'
        + ''.join(f'  carried over: {name} {tuple(state[name].shape)}\n' for name in carried)
        + f'  left behind: {", ".join(left[:10]) or "nothing"}'
        + (f' and {len(left) - 10} more' if len(left) > 10 else ''),
        logger='current',
    )
    return carried


def chosen_tensors(model: nn.Module, keys: Sequence[str], shapes: Mapping[str, torch.Size], source: str) -> list[str]:
    """Names of the tensors of a checkpoint that :func:`hand_over` carries over.

    Args:
        model: to be trained.
        keys: shell-style patterns.
        shapes: of the tensors of the checkpoint, by name.
        source: the checkpoint, for messages.

    Raises:
        CheckpointError: a pattern that matches nothing, or a tensor that the model lacks or has in another shape.
    """
    known = model.state_dict()
    problems = [
        f'start_from.keys: {pattern!r} matches no tensor of the checkpoint.{did_you_mean(pattern, shapes)}'
        for pattern in keys
        if not any(fnmatchcase(name, pattern) for name in shapes)
    ]
    carried = [name for name in shapes if any(fnmatchcase(name, pattern) for pattern in keys)]
    for name in carried:
        if name not in known:
            problems.append(f'{type(model).__name__} has no {name}.{did_you_mean(name, known)}')
        elif known[name].shape != shapes[name]:
            both = tuple(shapes[name]), tuple(known[name].shape)
            problems.append(f'{name} has shape {both[0]} in the checkpoint, the model needs {both[1]}')
    if problems:
        raise CheckpointError(f'training cannot start from {source}:\n  ' + '\n  '.join(problems[:20]))
    return carried


def newest_checkpoint(path: str | Path) -> Path:
    """The checkpoint itself, or the newest one of a work directory.

    Raises:
        FileNotFoundError: the directory holds no checkpoint with a ``resume.pth`` beside it.
    """
    if is_adapter(path) or not Path(path).is_dir():
        return Path(path)
    path = Path(path)
    resume = path / RESUME_FILE
    if not resume.is_file():
        raise FileNotFoundError(f'no training has left a checkpoint in {path} ({resume} does not exist)')
    newest = read_checkpoint(resume).get('checkpoint')
    if not isinstance(newest, str):
        raise CheckpointError(f'{resume} does not name a checkpoint: it was not written by a training of this package')
    return path / newest
