"""The config of an adapter: the text that a run writes is read without being executed, and builds what it needs.

A config of mmengine is Python code, and its types can name any function of any module.  The config of a folder that
comes from elsewhere may do neither: only literals are read, and types must be registered.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator, Mapping
from importlib import import_module
from pathlib import Path
from typing import Any

from mmengine.config import Config
from mmengine.registry import Registry
from mmengine.utils import import_modules_from_strings

from vlprompt.errors import CheckpointError

USED = (
    'custom_imports',
    'default_scope',
    'env_cfg',
    'model',
    'recipe',
    'runner_type',
    'test_cfg',
    'test_dataloader',
    'test_evaluator',
    'tta_model',
    'tta_pipeline',
)
"""Top-level keys that building a model, predicting and testing need; the others describe a training."""

SCOPES = ('vlprompt', 'mmengine', 'mmcv', 'mmseg', 'mmdet')
"""Packages whose registered types an adapter may use."""

UNREGISTERED = {'nms.type': ('nms', 'soft_nms'), 'roi_layer.type': ('RoIAlign', 'RoIPool')}
"""End of a key -> its values that are no registered types: mmcv evaluates the text of the former, and mmdet looks for
the latter in ``mmcv.ops``."""

EXECUTING = ('CameraMotionCompensation', 'KnowledgeDistillationSingleStageDetector', 'RefCocoDataset', 'TIMMBackbone')
"""Registered types that evaluate a text of their config, run a config file, or unpickle files of any name."""

EXECUTED = ('pkl', 'pickle', 'yml', 'yaml')
"""Suffixes of files from which mmengine makes objects of any class; they may be addresses of the web."""

FORMATS = ('decode_backend', 'file_format')
"""Options that name such a form instead."""

WRITING = ('collect_dir', 'out_file_path', 'outfile_prefix', 'output_dir')
"""Options by which metrics write files, which an adapter may not choose."""

_TYPES = ('type', 'runner_type')
_OWN_MODULE = re.compile(r'vlprompt(\.\w+)+')


def config_of_adapter(content: Mapping[str, Any], source: str) -> Config:
    """The config, for prediction and tests, that an adapter was trained with.

    Args:
        content: as :func:`~vlprompt.engine.checkpoint.read_checkpoint` returns it.
        source: the adapter, for messages.

    Raises:
        CheckpointError: it holds no config, or one that is more than literals, that uses types or modules which are not
            those of :data:`SCOPES`, or that would execute something or write somewhere by an option.
    """
    text = content['meta'].get('cfg')
    if text is None:
        raise CheckpointError(f'{source} does not hold a config: give that of its model, CONFIG {source}')
    values = {key: value for key, value in parse_config(text, source).items() if key in USED}
    if not isinstance(values.get('model'), Mapping):
        raise CheckpointError(f'{source}: its config has no model=dict(...)')
    _import_own(values.get('custom_imports'), source)
    scope = values.get('default_scope') or 'vlprompt'
    for path, type_ in _entries(values):
        key = path.rpartition('.')[2]
        if key in ('_scope_', 'default_scope') and type_ not in (None, *SCOPES):
            raise CheckpointError(f'{source}: {path}={type_!r} in its config is none of {", ".join(SCOPES)}')
        if _executes(key, type_):
            raise CheckpointError(
                f'{source}: {path}={type_!r} in its config could execute something: give a config of your own, if you '
                'trust it'
            )
        among = next((types for end, types in UNREGISTERED.items() if path.endswith(end)), None)
        known = type_ in among if among else key not in _TYPES or _is_registered(type_, scope)
        if not known:
            raise CheckpointError(
                f'{source}: {path}={type_!r} in its config is no registered type of {", ".join(SCOPES)}: import the '
                'module that registers it first, if you trust it, or give a config of your own'
            )
    for path, value in _entries(values):
        key = path.rpartition('.')[2]
        if (key in WRITING and value is not None) or (key == 'store' and not _is_below(value)):
            raise CheckpointError(
                f'{source}: {path}={value!r} in its config would write there: give a config of your own'
            )
    values['work_dir'] = str(Path('work_dirs', Path(source.rpartition(':')[2]).name))  # not that of the training
    return Config(values)


def parse_config(text: str, source: str) -> dict[str, Any]:
    """The values in the text of a composed config: assignments of literals and ``dict(...)``.

    Args:
        text: as ``Config.pretty_text`` is.
        source: where it stands, for messages.

    Raises:
        CheckpointError: anything else is in it, such as a call or an import; the message names the line.
    """
    try:
        statements = ast.parse(text).body
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        raise CheckpointError(f'{source}: its config is not valid Python ({error})') from error
    values = {}
    for statement in statements:
        named = isinstance(statement, ast.Assign) and len(statement.targets) == 1
        if not named or not isinstance(statement.targets[0], ast.Name):
            raise _refused(statement, source)
        values[statement.targets[0].id] = _literal(statement.value, source)
    return values


def _literal(node: ast.expr, source: str) -> Any:
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == 'dict':
        mappings = node.args  # mmengine writes dict({'a.b': ...}) where a key is no identifier
        if any(not isinstance(arg, ast.Dict) for arg in mappings) or len(mappings) > 1:
            raise _refused(node, source)
        if any(keyword.arg is None for keyword in node.keywords):
            raise _refused(node, source)
        named = {keyword.arg: _literal(keyword.value, source) for keyword in node.keywords}
        return {key: value for arg in mappings for key, value in _literal(arg, source).items()} | named
    if isinstance(node, ast.Dict) and all(isinstance(key, (ast.Constant, ast.UnaryOp)) for key in node.keys):
        pairs = zip(node.keys, node.values, strict=True)
        return {_literal(key, source): _literal(value, source) for key, value in pairs}
    if isinstance(node, (ast.List, ast.Tuple)):
        items = [_literal(item, source) for item in node.elts]
        return items if isinstance(node, ast.List) else tuple(items)
    if isinstance(node, ast.Constant):
        return node.value
    if isinstance(node, ast.Name) and node.id in ('inf', 'nan'):  # as repr writes them
        return float(node.id)
    if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub):
        value = _literal(node.operand, source)
        if isinstance(value, (int, float)):
            return -value
    raise _refused(node, source)


def _refused(node: ast.AST, source: str) -> CheckpointError:
    return CheckpointError(
        f'{source}: line {node.lineno} of its config is {ast.unparse(node)[:60]!r}; only literals are read from an '
        'adapter, nothing is executed'
    )


def _import_own(wanted: Any, source: str) -> None:
    """Import the modules of ``custom_imports``, which must be this package's."""
    modules = (wanted or {}).get('imports') or [] if isinstance(wanted, (Mapping, type(None))) else [wanted]
    modules = [modules] if isinstance(modules, str) else modules
    for module in modules:
        if not isinstance(module, str) or not _OWN_MODULE.fullmatch(module):
            raise CheckpointError(
                f'{source}: its config imports {module!r}, which is no module of vlprompt: give a config of your own, '
                'if you trust it'
            )
    if modules:
        import_modules_from_strings(list(modules))


def _entries(node: Any, path: str = '') -> Iterator[tuple[str, Any]]:
    """Every entry below a value with its dotted key."""
    pairs = node.items() if isinstance(node, Mapping) else enumerate(node) if isinstance(node, (list, tuple)) else ()
    for key, value in pairs:
        below = f'{path}.{key}' if path else str(key)
        yield below, value
        yield from _entries(value, below)


def _executes(key: str, value: Any) -> bool:
    """Whether an entry of a config makes a package execute what a text or a file says."""
    if not isinstance(value, str):
        return False
    if key in _TYPES:
        return value.rpartition('.')[2] in EXECUTING
    return value in EXECUTED if key in FORMATS else value.lower().endswith(tuple(f'.{suffix}' for suffix in EXECUTED))


def _is_below(value: Any) -> bool:
    """Whether a path leads to a place below the working directory, or there is none."""
    if value is None:
        return True
    return isinstance(value, str) and not Path(value).is_absolute() and '..' not in Path(value).parts


def _is_registered(type_: Any, scope: str) -> bool:
    """Whether a registry of one of the :data:`SCOPES` has the type; those of mmengine serve every scope."""
    prefix, _, name = type_.rpartition('.') if isinstance(type_, str) else ('', '', '')
    scopes = [prefix] if prefix else [scope, 'mmengine']
    if not name or not set(scopes) <= set(SCOPES):
        return False
    return any(_has_type(name, each) for each in scopes)


def _has_type(name: str, scope: str) -> bool:
    """Whether a package registers a type; its modules are imported one registry after another until it is found."""
    package = 'mmcv.transforms' if scope == 'mmcv' else f'{scope}.registry'
    for registry in vars(import_module(package)).values():
        if isinstance(registry, Registry) and registry.scope in (scope, 'mmengine'):
            if name in registry.module_dict:
                return True
            registry.import_from_location()
            if name in registry.module_dict:
                return True
    return False
