"""Registry of converters by method, and their application."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from inspect import signature
from typing import Any

from torch import Tensor

from vlprompt.clip.tensor_files import find_state, require_finite
from vlprompt.messages import enumerate_names

State = dict[str, Tensor]
Converter = Callable[[State], State]

CONVERTERS: dict[str, Converter] = {}
READERS: dict[str, Callable[[Mapping[str, Any]], Mapping[str, Any]]] = {}
"""By method, the function that finds the tensors in a file, see :func:`reader`."""
OPENERS: dict[str, Callable[[str], Mapping[str, Any]]] = {}
"""By method, the function that reads what the path names, see :func:`opener`."""
DESCRIBERS: dict[str, Callable[[State], dict[str, Any]]] = {}
"""By method, the function that describes a checkpoint from its shapes, see :func:`describe`."""


def converter(method: str) -> Callable[[Converter], Converter]:
    """Register a converter under the name that ``tools/model_converters/official.py`` takes."""

    def register(function: Converter) -> Converter:
        CONVERTERS[method] = function
        return function

    return register


def reader(method: str) -> Callable[[Callable], Callable]:
    """Register the function that finds the tensors in a method's files where they are no plain state dict; its
    :func:`describer` is given the whole file.
    """

    def register(function: Callable) -> Callable:
        READERS[method] = function
        return function

    return register


def opener(method: str) -> Callable[[Callable], Callable]:
    """Register the function that reads a method's files where they are no single file with a dictionary: it takes the
    path and returns what :func:`convert` takes.
    """

    def register(function: Callable) -> Callable:
        OPENERS[method] = function
        return function

    return register


def describer(method: str) -> Callable[[Callable], Callable]:
    """Register the function that makes entries of ``meta['vlprompt']`` from a method's official state dict."""

    def register(function: Callable) -> Callable:
        DESCRIBERS[method] = function
        return function

    return register


def describe(method: str, checkpoint: dict, **options: Any) -> dict[str, Any]:
    """Entries of ``meta['vlprompt']`` that a converted checkpoint gets besides the usual ones.

    Args:
        method: of the converter.
        checkpoint: as for :func:`convert`.
        **options: of the method, for what the shapes do not tell.

    Raises:
        KeyError, ValueError: as of :func:`convert`, or an option that the method does not take.
    """
    function = DESCRIBERS.get(method)
    taken = () if function is None else signature(function).parameters
    if refused := [name for name in options if name not in taken]:
        raise ValueError(f'{method}: takes no {", ".join(refused)}')
    if function is None:
        return {}
    return function(checkpoint if method in READERS else find_state(checkpoint, method), **options)


def convert(method: str, checkpoint: dict) -> State:
    """Convert a loaded official checkpoint, a dict with ``state_dict`` or a bare state dict.

    Raises:
        KeyError: no converter of that name, or the learned tensor is missing.
        ValueError: the tensors have the shape of another method, or some of them would be dropped.
    """
    if method not in CONVERTERS:
        raise KeyError(f'no converter for {method!r}; there are {", ".join(sorted(CONVERTERS))}')
    state = find_state(READERS[method](checkpoint) if method in READERS else checkpoint, method)
    require_finite(state, state, method)
    return CONVERTERS[method](state)


def require(state: State, method: str, *names: str) -> None:
    """Raise a KeyError if the state dict lacks one of the names."""
    missing = [name for name in names if name not in state]
    if missing:
        raise KeyError(
            f'{method}: the checkpoint has no {enumerate_names(missing)}; it holds {enumerate_names(sorted(state))}. '
            f'Is it a checkpoint of {method}?'
        )


def refuse_unread(method: str, names: Iterable[str], hint: str = '') -> None:
    """Raise a ValueError if learned tensors would be dropped.

    Args:
        method: of the converter.
        names: of the tensors that it neither reads nor drops on purpose.
        hint: ends the message.
    """
    names = sorted(names)
    if names:
        raise ValueError(
            f'{method}: {len(names)} learned tensors of the checkpoint would not be read: '
            f'{enumerate_names(names)}{hint}'
        )
