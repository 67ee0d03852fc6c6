"""Tip-Adapter and Tip-Adapter-F: caches of keys and values, and trained keys, each a file with a bare tensor."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from vlprompt.clip.tensor_files import describe_content, read_tensors
from vlprompt.compat.official.registry import State, converter, describer, opener, refuse_unread, require
from vlprompt.errors import CheckpointError

_METHOD = 'tip-adapter'
_NAME = re.compile(r'(keys|best_F)_(\d+)shots\.pt')


@opener(_METHOD)
def open_cache(path: str) -> dict[str, Tensor]:
    """A cache of the repository: its keys, or trained keys, and the values in the file beside them.

    Args:
        path: ``keys_<K>shots.pt``, ``best_F_<K>shots.pt``, or a folder with files of one number of shots, of which
            trained keys are taken if there are any.

    Returns:
        ``values`` (N, K), and ``keys`` (D, N) or ``weight`` (N, D).

    Raises:
        FileNotFoundError: no such file, or no values beside it.
        CheckpointError: another name, a folder without a cache or with several, a file that holds no tensor.
    """
    file = Path(path).expanduser()
    if file.is_dir():
        file = _cache_of(file)
    match = _NAME.fullmatch(file.name)
    if match is None:
        raise CheckpointError(
            f'{path}: {_METHOD} reads keys_<K>shots.pt, or best_F_<K>shots.pt with trained keys, and '
            'values_<K>shots.pt beside it: give one of the former under its own name'
        )
    values = _tensor_in(file.with_name(f'values_{match[2]}shots.pt'))
    return {'keys' if match[1] == 'keys' else 'weight': _tensor_in(file), 'values': values}


def _cache_of(folder: Path) -> Path:
    """The file of keys in a folder."""
    found = {m[2]: m for m in map(_NAME.fullmatch, sorted(p.name for p in folder.iterdir())) if m}
    found |= {m[2]: m for m in map(_NAME.fullmatch, sorted(p.name for p in folder.glob('best_F_*'))) if m}
    if len(found) != 1:
        what = f'caches of {", ".join(sorted(found, key=int))} shots: give the file' if found else 'no cache: give'
        raise CheckpointError(f'{folder} holds {what} keys_<K>shots.pt or best_F_<K>shots.pt')
    return folder / next(iter(found.values()))[0]


def _tensor_in(file: Path) -> Tensor:
    content = read_tensors(file, 'cache')
    if not isinstance(content, Tensor):
        raise CheckpointError(f'{file} holds {describe_content(content)}, not a tensor')
    return content


@describer(_METHOD)
def describe_tip_adapter(state: State) -> dict[str, Any]:
    """``cache``: its numbers of classes K and of features D, since neither class names nor a tower are in the files."""
    keys, _ = _keys_and_labels(state)
    return dict(cache=dict(classes=state['values'].shape[1], width=keys.shape[1]))


@converter(_METHOD)
def convert_tip_adapter(state: State) -> State:
    """``keys`` (D, N) or ``weight`` (N, D) -> ``solver.keys`` (N, D); one-hot ``values`` (N, K) -> ``solver.labels``.

    The files hold neither alpha nor beta: they stay those of the config.
    """
    keys, labels = _keys_and_labels(state)
    return {'solver.keys': keys, 'solver.labels': labels}


def _keys_and_labels(state: State) -> tuple[Tensor, Tensor]:
    """(N, D) fp32 and (N,) int64.

    Raises:
        KeyError: a tensor is missing.
        ValueError: tensors of a cache that do not fit together, or further ones.
    """
    require(state, _METHOD, 'values', *(['keys'] if 'weight' not in state else []))
    refuse_unread(_METHOD, state.keys() - {'keys', 'weight', 'values'})
    values, keys = state['values'], state['weight'] if 'weight' in state else state['keys'].t()
    if values.dim() != 2 or keys.dim() != 2 or len(values) != len(keys) or not values.numel() or not keys.numel():
        raise ValueError(
            f'{_METHOD}: values must be (N images, K classes) and keys (D, N), or (N, D) if they were trained; got '
            f'{tuple(values.shape)} and {tuple((keys if "weight" in state else keys.t()).shape)}'
        )
    if not keys.is_floating_point():
        raise ValueError(f'{_METHOD}: keys are {keys.dtype}, not floating point')
    labels = values.argmax(1)
    if not torch.equal(values.double(), torch.nn.functional.one_hot(labels, values.shape[1]).double()):
        raise ValueError(f'{_METHOD}: values are not one-hot: every row must have a single 1 and zeros')
    return keys.float().contiguous(), labels
