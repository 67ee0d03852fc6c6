"""Choose the trained parameters by shell-style patterns of their names; all others are frozen."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from fnmatch import fnmatchcase

from mmengine.logging import print_log
from torch import nn

from vlprompt.messages import did_you_mean, enumerate_names

_REPORTED = ContextVar('reported', default=True)


@contextmanager
def without_report() -> Iterator[None]:
    """Models that are built here do not log what they train: they are for predictions."""
    token = _REPORTED.set(False)
    try:
        yield
    finally:
        _REPORTED.reset(token)


def select_trainable(model: nn.Module, patterns: Sequence[str]) -> list[str]:
    """Set ``requires_grad`` to True on parameters matching any pattern and to False on all others.

    Args:
        model: the whole model; patterns see the names of ``model.named_parameters()``.
        patterns: ``*``, ``?`` and ``[...]`` as in a shell, compared with the whole name and with case.
            ``'prompt.context'`` is one parameter, ``'prompt.*'`` a module, ``'*.bias'`` every bias, ``'*'`` all.
            An empty sequence freezes everything (zero-shot).

    Returns:
        Names of the trained parameters, in the model's order.

    Raises:
        TypeError: ``patterns`` is a single string instead of a sequence of them.
        ValueError: a pattern that matches nothing; the message names the closest parameters.
    """
    trained = matching_parameters(model, patterns, 'trainable')
    _require_grad(model, set(trained))
    return trained


def select_frozen(model: nn.Module, patterns: Sequence[str]) -> list[str]:
    """The counterpart of :func:`select_trainable` for models that are mostly trained.

    Sets ``requires_grad`` to False on parameters matching any pattern and to True on all others.

    Returns:
        Names of the trained parameters, in the model's order.

    Raises:
        TypeError: ``patterns`` is a single string instead of a sequence of them.
        ValueError: a pattern that matches nothing; the message names the closest parameters.
    """
    frozen = set(matching_parameters(model, patterns, 'frozen'))
    trained = [name for name, _ in model.named_parameters() if name not in frozen]
    _require_grad(model, set(trained))
    return trained


def matching_parameters(model: nn.Module, patterns: Sequence[str], option: str) -> list[str]:
    """Names of the parameters that match any pattern, in the model's order.

    Args:
        model: the whole model.
        patterns: as in :func:`select_trainable`.
        option: name of the option that holds them, for messages.

    Raises:
        TypeError, ValueError: as :func:`select_trainable`.
    """
    if isinstance(patterns, str):
        raise TypeError(f'{option} must be a sequence of patterns, got the string {patterns!r}: write [{patterns!r}]')
    names = [name for name, _ in model.named_parameters()]
    for pattern in patterns:
        if not any(fnmatchcase(name, pattern) for name in names):
            raise ValueError(
                f'{option}: the pattern {pattern!r} matches none of the {len(names)} parameters of '
                f'{type(model).__name__}.{_closest_parameters(pattern, names)}'
            )
    return [name for name in names if any(fnmatchcase(name, pattern) for pattern in patterns)]


def _require_grad(model: nn.Module, trained: set[str]) -> None:
    for name, parameter in model.named_parameters():
        parameter.requires_grad_(name in trained)
    if _REPORTED.get():
        print_log(describe_trainable(model), logger='current')


def describe_trainable(model: nn.Module) -> str:
    """A short report: the trained parameters, and the counts of trained and frozen numbers.

    Few tensors are listed with their shapes, many by the modules (two levels deep) that hold them.
    """
    trained = {name: p for name, p in model.named_parameters() if p.requires_grad}
    frozen = [p for p in model.parameters() if not p.requires_grad]
    lines = [f'Trained parameters of {type(model).__name__}:']
    if len(trained) <= 20:
        lines += [f'  {name}: {tuple(p.shape)} = {p.numel():,}' for name, p in trained.items()]
    else:
        modules: dict[str, list[int]] = {}
        for name, p in trained.items():
            modules.setdefault('.'.join(name.split('.')[:2]), []).append(p.numel())
        lines += [f'  {name}: {sum(sizes):,} in {len(sizes)} tensors' for name, sizes in modules.items()]
    lines.append(
        f'  trained: {sum(p.numel() for p in trained.values()):,} in {len(trained)} tensors; '
        f'frozen: {sum(p.numel() for p in frozen):,} in {len(frozen)} tensors'
    )
    return '\n'.join(lines)


def _closest_parameters(pattern: str, names: list[str]) -> str:
    """Names close to a pattern: by spelling, else those of the deepest existing module on its path."""
    hint = did_you_mean(pattern, names)
    if hint:
        return hint
    path = pattern.split('.')
    below = names
    for depth in range(len(path) - 1, 0, -1):
        prefix = '.'.join(path[:depth]) + '.'
        if any(name.startswith(prefix) for name in names):
            below = [name for name in names if name.startswith(prefix)]
            break
    return f' Parameters are named {enumerate_names(below)}.'
