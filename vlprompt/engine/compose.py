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
           dict(dataset='imagenet*', train_cfg=dict(max_epochs=50)),  # ImageNet and its shifted test sets
       ]

   ``dataset`` is a name, a pattern as of file names, or a list of them.

   With the options ``recipe_dataset=imagenet recipe_shots=16`` they are the rows of that dataset and number of shots.
   Where a checkpoint is loaded, the model has by default what the rows of its training say of models
   (:func:`~vlprompt.engine.config.config_for`).  Which rows the model has stands in the composed config as ``recipe``;

3. the method's file and everything that inherits from it;
4. ``--cfg-options``.

So a value that your own file sets wins over the recipe, and a later row of the recipe over an earlier one.

Then variables that say how images are prepared, and are None, follow the weights of the towers
(:mod:`vlprompt.engine.follow_weights`).

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

from vlprompt.engine.config_check import (
    HELPER_PATTERNS,
    RUNNER_KEYS,
    deleted_keys,
    helper_names,
    inherited_files,
    unread_names,
)
from vlprompt.engine.config_files import CONFIGS, config_names
from vlprompt.engine.config_values import is_number, is_whole
from vlprompt.engine.follow_weights import follow_weights, towers_of
from vlprompt.engine.schedules import follow_training_length
from vlprompt.errors import ConfigError
from vlprompt.messages import did_you_mean, enumerate_names

CONDITIONS = ('dataset', 'max_shots')
"""Keys of a row of ``recipes`` that state when it applies."""

RECIPE_OPTIONS = ('recipe_dataset', 'recipe_shots')
"""Options that choose the rows of ``recipes`` in place of ``dataset`` and ``shots``."""

SHARED = '_shared'
"""Name of the file in a task's folder that all its datasets inherit; methods may set its variables."""

_REFERENCE = re.compile(r'\$\{(\w+)(?:\s*\*\s*(\d+(?:\.\d+|/[1-9]\d*)?))?\}')
"""A name, and perhaps a factor: a number or a fraction."""


def compose(cfg: Config, options: Mapping[str, Any] | None = None, trained: Mapping[str, Any] | None = None) -> Config:
    """The complete config of a method, its dataset and its number of shots.

    Args:
        cfg: as mmengine reads it; not changed.
        options: dotted keys and their values, the topmost layer.
        trained: ``dataset``, ``shots`` or both, which choose the rows of recipes for the model alone; None: the same as
            for the rest.

    Raises:
        ConfigError: an unknown dataset, a reference ``${name}`` to nothing, a malformed row of ``recipes``, or options
            that cannot be merged.
        FileNotFoundError: the dataset is given as a path that does not exist.
    """
    options = dict(options or {})
    _refuse_unknown_parts(cfg, options)
    content = cfg._cfg_dict.to_dict()
    content |= {key: options[key] for key in ('task', 'dataset', 'shots') if key in options}
    offered, private = set[str](), set[str]()
    if content.get('task') is None:
        _refuse_data_options(cfg, options)
    else:
        data, offered, private = _data_layer(content, cfg.filename)
        if content.get('recipes'):
            recipe = _recipe(content, data, options, cfg.filename)
            content['recipe'] = recipe | dict(trained or {})
            for row in _rows(content['recipes'], recipe, content['recipe']):
                data = layered(data, row)
        elif given := [key for key in RECIPE_OPTIONS if key in options]:
            raise ConfigError(f'{given[0]}={options[given[0]]!r} has no effect on {cfg.filename}, which has no recipes')
        content = layered(data, _without_missing_splits(data, _with_marks(content, cfg.filename)))
    on_runs = {option: value for option, value in options.items() if option.split('.')[0] in RUNNER_KEYS - _KEPT}
    on_variables = {option: value for option, value in options.items() if option not in on_runs}
    values = _with_options(content, on_variables, cfg.filename)
    on_model = {option: value for option, value in on_runs.items() if option.split('.')[0] == 'model'}
    model = _with_options(dict(model=values.get('model')), on_model, cfg.filename).get('model')
    follow_weights(values, model, _resolved(towers_of(model), values, 'model', set()))
    if values.get('task') is not None:
        values.pop('recipes', None)  # rows that do not apply may refer to values of other datasets
    used: set[str] = set()
    values = _with_options(_resolved(values, values, '', used), on_runs, cfg.filename)
    if 'data_root' in options and 'data_root' not in used:
        used |= move_data(values, options['data_root'])
    _refuse_copied_helpers(options, content, used, cfg.filename)
    if values.get('task') is not None:
        yours = _keys_of_your_files(cfg.filename) | {'shots'} & set(options)
        for key in sorted(yours & (offered | {'shots'}) - used):
            if content[key] is not None:
                raise ConfigError(
                    f'{key}={content[key]!r} has no effect on {cfg.filename}: nothing in it reads ${{{key}}}'
                )
        values = {key: value for key, value in values.items() if key not in {'task'} | offered | private | used - _KEPT}
        if 'shots' in options and values.get('train_cfg') is None and not values.get('phases'):
            raise ConfigError(f'shots={options["shots"]!r} has no effect on {cfg.filename}, which trains nothing')
        if 'shots' not in used:
            values.pop('shots', None)
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

    A dict with ``_delete_=True``, or with another ``type`` than the one below, replaces it as a whole.

    Args:
        base: the lower layer.
        top: the upper layer.
        keep_marks: keep ``_delete_`` for a later merge, that of a phase.
    """
    if not isinstance(top, Mapping):
        return copy.deepcopy(top)
    replaces = not isinstance(base, Mapping) or (top.get('_delete_', False) and not keep_marks)
    replaces = replaces or ('type' in top and base.get('type', top['type']) != top['type'])
    below = {} if replaces else base
    own = {
        key: layered(below.get(key, _NOTHING), value, keep_marks or key == 'phases')
        for key, value in top.items()
        if key != '_delete_' or keep_marks
    }
    return {**copy.deepcopy(dict(below)), **own}


def _without_missing_splits(data: Mapping[str, Any], content: Mapping[str, Any]) -> dict[str, Any]:
    """``content`` without settings of a loader or evaluator that the dataset does not have, such as for validation."""
    absent = {
        key
        for key, value in content.items()
        if key.endswith(('_dataloader', '_evaluator'))
        and data.get(key, _NOTHING) is None
        and isinstance(value, Mapping)
        and not {'type', 'dataset'} & set(value)
    }
    return {key: value for key, value in content.items() if key not in absent}


def _with_marks(content: Mapping[str, Any], filename: str | None) -> dict[str, Any]:
    """``content`` with the ``_delete_=True`` of its files, which mmengine takes out while they inherit from each other.

    The dict then also replaces what dataset and recipe say.  Marks in ``phases`` are for the merge of the phase.
    """
    content = copy.deepcopy(dict(content))
    for path in deleted_keys(filename):
        node: Any = content
        for key in path:
            node = node.get(key) if isinstance(node, Mapping) else None
        if isinstance(node, dict) and path[0] != 'phases':
            node['_delete_'] = True
    return content


_NOTHING = object()


def matching_rows(recipes: Sequence[Mapping], dataset: str, shots: int | None) -> list[dict]:
    """The rows of ``recipes`` that apply, without their conditions.

    Args:
        recipes: the rows.
        dataset: its name or file.
        shots: training images per class, or None.

    Raises:
        ConfigError: a row that is not a dict.
    """
    rows = []
    for row in recipes:
        if not isinstance(row, Mapping):
            raise ConfigError(f'recipes must be a list of dicts such as dict(max_shots=4, train_cfg=...), got {row!r}')
        named, limit = row.get('dataset'), row.get('max_shots')
        named = (named,) if isinstance(named, str) else named
        if limit is not None and not is_whole(limit):
            raise ConfigError(f'recipes: max_shots={limit!r} must be a whole number')
        if named is not None and not (isinstance(named, (list, tuple)) and all(isinstance(n, str) for n in named)):
            what = 'a name, a pattern such as "imagenet*", or a list of them'
            raise ConfigError(f'recipes: dataset={named!r} must be {what}')
        few_enough = limit is None or (shots is not None and shots <= limit)
        if few_enough and (named is None or any(fnmatchcase(Path(dataset).stem, name) for name in named)):
            rows.append({key: value for key, value in row.items() if key not in CONDITIONS})
    return rows


def dataset_file(task: str, dataset: str, beside: str | None = None) -> Path:
    """The config of a dataset: one of ``configs/_base_/datasets/<task>/``, or a file of your own.

    Args:
        task: whose datasets may be named.
        dataset: a name, or a path relative to the working directory or to the config.
        beside: the config that names the dataset.

    Raises:
        ConfigError: unknown.
        FileNotFoundError: a path that does not exist.
    """
    if dataset.endswith('.py'):
        places = [Path(dataset), *([Path(beside).parent / dataset] if beside else [])]
        found = next((place for place in places if place.is_file()), None)
        if found is None:
            raise FileNotFoundError(f'dataset={dataset!r}: there is no such file')
        return found
    folder = CONFIGS / '_base_' / 'datasets' / task
    known = [name for name in config_names(folder) if name != SHARED]
    if dataset not in known and Path(dataset).is_dir():
        raise ConfigError(
            f'dataset={dataset!r} is a folder: give its layout and place, --dataset folder --data-root {dataset}; '
            f'layouts and datasets for this method: {", ".join(known)}'
        )
    other_tasks = [path.parent.name for path in folder.parent.glob(f'*/{Path(dataset).name}.py')]
    if dataset not in known and dataset == Path(dataset).name != SHARED and other_tasks:
        raise ConfigError(
            f'dataset={dataset!r} is unknown to this method, whose task is {task!r}; it is a dataset of '
            f'{" and ".join(map(repr, sorted(other_tasks)))}. Datasets for this method: {", ".join(known)}'
        )
    if dataset not in known:
        raise ConfigError(
            f'dataset={dataset!r} is unknown.{did_you_mean(dataset, known)} Datasets for this method: '
            f'{", ".join(known)}; or the path of a config file of your own (see docs/configs.md)'
        )
    return folder / f'{dataset}.py'


def _data_layer(content: Mapping[str, Any], filename: str | None) -> tuple[dict[str, Any], set[str], set[str]]:
    """The dataset's part of a config, the variables that it offers to methods, and those for the file's own use."""
    task, dataset = content['task'], content.get('dataset')
    if not isinstance(dataset, str):
        raise ConfigError(
            f'dataset={dataset!r}: name the dataset, with --dataset NAME or dataset = NAME in the config; '
            '`vlprompt list --datasets` shows those there are'
        )
    shared = Config.fromfile(CONFIGS / '_base_' / 'datasets' / task / f'{SHARED}.py')
    offered = {key for key in shared if key not in RUNNER_KEYS}
    data = Config.fromfile(dataset_file(task, dataset, filename))
    private = helper_names(data) - offered - RUNNER_KEYS
    return data._cfg_dict.to_dict(), offered, private


def _rows(recipes: Sequence[Mapping], recipe: dict[str, Any], of_model: dict[str, Any]) -> list[dict]:
    """The rows of one recipe; what they say of models is replaced by the rows of another one if the model has that."""
    rows = matching_rows(recipes, **recipe)
    if of_model == recipe:
        return rows
    own = matching_rows(recipes, **of_model)
    return [_row_of(row, models=False) for row in rows] + [_row_of(row, models=True) for row in own]


def _row_of(row: Mapping[str, Any], models: bool) -> dict[str, Any]:
    """What a row of ``recipes`` says of the models of the config and its phases, or all that it says of the rest."""
    own = {key: value for key, value in row.items() if (key == 'model') == models and key != 'phases'}
    phases = {name: _row_of(phase, models) for name, phase in (row.get('phases') or {}).items()}
    return own | ({'phases': phases} if any(phases.values()) else {})


def _recipe(
    content: Mapping[str, Any], data: Mapping[str, Any], options: dict[str, Any], filename: str | None
) -> dict[str, Any]:
    """Dataset and number of shots that choose the rows of ``recipes``; their options are taken out."""
    dataset, shots = (options.pop(key, None) for key in RECIPE_OPTIONS)
    if dataset is not None:
        dataset_file(content['task'], str(dataset), filename)  # an unknown name would choose no row
    found = dict(content, **({} if shots is None else dict(shots=shots)))
    return dict(dataset=Path(str(dataset or content['dataset'])).stem, shots=_shots(found, data))


def _shots(content: Mapping[str, Any], data: Mapping[str, Any]) -> int | None:
    shots = content.get('shots', data.get('shots'))
    if shots is not None and (isinstance(shots, bool) or not isinstance(shots, int) or shots < 1):
        raise ConfigError(f'shots={shots!r} must be a positive whole number')
    return shots


def _refuse_data_options(cfg: Config, options: Mapping[str, Any]) -> None:
    """Raise for ``dataset`` and ``shots``, which have no meaning for a config that is complete already."""
    for key in ('dataset', 'shots', *RECIPE_OPTIONS):
        if key in options:
            raise ConfigError(
                f'{key}={options[key]!r}: {cfg.filename or "the config"} names its data itself (it has no `task`); '
                f'change train_dataloader.dataset and its siblings with --cfg-options, or inherit from a method config'
            )


def _refuse_unknown_parts(cfg: Config, options: Mapping[str, Any]) -> None:
    """Raise for options on ``recipes``, whose rows are chosen before, and on phases that the config does not have."""
    phases = cfg.get('phases') or {}
    for option in options:
        root, _, rest = option.partition('.')
        if root == 'recipes':
            raise ConfigError(f'{option}: rows of recipes cannot be changed by options; set the value itself')
        if root == 'recipe':
            raise ConfigError(f'{option}: rows of recipes are chosen by {" and ".join(RECIPE_OPTIONS)}')
        name = rest.partition('.')[0]
        if root == 'phases' and rest and name not in phases:
            known = ', '.join(phases) or 'none'
            raise ConfigError(f'{option}: phases of the config are {known}.{did_you_mean(name, phases)}')


def move_data(values: dict[str, Any], folder: str) -> set[str]:
    """Set ``data_root`` of all datasets of a complete config in place, and with it the files of their metrics.

    Returns:
        ``{'data_root'}``, or nothing if no dataset has one.
    """
    former: set[str | None] = set()

    def visit(node: Any) -> None:
        if isinstance(node, dict):
            if 'data_root' in node:
                former.add(node['data_root'])
                node['data_root'] = folder
            for value in node.values():
                visit(value)
        elif isinstance(node, (list, tuple)):
            for value in node:
                visit(value)

    for key, value in values.items():
        if key.endswith('_dataloader'):
            visit(value)
    for key in ('val_evaluator', 'test_evaluator'):
        evaluator = values.get(key) or {}
        for metric in evaluator if isinstance(evaluator, (list, tuple)) else [evaluator]:
            inside = [root for root in former if root and Path(metric.get('ann_file') or '/').is_relative_to(root)]
            if inside:
                metric['ann_file'] = str(Path(folder, Path(metric['ann_file']).relative_to(inside[0])))
    return {'data_root'} if former else set()


def _keys_of_your_files(filename: str | None) -> set[str]:
    """Top-level keys of a config and of what it inherits, the shipped files excepted, that these files only set."""
    shipped = CONFIGS.resolve()
    return unread_names([file for file in inherited_files(filename) if not file.resolve().is_relative_to(shipped)])


def _with_options(content: dict[str, Any], options: Mapping[str, Any], filename: str | None) -> dict[str, Any]:
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
    return cfg._cfg_dict.to_dict()


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
    """Dotted keys below ``node`` that hold exactly this list or dict; numbers and names may be equal by chance."""
    if path and isinstance(value, (dict, list)) and type(node) is type(value) and node == value:
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
            reason = 'refers to itself' if name in within else 'is not a top-level key'
            raise ConfigError(f'{path}={node!r}: {name!r} {reason}.{did_you_mean(name, values)}')
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
