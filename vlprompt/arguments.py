"""Checks of constructors' arguments; their errors name the class, the argument and what to give.

Configs are checked against the annotations before anything is built (:mod:`vlprompt.engine.config_values`); these are
for calls from Python, and for ranges, which annotations do not tell.
"""

from __future__ import annotations

from numbers import Integral
from typing import Any, Literal, get_args, get_origin, get_type_hints


def check_choices(owner: Any, **chosen: Any) -> None:
    """Raise ValueError unless every value is one that the ``Literal`` annotation of the argument lists.

    Args:
        owner: the object that is being made, whose class is annotated.
        **chosen: values by name of the argument.

    Raises:
        ValueError: another value.
        TypeError: an argument that no constructor of the class annotates with ``Literal``.
    """
    for name, value in chosen.items():
        known = choices(type(owner), name)
        if value not in known:
            raise ValueError(f'{type(owner).__name__}: {name} must be one of {", ".join(known)}, got {value!r}')


def choices(cls: type, name: str) -> tuple[str, ...]:
    """The values of an argument by the ``Literal`` annotation of the constructor, or of that of the nearest base."""
    for base in cls.__mro__:
        if '__init__' in base.__dict__:
            hint = get_type_hints(base.__init__).get(name)
            if get_origin(hint) is Literal:
                return get_args(hint)
    raise TypeError(f'{cls.__name__}: {name} is not annotated as a Literal')


def check_positive(owner: Any, **numbers: float) -> None:
    """Raise ValueError unless every number is above 0."""
    for name, value in numbers.items():
        if not value > 0:
            raise ValueError(f'{type(owner).__name__}: {name} must be above 0, got {value}')


def check_counts(owner: Any, least: int = 1, **numbers: int) -> None:
    """Raise ValueError unless every number is a whole one, and at least ``least``."""
    for name, value in numbers.items():
        if not is_count(value, least):
            raise ValueError(f'{type(owner).__name__}: {name} must be a whole number, at least {least}, got {value!r}')


def is_count(value: Any, least: int = 1) -> bool:
    """Whether it is a whole number, but not a boolean, and at least ``least``."""
    return isinstance(value, Integral) and not isinstance(value, bool) and value >= least
