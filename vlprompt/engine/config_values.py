"""Check the type and range of config values.

Arguments of this package's own types are compared with the annotations of their constructors.  mmengine, torch and
other packages are not annotated reliably; of theirs, a few keys that every run has are checked by name.
"""

from __future__ import annotations

import inspect
import math
import types
import typing
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from typing import Any

PACKAGE = __name__.partition('.')[0]


def is_whole(value: Any) -> bool:
    """An integer, but not a boolean."""
    return isinstance(value, int) and not isinstance(value, bool)


def is_number(value: Any) -> bool:
    """An integer or a float, but not a boolean."""
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def is_recipe(value: Any) -> bool:
    """Whether it names the dataset and the number of shots, or None, of a recipe."""
    known = isinstance(value, Mapping) and set(value) == {'dataset', 'shots'}
    return known and isinstance(value['dataset'], str) and _POSITIVE_OR_NONE[1](value['shots'])


_POSITIVE = ('a positive whole number', lambda value: is_whole(value) and value > 0)
_POSITIVE_OR_NONE = ('a positive whole number or None', lambda value: value is None or _POSITIVE[1](value))
_COUNT = ('a whole number, at least 0', lambda value: is_whole(value) and value >= 0)
_COUNT_OR_NONE = ('a whole number, at least 0, or None', lambda value: value is None or _COUNT[1](value))
_STEP = ('a whole number other than 0', lambda value: is_whole(value) and value != 0)
_RATE = ('a finite number, at least 0', lambda value: is_number(value) and 0 <= value < math.inf)
_POSITIVE_RATE = ('a positive number', lambda value: is_number(value) and 0 < value < math.inf)
_YES_NO = ('True or False', lambda value: isinstance(value, bool))
_PATH_OR_NONE = ('a path, or None', lambda value: value is None or isinstance(value, str))
_RECIPE = ('dict(dataset=..., shots=...), which composing a config writes', is_recipe)
_KEPT = ('a positive whole number, or -1 for all', lambda value: is_whole(value) and (value > 0 or value == -1))


_START = ('fork, spawn or forkserver', lambda value: value in ('fork', 'spawn', 'forkserver'))


def _is_size(value: Any) -> bool:
    sides = value if isinstance(value, (list, tuple)) else [value]
    return len(sides) in (1, 2) and all(map(_POSITIVE[1], sides))


_SIZE = ('a positive whole number of pixels, or two', _is_size)

RULES: dict[str, tuple[str, Callable[[Any], bool]]] = dict(
    batch_size=_POSITIVE,
    base_batch_size=_POSITIVE,
    num_workers=_COUNT,
    accumulative_counts=_POSITIVE,
    max_epochs=_POSITIVE,
    max_iters=_POSITIVE,
    val_begin=_COUNT,
    val_interval=_POSITIVE,
    interval=_STEP,  # of the CheckpointHook -1: never
    max_keep_ckpts=_KEPT,
    recipe=_RECIPE,
    shots=_POSITIVE_OR_NONE,
    seed=_COUNT_OR_NONE,
    lr=_RATE,
    weight_decay=_RATE,
    momentum=_RATE,
    T_max=_POSITIVE_OR_NONE,
    warmup_epochs=_COUNT,
    max_norm=_POSITIVE_RATE,
    window_size=_POSITIVE,
    save_begin=_COUNT,
    skip=_COUNT,
    size=_SIZE,
    timeout=('a number of seconds, at least 0', _RATE[1]),
    prefetch_factor=_POSITIVE_OR_NONE,
    persistent_workers=_YES_NO,
    pin_memory=_YES_NO,
    drop_last=_YES_NO,
    shuffle=_YES_NO,
    by_epoch=_YES_NO,
    save_last=_YES_NO,
    save_optimizer=_YES_NO,
    deterministic=_YES_NO,
    cudnn_benchmark=_YES_NO,
    tf32=_YES_NO,
    channels_last=_YES_NO,
    resume=_YES_NO,
    load_from=_PATH_OR_NONE,
    work_dir=_PATH_OR_NONE,
    out_dir=_PATH_OR_NONE,
    clip_grad=('a dict, such as dict(max_norm=1), or None', lambda value: value is None or isinstance(value, Mapping)),
    save_best=('a metric, a list of metrics, or None', lambda value: value is None or isinstance(value, (str, list))),
    filename_tmpl=(
        "a name with '{}' for the epoch or iteration, or None",
        lambda value: value is None or (isinstance(value, str) and '{}' in value),
    ),
    mp_start_method=_START,
    multiprocessing_context=('None or one of ' + _START[0], lambda value: value is None or _START[1](value)),
    launcher=('none, pytorch, slurm or mpi', ('none', 'pytorch', 'slurm', 'mpi').__contains__),
    log_level=('DEBUG, INFO, WARNING or ERROR', ('DEBUG', 'INFO', 'WARNING', 'ERROR', 'CRITICAL').__contains__),
)
"""Keys outside of models whose values are always checked: a description of valid values, and the test."""


def wrong_by_name(key: str, value: Any) -> str | None:
    """Description of the values that a well-known key may have, if ``value`` is not one of them; else None."""
    wanted, test = RULES.get(key, ('', lambda value: True))
    return None if test(value) else wanted


def wrong_by_annotation(target: Callable, key: str, value: Any) -> str | None:
    """Description of the values that an argument of one of our types may have, if the value is not one of them."""
    hint = _annotations(target).get(key)
    return None if hint is None or fits(value, hint) else _readable(hint)


@cache
def _annotations(target: Callable) -> dict[str, Any]:
    """Annotated arguments of the constructors of this package up the inheritance chain, or of a function."""
    functions = [target]
    if inspect.isclass(target):
        functions = [cls.__init__ for cls in reversed(target.__mro__) if '__init__' in cls.__dict__]
    hints: dict[str, Any] = {}
    for function in functions:
        if not getattr(function, '__module__', '').startswith(PACKAGE):
            continue
        try:
            own = typing.get_type_hints(function)
        except NameError:  # a name that is imported for type checkers alone
            continue
        for name, parameter in inspect.signature(function).parameters.items():
            if name in own:
                hints[name] = own[name] | None if parameter.default is None else own[name]
    return hints


def fits(value: Any, hint: Any) -> bool:
    """Whether a value of a config can be what an annotation says; True for annotations that configs cannot express."""
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if origin in (typing.Union, types.UnionType):
        return any(fits(value, argument) for argument in arguments)
    if origin is typing.Literal:
        return value in arguments
    if hint is int:
        return is_whole(value)
    if hint is float:
        return is_number(value)
    if hint in (bool, str, type(None)):
        return isinstance(value, hint)
    if origin in (list, tuple, Sequence):
        if isinstance(value, str) or not isinstance(value, (list, tuple, range)):
            return False
        fixed = origin is tuple and arguments and arguments[-1] is not Ellipsis
        if fixed:
            return len(value) == len(arguments) and all(map(fits, value, arguments))
        return not arguments or all(fits(item, arguments[0]) for item in value)
    if origin is Mapping or origin is dict or hint is dict:
        return isinstance(value, Mapping)
    return True


def _readable(hint: Any) -> str:
    names = {int: 'a whole number', float: 'a number', bool: 'True or False', str: 'a string', type(None): 'None'}
    if typing.get_origin(hint) in (typing.Union, types.UnionType):
        return ' or '.join(_readable(argument) for argument in typing.get_args(hint))
    if typing.get_origin(hint) is typing.Literal:
        return 'one of ' + ', '.join(map(repr, typing.get_args(hint)))
    if typing.get_origin(hint) in (list, tuple, Sequence):
        inner = typing.get_args(hint)
        return 'a list' + (f' of {_readable(inner[0]).removeprefix("a ")}s' if inner and inner[0] in names else '')
    if typing.get_origin(hint) in (dict, Mapping) or hint is dict:
        return 'a dict'
    return names.get(hint, getattr(hint, '__name__', str(hint)))
