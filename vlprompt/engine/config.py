"""Load a config: find it, read it, compose it with its dataset, check it."""

from __future__ import annotations

import traceback
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from mmengine.config import Config
from mmengine.logging import print_log

from vlprompt.engine.adapters import config_of_adapter, is_adapter
from vlprompt.engine.checkpoint import read_checkpoint, recipe_of_checkpoint
from vlprompt.engine.compose import compose
from vlprompt.engine.config_check import RUNNER_KEYS, check_config
from vlprompt.engine.config_files import CONFIGS, config_names, find_config
from vlprompt.engine.phases import check_hand_over, phase_config
from vlprompt.errors import ConfigError
from vlprompt.messages import counted, did_you_mean


def load_config(
    config: str | Path | Config,
    cfg_options: Mapping[str, Any] | None = None,
    trained: Mapping[str, Any] | None = None,
) -> Config:
    """The complete, checked config of a run, without helper variables.

    Args:
        config: a config file, the name of a shipped one (:func:`~vlprompt.engine.config_files.find_config`), an adapter
            (:mod:`vlprompt.engine.adapters`) for the config that it was trained with, or a config that was read.
        cfg_options: dotted keys and their values, as ``--cfg-options`` gives them; also ``dataset``, ``shots`` and
            ``data_root`` (:mod:`vlprompt.engine.compose`).
        trained: see :func:`~vlprompt.engine.compose.compose`.

    Raises:
        FileNotFoundError: no such file.
        ConfigError: the file is not valid Python, or see :func:`~vlprompt.engine.compose.compose` and
            :func:`~vlprompt.engine.config_check.check_config`; also for an option that a phase would discard.
    """
    cfg = compose(_raw(config), cfg_options, trained)
    _check_phases(cfg)
    check_config(cfg)
    _check_options_act_in_phases(cfg, cfg_options or {})
    for key in [key for key in cfg if key not in RUNNER_KEYS]:
        cfg.pop(key)
    return cfg


def config_for(
    content: Callable[[], Mapping[str, Any]] | None,
    config: str | Path | Config,
    cfg_options: Mapping[str, Any] | None = None,
    tell: bool = True,
) -> Config:
    """The config with which a checkpoint is loaded: the model is composed by the recipe of its training.

    What the rows of ``recipes`` that a checkpoint was trained with say of the model belongs to it, also where it is
    tested on another dataset.  The options ``recipe_dataset`` and ``recipe_shots`` (or ``shots``) choose others.

    Args:
        content: reads the checkpoint, if the config has recipes; None: there is none.
        config: see :func:`load_config`.
        cfg_options: see :func:`load_config`.
        tell: say in the log if the model is another one than by the config's own dataset and shots.
    """
    raw, options = _raw(config), dict(cfg_options or {})
    cfg = load_config(raw, options)
    if content is None or None in (cfg.get('recipe'), raw.get('task')):  # a composed config has its rows
        return cfg
    chosen = {'dataset': 'recipe_dataset' in options, 'shots': 'shots' in options or 'recipe_shots' in options}
    trained = {key: value for key, value in (recipe_of_checkpoint(content()) or {}).items() if not chosen[key]}
    if all(cfg.recipe[key] == value for key, value in trained.items()):
        return cfg
    as_trained = load_config(raw, options, trained)
    if tell and any(as_trained.get(key) != cfg.get(key) for key in ('model', 'phases')):
        recipe = as_trained.recipe
        shots = '' if recipe['shots'] is None else f' with {counted(recipe["shots"], "shot")}'
        print_log(
            f'The model follows the recipe of its training, {recipe["dataset"]}{shots}; recipe_dataset and '
            'recipe_shots in --cfg-options choose another one',
            'current',
        )
    return as_trained


def _raw(config: str | Path | Config) -> Config:
    """A config as it stands in its file, or in an adapter."""
    if is_adapter(config):
        return config_of_adapter(read_checkpoint(config), str(config))
    return config if isinstance(config, Config) else _read(find_config(config))


def _read(path: Path) -> Config:
    """``Config.fromfile`` with the name of the file, this one or one that it inherits, in its errors."""
    try:
        return Config.fromfile(path)
    except SyntaxError as error:
        mark = ' (a byte order mark; save the file as UTF-8 without one)' if 'U+FEFF' in error.msg else ''
        raise ConfigError(f'{_place(error, path)[0]}, line {error.lineno}: {error.msg}{mark}') from error
    except UnicodeDecodeError as error:
        raise ConfigError(f'{_place(error, path)[0]} is not UTF-8 text; save it in this encoding') from error
    except RecursionError as error:
        raise ConfigError(f'{path} inherits itself, directly or through others (_base_)') from error
    except FileNotFoundError as error:
        base = Path(error.filename or str(error))
        hint = did_you_mean(base.stem, config_names(base.parent)) if base.parent.is_dir() else ''
        shipped = Path(*base.parts[-2:]).with_suffix('').as_posix()
        if shipped in config_names(CONFIGS):
            hint += f" From any folder: _base_ = 'vlprompt::{shipped}.py'"
        raise ConfigError(f'{path} inherits {base}, which does not exist.{hint}') from error
    except KeyError as error:
        hint = ''
        if 'Duplicate key' in str(error):
            hint = " Bases must not share keys; a dataset is no base but a value: dataset = 'dtd'."
        raise ConfigError(f'{path}: {error.args[0]}.{hint}') from error
    except Exception as error:  # a config is Python code, which may raise any
        file, line = _place(error, path)
        where = f', line {line}' if line else ''
        text, _, search_path = str(error).partition(', the current sys.path')
        if search_path:  # of mmengine, about custom_imports
            text += '. Correct custom_imports, or add its folder to PYTHONPATH'
        raise ConfigError(f'{file}{where}: {type(error).__name__}: {" ".join(text.split())}') from error


def _place(error: BaseException, path: Path) -> tuple[Path, int | None]:
    """The config file that mmengine was reading when an error came, and the line if its code raised it."""
    file = path
    for frame, line in traceback.walk_tb(error.__traceback__):
        if frame.f_code.co_name == '_file2dict':
            file = Path(frame.f_locals['filename'])
        elif Path(frame.f_code.co_filename) == file:
            return file, line
    return file, None


def _check_phases(cfg: Config) -> None:
    """Check the config of every phase, see :mod:`vlprompt.engine.phases`."""
    phases = cfg.get('phases') or {}
    if not isinstance(phases, Mapping) or not all(isinstance(phase, Mapping) for phase in phases.values()):
        raise ConfigError(f'{cfg.filename or "config"}: phases must be a dict of dicts, dict(<name>=dict(...), ...)')
    configs = {name: phase_config(cfg, name) for name in phases}
    check_hand_over(configs)
    for name, single in configs.items():
        for key in _untyped_dicts(single.get('model') or {}, 'model'):
            owner = next((other for other in configs if _has_type(_value_at(configs[other], key))), None)
            if owner is not None:
                first = next(iter(_value_at(single, key)), '...')
                raise ConfigError(
                    f'{cfg.filename or "config"}: phase {name!r} has {key}={dict(_value_at(single, key))} without a '
                    f'type. Only phase {owner!r} has such a part: set phases.{owner}.{key}.{first} instead'
                )
        try:
            check_config(single)
        except ConfigError as error:
            raise ConfigError(f'phase {name!r} of {error}') from None


def _has_type(node: Any) -> bool:
    return isinstance(node, Mapping) and 'type' in node


def _untyped_dicts(node: Mapping[str, Any], path: str) -> Iterator[str]:
    """Dotted keys of all dicts below ``node`` that have no type."""
    for key, value in node.items():
        if isinstance(value, Mapping):
            if 'type' not in value:
                yield f'{path}.{key}'
            yield from _untyped_dicts(value, f'{path}.{key}')


def _check_options_act_in_phases(cfg: Config, options: Mapping[str, Any]) -> None:
    """Raise if a phase replaces the value of an option."""
    for name in cfg.get('phases') or {}:
        single = phase_config(cfg, name)
        for option in options:
            acts_on_runs = option.split('.')[0] in RUNNER_KEYS - {'phases'}
            wanted, found = _value_at(cfg, option), _value_at(single, option)
            if acts_on_runs and wanted is not _ABSENT and wanted != found:
                others = [other for other in cfg.phases if other != name]
                raise ConfigError(
                    f'--cfg-options {option}: phase {name!r} has a value of its own'
                    + ('' if found is _ABSENT else f' ({found!r})')
                    + f' there, which would win. Set phases.{name}.{option} instead'
                    + ''.join(f', or phases.{other}.{option} for phase {other!r}' for other in others)
                )


_ABSENT = object()


def _value_at(cfg: Any, path: str) -> Any:
    """The value at a dotted path, or ``_ABSENT``."""
    node = cfg
    for key in path.split('.'):
        if isinstance(node, Mapping) and key in node:
            node = node[key]
        elif isinstance(node, (list, tuple)) and key.isdigit() and int(key) < len(node):
            node = node[int(key)]
        elif isinstance(node, Config) and key in node:
            node = node[key]
        else:
            return _ABSENT
    return node
