"""Load configs and refuse keys that nothing reads.

mmengine accepts any key: ``model.nctx=4`` or a misspelt ``optim_wraper`` has no effect and raises no error.  Here a
top-level key must be one the runner reads or a helper variable of the config files, and every ``dict(type=...)``
may only hold arguments of that type's constructor.
"""

from __future__ import annotations

import ast
import inspect
from collections.abc import Iterable, Mapping
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

from mmengine.config import Config
from mmengine.hooks import CheckpointHook
from mmengine.registry import Registry
from mmengine.runner import EpochBasedTrainLoop, IterBasedTrainLoop, Runner, TestLoop, ValLoop
from torch.utils.data import DataLoader

from vlprompt.engine.signatures import (
    EXTRA_KEYS,
    REGISTRY_OF_KEY,
    accepted_arguments,
    known_types,
    resolve,
)
from vlprompt.errors import ConfigError
from vlprompt.messages import did_you_mean, enumerate_names
from vlprompt.registry import EVALUATOR, LOOPS, MODELS, TASK_UTILS

# What Runner.__init__ takes and what it, the tools or the loops read from the config besides.
RUNNER_KEYS = (set(inspect.signature(Runner.__init__).parameters) - {'self', 'cfg'}) | {
    'runner_type',
    'custom_imports',
    'model_wrapper_cfg',
    'sync_bn',
    'find_unused_parameters',
    'activation_checkpointing',
    'efficient_conv_bn_eval',
    'compile',
    'tta_model',
    'tta_pipeline',
    'other_classes',
    'phases',
    'phase',
    'start_from',
}

# Helper variables that configs define by custom and that need no reader in the file itself.
HELPER_PATTERNS = ('_*', 'data_root', 'dataset_type', '*_pipeline', 'backend_args', 'metainfo')

# Dicts without a type, whose keys are fixed all the same.
_PLAIN_DICTS = dict(
    env_cfg={'cudnn_benchmark', 'mp_cfg', 'dist_cfg', 'resource_limit'},
    randomness={'seed', 'diff_rank_seed', 'deterministic'},
    auto_scale_lr={'enable', 'base_batch_size'},
    start_from={'keys', 'checkpoint'},
)
_DATALOADER_KEYS = accepted_arguments(DataLoader)[0] | {
    'num_batch_per_epoch',
    'diff_rank_seed',
    'disable_subprocess_warning',
}
_BOOKKEEPING = {'type', '_scope_', '_delete_'}
# Inside a model, 'sampler', 'dataset', ... may mean something else than in a data loader.
_SWITCHING_IN_MODELS = {'data_preprocessor', 'init_cfg'}


def load_config(path: str | Path, cfg_options: Mapping[str, Any] | None = None) -> Config:
    """Read a config file, override some of its values, check it, and drop its helper variables.

    Args:
        path: a config file.
        cfg_options: dotted keys and their values, as ``--cfg-options`` gives them.

    Raises:
        FileNotFoundError: no such file.
        ConfigError: see :func:`check_config`; also for an option that overrides a mere helper variable, which
            would come too late to have an effect, and for one that does not fit the config.
    """
    if not Path(path).is_file():
        raise FileNotFoundError(f'config {path} does not exist')
    cfg = Config.fromfile(path)
    helpers = {key for key in cfg if key not in RUNNER_KEYS}
    for option in cfg_options or {}:
        key = option.split('.')[0]
        if key in helpers:
            raise ConfigError(
                f'--cfg-options {option}: {key!r} is a helper variable of {path}; where it is used, its value has been '
                f'copied already.{_where_used(cfg, cfg[key])}'
            )
    if cfg_options:
        try:
            cfg.merge_from_dict(dict(cfg_options))
        except (AttributeError, KeyError, TypeError) as error:
            raise ConfigError(
                f'--cfg-options {enumerate_names(cfg_options)}: cannot be merged into {path} ({error}). Of a list only '
                'entries that are dicts can be changed one by one; give other lists as a whole'
            ) from error
    check_config(cfg)
    for key in helpers:
        cfg.pop(key)
    return cfg


def check_config(cfg: Config) -> None:
    """Raise if a config holds a key that nothing reads.

    * Top level: keys of the runner; helper variables, that is names some file of the config reads itself, names
      defined by a file inherited from another package, and the customary :data:`HELPER_PATTERNS`.
    * ``dict(type=T, ...)`` anywhere below a runner key: arguments of ``T``.  Types of packages that are not imported
      yet (mmseg, mmdet) are left to their builders; nothing is imported for the check.
    * Data loaders, ``model.clip``, ``model.timm``, and the few untyped dicts of the runner: their fixed keys.
    * The same for the config of every phase.

    Raises:
        ConfigError: lists every problem with the closest existing keys.
    """
    checker = _Checker(cfg.get('default_scope') or 'mmengine')
    for key in sorted(cfg):
        if key in RUNNER_KEYS:
            checker.visit_top(key, cfg[key])
    helpers = _helper_names(cfg)
    for key in sorted(cfg):
        if key not in RUNNER_KEYS | helpers and not any(fnmatchcase(key, p) for p in HELPER_PATTERNS):
            checker.problems.append((key, 'nothing reads the top-level key'))
    if checker.problems:
        known = [*sorted(RUNNER_KEYS), *checker.known]
        lines = [f'{what} {key!r}.{did_you_mean(key, known)}' for key, what in checker.problems]
        raise ConfigError(f'{cfg.filename or "config"}:\n  ' + '\n  '.join([*lines, *checker.other]))
    if checker.other:
        raise ConfigError(f'{cfg.filename or "config"}:\n  ' + '\n  '.join(checker.other))
    _check_phases(cfg)


def _check_phases(cfg: Config) -> None:
    """Check the config of every phase, see :mod:`vlprompt.engine.phases`."""
    from vlprompt.engine.phases import phase_config

    phases = cfg.get('phases') or {}
    if not isinstance(phases, Mapping) or not all(isinstance(phase, Mapping) for phase in phases.values()):
        raise ConfigError(f'{cfg.filename or "config"}: phases must be a dict of dicts, dict(<name>=dict(...), ...)')
    configs = {name: phase_config(cfg, name) for name in phases}
    for name, single in configs.items():
        for key, part in (single.get('model') or {}).items():
            if isinstance(part, Mapping) and 'type' not in part and (owner := _owner(configs, key)):
                raise ConfigError(
                    f'{cfg.filename or "config"}: phase {name!r} has model.{key}={dict(part)} without a type. Only '
                    f'phase {owner!r} has a {key}: set phases.{owner}.model.{key}.{next(iter(part), "...")} instead'
                )
        try:
            check_config(single)
        except ConfigError as error:
            raise ConfigError(f'phase {name!r} of {error}') from None


def _owner(configs: Mapping[str, Config], key: str) -> str | None:
    """The first phase whose ``model`` has a ``key`` with a type."""
    parts = {name: (single.get('model') or {}).get(key) for name, single in configs.items()}
    return next((name for name, part in parts.items() if isinstance(part, Mapping) and 'type' in part), None)


class _Checker:
    """Walks a config, collecting problems and every dotted key that would be valid."""

    def __init__(self, default_scope: str) -> None:
        self.default_scope = default_scope
        self.problems: list[tuple[str, str]] = []  # (dotted key, what is wrong with it)
        self.other: list[str] = []  # complete sentences
        self.known: list[str] = []

    def visit_top(self, key: str, value: Any) -> None:
        if key.endswith('_dataloader') and isinstance(value, Mapping):
            self._check_keys(key, value, _DATALOADER_KEYS, 'a data loader')
            self._visit_children(key, value, None)
        elif key in _PLAIN_DICTS and isinstance(value, Mapping):
            self._check_keys(key, value, _PLAIN_DICTS[key], key)
        elif key in ('train_cfg', 'val_cfg', 'test_cfg') and isinstance(value, Mapping) and 'type' not in value:
            self._check_constructor(key, value, _default_loop(key, value), LOOPS)
        elif key in ('default_hooks', 'custom_hooks'):
            self._visit_hooks(key, value)
        elif key in REGISTRY_OF_KEY:
            self._visit(key, value, REGISTRY_OF_KEY[key])

    def _visit_hooks(self, key: str, value: Any) -> None:
        items = value.items() if isinstance(value, Mapping) else enumerate(value or ())
        names = list(value) if isinstance(value, Mapping) else []
        for name, hook in items:
            if isinstance(hook, Mapping) and 'type' not in hook:
                hint = did_you_mean(str(name), [n for n in names if n != name])
                self.other.append(f'{key}.{name} has no type.{hint}')
            else:
                self._visit(f'{key}.{name}', hook, REGISTRY_OF_KEY[key])

    def _visit(self, path: str, node: Any, registry: Registry | None) -> None:
        if isinstance(node, (list, tuple)):
            for index, item in enumerate(node):
                self._visit(f'{path}.{index}', item, registry)
        elif isinstance(node, Mapping):
            if 'type' in node and registry is not None:
                self._visit_typed(path, node, registry)
            elif path == 'optim_wrapper' and 'optimizer' in node:
                self._visit_typed(path, dict(type='OptimWrapper', **node), registry)
            else:
                self._visit_children(path, node, registry)

    def _visit_typed(self, path: str, node: Mapping, registry: Registry) -> None:
        scope = node.get('_scope_', self.default_scope)
        candidates = [registry, TASK_UTILS, EVALUATOR]
        target = resolve(node['type'], candidates, scope)
        if target is None and isinstance(node['type'], str):
            self._check_type(path, node['type'], candidates)
        if target is not None:
            self._check_constructor(path, node, target, registry)
        self._visit_children(path, node, registry, target)

    def _visit_children(self, path: str, node: Mapping, registry: Registry | None, target: Any = None) -> None:
        """Visit what ``node`` holds; ``target``, its type, may declare in ``nested`` what reads its untyped dicts."""
        nested = getattr(target, 'nested', {})
        for key, value in node.items():
            if key in nested and isinstance(value, Mapping) and 'type' not in value:
                self._check_constructor(f'{path}.{key}', value, nested[key], registry)
                self._visit_children(f'{path}.{key}', value, registry, nested[key])
            elif isinstance(value, (Mapping, list, tuple)):
                switches = registry is not MODELS or key in _SWITCHING_IN_MODELS
                below = REGISTRY_OF_KEY.get(key, registry) if switches else registry
                self._visit(f'{path}.{key}', value, below)

    def _check_type(self, path: str, name: str, candidates: list[Registry]) -> None:
        """Report a type that resolves nowhere, if it is one of ours or looks like a slip for a known one.

        Others may be meant for a registry that only their builder knows; it raises its own error.
        """
        hint = did_you_mean(name.removeprefix('vlprompt.'), known_types(candidates))
        if name.startswith('vlprompt.') or (hint and self.default_scope == 'vlprompt' and '.' not in name):
            self.other.append(f'{path}.type={name!r} is not registered.{hint}')

    def _check_constructor(self, path: str, node: Mapping, target: Any, registry: Registry) -> None:
        names, takes_more = accepted_arguments(target)
        names |= EXTRA_KEYS.get(registry.name, set()) | EXTRA_KEYS.get(path.rpartition('.')[2], set())
        self.known += [f'{path}.{name}' for name in sorted(names)]
        if (
            not takes_more or target is CheckpointHook
        ):  # which hands what it does not know to the runner; ours takes none
            self._check_keys(path, node, names, target.__name__)

    def _check_keys(self, path: str, node: Mapping, allowed: Iterable[str], owner: str) -> None:
        allowed = set(allowed) | _BOOKKEEPING
        self.known += [f'{path}.{name}' for name in sorted(allowed - _BOOKKEEPING)]
        self.problems += [(f'{path}.{key}', f'{owner} does not take') for key in node if key not in allowed]


def _default_loop(key: str, value: Mapping) -> type:
    if key == 'train_cfg':
        return EpochBasedTrainLoop if value.get('by_epoch', True) else IterBasedTrainLoop
    return ValLoop if key == 'val_cfg' else TestLoop


def _where_used(cfg: Config, value: Any) -> str:
    """``' Set a, b instead.'`` with the runner's keys that hold the very value of a helper variable."""
    found: list[str] = []

    def search(path: str, node: Any) -> None:
        if path and type(node) is type(value) and node == value:
            found.append(path)
        elif isinstance(node, Mapping):
            for key, child in node.items():
                search(f'{path}.{key}' if path else key, child)
        elif isinstance(node, (list, tuple)):
            for index, child in enumerate(node):
                search(f'{path}.{index}', child)

    search('', {key: cfg[key] for key in cfg if key in RUNNER_KEYS})
    return f' Set {enumerate_names(found)} instead.' if found else ''


def _helper_names(cfg: Config) -> set[str]:
    """Names the config's own files read, and names that files inherited from other packages define."""
    helpers: set[str] = set()
    for file in _files(cfg.filename):
        tree = ast.parse(file.read_text(encoding='utf-8'))
        names = [node for node in ast.walk(tree) if isinstance(node, ast.Name)]
        helpers |= {node.id for node in names if isinstance(node.ctx, ast.Load)}
        helpers |= {node.attr for node in ast.walk(tree) if _is_base_variable(node)}
        if '.mim' in file.parts:
            helpers |= {node.id for node in names if isinstance(node.ctx, ast.Store)}
    return helpers


def _is_base_variable(node: ast.AST) -> bool:
    """``_base_.name``."""
    return isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == '_base_'


def _files(filename: str | None) -> list[Path]:
    """A Python config file and everything it inherits, as far as the files still exist."""
    if filename is None or not str(filename).endswith('.py') or not Path(filename).is_file():
        return []
    bases = [Config._get_cfg_path(base, str(filename))[0] for base in Config._get_base_files(str(filename))]
    return [Path(filename), *(file for base in bases for file in _files(base))]
