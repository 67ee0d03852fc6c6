"""Compose a config: a method, a dataset, a number of shots.

A method's config names neither images nor classes; a dataset's config names neither model nor schedule.  A few
top-level keys join them, in the method's file, in a two-line file that inherits it, or on the command line::

    _base_ = 'configs/plot/plot_rn50.py'
    dataset, shots = 'dtd', 4

``compose`` reads them as layers, each on top of the one before:

1. the dataset's file, ``configs/_base_/datasets/<task>/<dataset>.py`` or a path to a file of your own;
2. the rows of ``recipes`` that apply, for values that the published recipe varies by dataset and shots::

       recipes = [
           dict(train_cfg=dict(max_epochs=200)),               # always
           dict(max_shots=4, train_cfg=dict(max_epochs=100)),  # with at most 4 shots
           dict(dataset='imagenet', train_cfg=dict(max_epochs=50)),
       ]

3. the method's file and everything that inherits from it;
4. ``--cfg-options``.

So a value that your own file sets wins over the recipe, and a later row of the recipe over an earlier one.

At the end ``'${name}'`` anywhere in the config is replaced by the top-level value ``name``: ``size='${image_size}'``.
With a factor, ``'${crop_size * 2/3}'`` or ``'${scale * 1.5}'``, it becomes that multiple, whole numbers rounded down.
Schedules without a length have that of the training.

The result is a plain mmengine config without ``task``, ``recipes`` and helper variables; composing it again changes
nothing.  :class:`~vlprompt.engine.runner.PromptRunner` composes its config, so one that was read with
``Config.fromfile`` runs as well.
"""

from __future__ import annotations

import copy
import re
from collections.abc import Mapping, Sequence
from fnmatch import fnmatchcase
from fractions import Fraction
from pathlib import Path
from typing import Any

from mmengine.config import Config

from vlprompt.engine.config_check import HELPER_PATTERNS, RUNNER_KEYS
from vlprompt.engine.config_files import CONFIGS, config_names
from vlprompt.engine.config_values import is_number, is_whole
from vlprompt.engine.schedules import follow_training_length
from vlprompt.errors import ConfigError
from vlprompt.messages import did_you_mean, enumerate_names

CONDITIONS = ('dataset', 'max_shots')
"""Keys of a row of ``recipes`` that state when it applies."""

SHARED = '_shared'
"""Name of the file in a task's folder that all its datasets inherit; methods may set its variables."""

_REFERENCE = re.compile(r'\$\{(\w+)(?:\s*\*\s*(\d+(?:\.\d+|/[1-9]\d*)?))?\}')
"""A name, and perhaps a factor: a number or a fraction."""


def compose(cfg: Config, options: Mapping[str, Any] | None = None) -> Config:
    """The complete config of a method, its dataset and its number of shots.

    Args:
        cfg: as mmengine reads it; not changed.
        options: dotted keys and their values, the topmost layer.

    Raises:
        ConfigError: an unknown dataset, a reference ``${name}`` to nothing, a malformed row of ``recipes``, or options
            that cannot be merged.
        FileNotFoundError: the dataset is given as a path that does not exist.
    """
    options = dict(options or {})
    content = cfg._cfg_dict.to_dict()
    content |= {key: options[key] for key in ('task', 'dataset', 'shots') if key in options}
    if content.get('task') is None:
        _refuse_data_options(cfg, options)
    else:
        data = _data_layer(content)
        for row in matching_rows(content.get('recipes') or (), content['dataset'], _shots(content, data)):
            data = layered(data, row)
        content = layered(data, content)
    values = _with_options(content, options, cfg.filename)._cfg_dict.to_dict()
    if values.get('task') is not None:
        values.pop('recipes', None)  # rows that do not apply may refer to values of other datasets
    used: set[str] = set()
    values = _resolved(values, values, '', used)
    _refuse_copied_helpers(options, content, used, cfg.filename)
    if values.get('task') is not None:
        offered = {key for key in _read_dataset(content['task'], SHARED) if key not in RUNNER_KEYS}
        values = {key: value for key, value in values.items() if key not in {'task'} | offered | used - _KEPT}
    composed = Config(
        values,
        cfg_text=cfg.text,
        filename=cfg.filename,
        env_variables=cfg.env_variables,
        format_python_code=cfg._format_python_code,
    )
    if not composed.get('phases'):  # each has its own length
        follow_training_length(composed.get('param_scheduler'), composed.get('train_cfg') or {})
    return composed


_KEPT = {'dataset', 'shots'}
"""Keys that stay in a composed config, as information."""


def layered(base: Any, top: Any, keep_marks: bool = False) -> Any:
    """Merge ``top`` onto ``base``: dicts key by key, everything else replaces the value below.

    A dict with ``_delete_=True``, or with another ``type`` than the one below, replaces it as a whole.  Where the
    dataset says None (it has no validation split), settings without a ``type`` of their own are dropped.

    Args:
        base: the lower layer.
        top: the upper layer.
        keep_marks: keep ``_delete_`` for a later merge, that of a phase.
    """
    if not isinstance(top, Mapping):
        return copy.deepcopy(top)
    if base is None and 'type' not in top and 'dataset' not in top:
        return None
    replaces = not isinstance(base, Mapping) or (top.get('_delete_', False) and not keep_marks)
    replaces = replaces or ('type' in top and base.get('type', top['type']) != top['type'])
    below = {} if replaces else base
    own = {
        key: layered(below.get(key, _NOTHING), value, keep_marks or key == 'phases')
        for key, value in top.items()
        if key != '_delete_' or keep_marks
    }
    return {**copy.deepcopy(dict(below)), **own}


_NOTHING = object()


def matching_rows(recipes: Sequence[Mapping], dataset: str, shots: int | None) -> list[dict]:
    """The rows of ``recipes`` that apply, without their conditions.

    Raises:
        ConfigError: a row that is not a dict.
    """
    rows = []
    for row in recipes:
        if not isinstance(row, Mapping):
            raise ConfigError(f'recipes must be a list of dicts such as dict(max_shots=4, train_cfg=...), got {row!r}')
        named, limit = row.get('dataset'), row.get('max_shots')
        named = (named,) if isinstance(named, str) else named
        if (named is None or Path(dataset).stem in named) and (limit is None or (shots or limit + 1) <= limit):
            rows.append({key: value for key, value in row.items() if key not in CONDITIONS})
    return rows


def dataset_file(task: str, dataset: str) -> Path:
    """The config of a dataset: one of ``configs/_base_/datasets/<task>/``, or a file of your own.

    Raises:
        ConfigError: unknown.
        FileNotFoundError: a path that does not exist.
    """
    if str(dataset).endswith('.py'):
        if not Path(dataset).is_file():
            raise FileNotFoundError(f'dataset={dataset!r}: there is no such file')
        return Path(dataset)
    folder = CONFIGS / '_base_' / 'datasets' / task
    path = folder / f'{dataset}.py'
    if not path.is_file():
        known = [name for name in config_names(folder) if not name.startswith('_')]
        raise ConfigError(
            f'dataset={dataset!r} is unknown.{did_you_mean(str(dataset), known)} Datasets for this method: '
            f'{", ".join(known)}; or the path of a config file of your own (see data/README.md)'
        )
    return path


def _data_layer(content: Mapping[str, Any]) -> dict[str, Any]:
    dataset = content.get('dataset')
    if not isinstance(dataset, str):
        raise ConfigError(
            f'dataset={dataset!r}: name the dataset, with --dataset NAME or dataset = NAME in the config; '
            f'`ls {CONFIGS / "_base_" / "datasets" / content["task"]}` shows those there are'
        )
    return _read_dataset(content['task'], dataset)


def _read_dataset(task: str, dataset: str) -> dict[str, Any]:
    return Config.fromfile(dataset_file(task, dataset))._cfg_dict.to_dict()


def _shots(content: Mapping[str, Any], data: Mapping[str, Any]) -> int | None:
    shots = content.get('shots', data.get('shots'))
    if shots is not None and (isinstance(shots, bool) or not isinstance(shots, int) or shots < 1):
        raise ConfigError(f'shots={shots!r} must be a positive whole number')
    return shots


def _refuse_data_options(cfg: Config, options: Mapping[str, Any]) -> None:
    """Raise for ``dataset`` and ``shots``, which have no meaning for a config that is complete already."""
    for key in ('dataset', 'shots'):
        if key in options:
            raise ConfigError(
                f'{key}={options[key]!r}: {cfg.filename or "the config"} names its data itself (it has no `task`); '
                f'change train_dataloader.dataset and its siblings with --cfg-options, or inherit from a method config'
            )


def _with_options(content: dict[str, Any], options: Mapping[str, Any], filename: str | None) -> Config:
    """``content`` with dotted options merged onto it."""
    cfg = Config(content, filename=filename, format_python_code=False)
    if options:
        try:
            cfg.merge_from_dict(dict(options))
        except (AttributeError, KeyError, TypeError) as error:
            raise ConfigError(
                f'--cfg-options {", ".join(options)}: cannot be merged into {filename} ({error}). Of a list only '
                'entries that are dicts can be changed one by one; give other lists as a whole'
            ) from error
    return cfg


def _refuse_copied_helpers(
    options: Mapping[str, Any], content: Mapping[str, Any], used: set[str], filename: str | None
) -> None:
    """Raise for an option that changes a variable whose value the files have copied already."""
    for option in options:
        key = option.split('.')[0]
        custom = any(fnmatchcase(key, pattern) for pattern in HELPER_PATTERNS)
        if key in RUNNER_KEYS | used | {'task', 'recipes'} or not (key in content or custom):
            continue
        places = _places_of(content.get(key, _NOTHING), {k: v for k, v in content.items() if k in RUNNER_KEYS})
        reason = (
            f'a helper variable, whose value has been copied already. Set {enumerate_names(places)} instead'
            if places
            else f"nothing in it reads ${{{key}}}. Set the keys of its datasets, or write '${{{key}}}' there"
        )
        raise ConfigError(f'{option}={options[option]!r} has no effect on {filename}: {reason}')


def _places_of(value: Any, node: Any, path: str = '') -> list[str]:
    """Dotted keys below ``node`` that hold exactly this value."""
    if path and type(node) is type(value) and node == value:
        return [path]
    items = node.items() if isinstance(node, Mapping) else enumerate(node) if isinstance(node, (list, tuple)) else ()
    return [found for key, child in items for found in _places_of(value, child, f'{path}.{key}' if path else key)]


def _resolved(node: Any, values: Mapping[str, Any], path: str, used: set[str], within: tuple[str, ...] = ()) -> Any:
    """``node`` with every ``${name}`` replaced; the names are added to ``used``."""
    if isinstance(node, Mapping):
        return {
            key: _resolved(value, values, f'{path}.{key}' if path else str(key), used, within)
            for key, value in node.items()
        }
    if isinstance(node, (list, tuple)):
        return type(node)(_resolved(item, values, f'{path}.{i}', used, within) for i, item in enumerate(node))
    if not isinstance(node, str) or '${' not in node:
        return node

    def value_of(name: str, factor: str | None) -> Any:
        if name not in values or name in within:
            reason = 'refers to itself' if name in within else 'there is no such top-level key'
            raise ConfigError(f'{path}={node!r}: ${{{name}}} {reason}.{did_you_mean(name, values)}')
        used.add(name)
        value = _resolved(values[name], values, name, used, (*within, name))
        return value if factor is None else scaled(value, Fraction(factor))

    def scaled(value: Any, factor: Fraction) -> Any:
        if isinstance(value, (list, tuple)):
            return type(value)(scaled(item, factor) for item in value)
        if not is_number(value):
            raise ConfigError(f'{path}={node!r}: {value!r} is no number, and cannot be multiplied')
        return int(value * factor) if is_whole(value) else float(value * factor)

    whole = _REFERENCE.fullmatch(node)
    if whole:
        return copy.deepcopy(value_of(*whole.groups()))
    return _REFERENCE.sub(lambda match: str(value_of(*match.groups())), node)
