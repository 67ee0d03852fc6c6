"""Reject config keys that nothing reads, types that do not exist and values of the wrong kind.

mmengine accepts any key: ``model.nctx=4`` or a misspelt ``optim_wraper`` has no effect and raises no error.  Here a
top-level key must be one that the runner reads or a helper variable of the config files, and a ``dict(type=...)``
may only hold arguments of that type's constructor.
"""

from __future__ import annotations

import ast
import inspect
import sys
from collections.abc import Callable, Iterable, Mapping
from fnmatch import fnmatchcase
from importlib import import_module
from pathlib import Path
from typing import Any

from mmengine.config import Config
from mmengine.hooks import CheckpointHook
from mmengine.registry import FUNCTIONS, TASK_UTILS, Registry
from mmengine.runner import EpochBasedTrainLoop, IterBasedTrainLoop, Runner, TestLoop, ValLoop
from torch.utils.data import DataLoader

from vlprompt import registry as ours
from vlprompt.engine.config_values import wrong_by_annotation, wrong_by_name
from vlprompt.errors import ConfigError
from vlprompt.messages import did_you_mean
from vlprompt.registry import EVALUATOR, LOOPS, MODELS

# Config keys whose values are built by a different registry than the enclosing dict.
REGISTRY_OF_KEY: dict[str, Registry] = dict(
    model=ours.MODELS,
    tta_model=ours.MODELS,
    tta_pipeline=ours.TRANSFORMS,
    data_preprocessor=ours.MODELS,
    dataset=ours.DATASETS,
    datasets=ours.DATASETS,
    pipeline=ours.TRANSFORMS,
    transforms=ours.TRANSFORMS,
    sampler=ours.DATA_SAMPLERS,
    batch_sampler=ours.DATA_SAMPLERS,
    collate_fn=FUNCTIONS,
    worker_init_fn=FUNCTIONS,
    optim_wrapper=ours.OPTIM_WRAPPERS,
    optimizer=ours.OPTIMIZERS,
    param_scheduler=ours.PARAM_SCHEDULERS,
    val_evaluator=ours.METRICS,
    test_evaluator=ours.METRICS,
    default_hooks=ours.HOOKS,
    custom_hooks=ours.HOOKS,
    visualizer=ours.VISUALIZERS,
    vis_backends=ours.VISBACKENDS,
    log_processor=ours.LOG_PROCESSORS,
    train_cfg=ours.LOOPS,
    val_cfg=ours.LOOPS,
    test_cfg=ours.LOOPS,
    init_cfg=ours.WEIGHT_INITIALIZERS,
)

# Keys that mmengine and mmcv remove from a typed dict before they call the constructor: by registry, or by the name of
# the dict.
EXTRA_KEYS: dict[str, set[str]] = {
    ours.OPTIM_WRAPPERS.name: {'constructor', 'paramwise_cfg'},
    ours.PARAM_SCHEDULERS.name: {'convert_to_iter_based'},
    ours.HOOKS.name: {'priority'},
    ours.LOOPS.name: {'by_epoch'},
    'norm_cfg': {'requires_grad'},
}


def accepted_arguments(target: Callable) -> tuple[set[str], bool]:
    """Names a constructor or function takes, following ``**kwargs`` up the inheritance chain.

    Returns:
        The names, and whether any other name is accepted too (``**kwargs`` with no parent to take them).
    """
    if not inspect.isclass(target):
        return _names(target)
    names: set[str] = set()
    constructors = [cls.__init__ for cls in target.__mro__ if cls is not object and '__init__' in cls.__dict__]
    for constructor in constructors:
        own, takes_more = _names(constructor)
        names |= own - {'self'}
        if not takes_more:
            return names, False
    return names, bool(constructors)


def _names(function: Callable) -> tuple[set[str], bool]:
    parameters = inspect.signature(function).parameters.values()
    names = {p.name for p in parameters if p.kind in (p.POSITIONAL_OR_KEYWORD, p.KEYWORD_ONLY)}
    return names, any(p.kind is p.VAR_KEYWORD for p in parameters)


def resolve(type_: Any, registries: Iterable[Registry], default_scope: str) -> Callable | None:
    """Look up the class or function of a ``type=`` in several registries in turn.

    Packages other than ours are never imported here: their types are resolved only if their registry is loaded
    already.  None if none of the loaded registries, ours included, has it.
    """
    if not isinstance(type_, str):
        return type_
    prefix = type_.split('.')[0] if '.' in type_ else default_scope
    if prefix not in ('vlprompt', 'mmengine') and f'{prefix}.registry' not in sys.modules:
        return None
    for registry in registries:
        found = _child(registry, prefix).get(type_)
        if found is not None:
            return found
    return None


def known_types(registries: Iterable[Registry]) -> list[str]:
    """Names of all loaded types, for suggestions."""
    return [name for r in registries for node in (r, r.root) for name in node.module_dict]


def _child(registry: Registry, scope: str) -> Registry:
    """The node of a registry's tree that belongs to a scope."""
    import_module(f'{scope}.registry')
    child = registry.root._search_child(scope)
    return registry if child is None else child  # an empty registry is falsy


def _is_registered(name: str, scope: str) -> bool:
    """Whether any registry of a loaded package has a type of this name."""
    found = vars(sys.modules[f'{scope}.registry']).values()
    return any(name in registry.module_dict for registry in found if isinstance(registry, Registry))


# Arguments of Runner.__init__, and further keys that the runner, the tools or the loops read from the config.
RUNNER_KEYS = (set(inspect.signature(Runner.__init__).parameters) - {'self', 'cfg'}) | {
    'runner_type',
    'custom_imports',
    'model_wrapper_cfg',
    'sync_bn',
    'find_unused_parameters',
    'activation_checkpointing',
    'efficient_conv_bn_eval',
    'compile',
    'strategy',
    'tta_model',
    'tta_pipeline',
    'other_classes',
    'test_after_training',
    'phases',
    'phase',
    'start_from',
    'dataset',
    'shots',
    'recipe',
}

# Customary helper variables of configs, which need no reader in the file itself.
HELPER_PATTERNS = ('_*', 'data_root', 'dataset_type', '*_pipeline', 'backend_args', 'metainfo')

# Dicts without a type, whose keys are fixed nevertheless.
_PLAIN_DICTS = dict(
    env_cfg={'cudnn_benchmark', 'tf32', 'channels_last', 'mp_cfg', 'dist_cfg', 'resource_limit'},
    randomness={'seed', 'diff_rank_seed', 'deterministic'},
    auto_scale_lr={'enable', 'base_batch_size'},
    start_from={'keys', 'checkpoint'},
    compile={'backend', 'mode', 'dynamic', 'fullgraph', 'options'},
)
_DATALOADER_KEYS = accepted_arguments(DataLoader)[0] | {
    'num_batch_per_epoch',
    'diff_rank_seed',
    'disable_subprocess_warning',
}
_BOOKKEEPING = {'type', '_scope_', '_delete_'}
# Inside a model, 'sampler', 'dataset', ... may mean something else than in a data loader.
_SWITCHING_IN_MODELS = {'data_preprocessor', 'init_cfg'}


def check_config(cfg: Config) -> None:
    """Raise if a config holds a key that nothing reads.

    * Top level: keys of the runner; helper variables, i.e. names that a file of the config reads itself, names
      defined by a file inherited from another package, and the customary :data:`HELPER_PATTERNS`.
    * ``dict(type=T, ...)`` anywhere below a runner key: arguments of ``T``.  Types of packages that are not imported
      yet (mmseg, mmdet) are left to their builders; the check imports nothing.
    * Data loaders, ``model.clip``, ``model.timm``, and the few untyped dicts of the runner: their fixed keys.

    Raises:
        ConfigError: lists every problem with the closest existing keys.
    """
    checker = _Checker(cfg.get('default_scope') or 'mmengine')
    for key in sorted(cfg):
        if key in RUNNER_KEYS:
            checker.visit_top(key, cfg[key])
    helpers = helper_names(cfg)
    for key in sorted(cfg):
        if key not in RUNNER_KEYS | helpers and not any(fnmatchcase(key, p) for p in HELPER_PATTERNS):
            checker.problems.append((key, 'nothing reads the top-level key'))
    if checker.problems:
        known = [*sorted(RUNNER_KEYS), *checker.known]
        lines = [f'{what} {key!r}.{did_you_mean(key, known)}' for key, what in checker.problems]
        raise ConfigError(f'{cfg.filename or "config"}:\n  ' + '\n  '.join([*lines, *checker.other]))
    if checker.other:
        raise ConfigError(f'{cfg.filename or "config"}:\n  ' + '\n  '.join(checker.other))


class _Checker:
    """Walks a config, collecting problems and every dotted key that would be valid."""

    def __init__(self, default_scope: str) -> None:
        self.default_scope = default_scope
        self.problems: list[tuple[str, str]] = []  # (dotted key, what is wrong with it)
        self.other: list[str] = []  # complete sentences
        self.known: list[str] = []

    def visit_top(self, key: str, value: Any) -> None:
        if (wanted := wrong_by_name(key, value)) is not None:
            self.other.append(f'{key}={value!r} must be {wanted}')
        if key.endswith('_dataloader') and isinstance(value, Mapping):
            self._check_keys(key, value, _DATALOADER_KEYS, 'a data loader')
            self._visit_children(key, value, None)
        elif key in _PLAIN_DICTS and isinstance(value, Mapping):
            self._check_keys(key, value, _PLAIN_DICTS[key], key)
            for path, part in ((key, value), *((f'{key}.{name}', part) for name, part in value.items())):
                if isinstance(part, Mapping):
                    self._check_values(path, part, None, None)
        elif key in ('train_cfg', 'val_cfg', 'test_cfg') and isinstance(value, Mapping) and 'type' not in value:
            self._check_constructor(key, value, _default_loop(key, value), LOOPS)
            self._check_values(key, value, LOOPS, None)
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
            self._check_type(path, node['type'], candidates, scope)
        if target is not None:
            self._check_constructor(path, node, target, registry)
        self._visit_children(path, node, registry, target)

    def _visit_children(self, path: str, node: Mapping, registry: Registry | None, target: Any = None) -> None:
        """Visit what ``node`` holds; ``target``, its type, may declare in ``nested`` what reads its untyped dicts."""
        nested = getattr(target, 'nested', {})
        self._check_values(path, node, registry, target)
        for key, value in node.items():
            if key in nested and isinstance(value, Mapping) and 'type' not in value:
                self._check_constructor(f'{path}.{key}', value, nested[key], registry)
                self._visit_children(f'{path}.{key}', value, registry, nested[key])
            elif isinstance(value, (Mapping, list, tuple)):
                switches = registry is not MODELS or key in _SWITCHING_IN_MODELS
                below = REGISTRY_OF_KEY.get(key, registry) if switches else registry
                self._visit(f'{path}.{key}', value, below)

    def _check_values(self, path: str, node: Mapping, registry: Registry | None, target: Any) -> None:
        for key, value in node.items():
            wanted = None if registry is MODELS else wrong_by_name(key, value)
            if wanted is None and target is not None:
                wanted = wrong_by_annotation(target, key, value)
            if wanted is not None:
                self.other.append(f'{path}.{key}={value!r} must be {wanted}')

    def _check_type(self, path: str, name: str, candidates: list[Registry], scope: str) -> None:
        """Report a type that no registry knows, if it is one of ours or looks like a misspelt known one.

        Others may belong to a registry that only their builder knows, which raises its own error.
        """
        prefix, _, bare = name.rpartition('.')
        scope = prefix or scope
        if f'{scope}.registry' not in sys.modules or _is_registered(bare, scope):
            return
        hint = did_you_mean(bare, known_types([_child(registry, scope) for registry in candidates]))
        if hint or prefix == 'vlprompt':
            self.other.append(f'{path}.type={name!r} is not registered.{hint}')

    def _check_constructor(self, path: str, node: Mapping, target: Any, registry: Registry) -> None:
        names, takes_more = accepted_arguments(target)
        names |= EXTRA_KEYS.get(registry.name, set()) | EXTRA_KEYS.get(path.rpartition('.')[2], set())
        self.known += [f'{path}.{name}' for name in sorted(names)]
        saves = inspect.isclass(target) and issubclass(target, CheckpointHook)
        if not takes_more or saves:  # it forwards unknown keys to the runner, ours accepts none
            self._check_keys(path, node, names, target.__name__)

    def _check_keys(self, path: str, node: Mapping, allowed: Iterable[str], owner: str) -> None:
        allowed = set(allowed) | _BOOKKEEPING
        self.known += [f'{path}.{name}' for name in sorted(allowed - _BOOKKEEPING)]
        self.problems += [(f'{path}.{key}', f'{owner} does not take') for key in node if key not in allowed]


def _default_loop(key: str, value: Mapping) -> type:
    if key == 'train_cfg':
        return EpochBasedTrainLoop if value.get('by_epoch', True) else IterBasedTrainLoop
    return ValLoop if key == 'val_cfg' else TestLoop


def helper_names(cfg: Config) -> set[str]:
    """Names that the config's own files read, and names that files inherited from other packages define."""
    helpers: set[str] = set()
    for file in inherited_files(cfg.filename):
        helpers |= _read_names(file)
        if '.mim' in file.parts:
            helpers |= _assigned_names(file)
    return helpers


def deleted_keys(filename: str | None) -> list[tuple[str, ...]]:
    """Keys of the dicts that hold ``_delete_=True`` in a config file or in one that it inherits, as paths of keys."""
    found: list[tuple[str, ...]] = []

    def visit(node: ast.AST, path: tuple[str, ...]) -> None:
        entries: list[tuple[str | None, ast.AST]] = []
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == 'dict':
            entries = [(keyword.arg, keyword.value) for keyword in node.keywords]
        elif isinstance(node, ast.Dict):
            keys = (key.value if isinstance(key, ast.Constant) else None for key in node.keys)
            entries = list(zip(keys, node.values, strict=True))
        for key, value in entries:
            if key == '_delete_' and isinstance(value, ast.Constant) and value.value is True:
                found.append(path)
            elif key is not None:
                visit(value, (*path, str(key)))

    for file in inherited_files(filename):
        for statement in ast.parse(file.read_text(encoding='utf-8')).body:
            if isinstance(statement, ast.Assign) and isinstance(statement.targets[0], ast.Name):
                visit(statement.value, (statement.targets[0].id,))
    return found


def unread_names(files: Iterable[Path]) -> set[str]:
    """Names that config files assign at their top level and that none of them reads itself."""
    return {name for file in files for name in _assigned_names(file)} - {n for file in files for n in _read_names(file)}


def _read_names(file: Path) -> set[str]:
    """Names that a config file reads, also as ``_base_.name``."""
    tree = ast.parse(file.read_text(encoding='utf-8'))
    names = {node.id for node in ast.walk(tree) if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Load)}
    return names | {node.attr for node in ast.walk(tree) if _is_base_variable(node)}


def _assigned_names(file: Path) -> set[str]:
    """Names that a config file assigns at its top level, alone or in a tuple."""
    targets = [
        target
        for statement in ast.parse(file.read_text(encoding='utf-8')).body
        if isinstance(statement, ast.Assign)
        for target in statement.targets
    ]
    return {node.id for target in targets for node in ast.walk(target) if isinstance(node, ast.Name)}


def _is_base_variable(node: ast.AST) -> bool:
    """``_base_.name``."""
    return isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == '_base_'


def inherited_files(filename: str | None) -> list[Path]:
    """A Python config file and everything it inherits, as far as the files still exist."""
    if filename is None or not str(filename).endswith('.py') or not Path(filename).is_file():
        return []
    bases = [Config._get_cfg_path(base, str(filename))[0] for base in Config._get_base_files(str(filename))]
    return [Path(filename), *(file for base in bases for file in inherited_files(base))]
