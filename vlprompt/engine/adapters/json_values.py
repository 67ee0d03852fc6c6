"""Values of a checkpoint's ``meta`` as JSON and back, without loss: tuples, tensors and keys that are no text too."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

TUPLE, TENSOR, ITEMS = '__tuple__', '__tensor__', '__items__'
_MARKS = (TUPLE, TENSOR, ITEMS)


def to_json(value: Any) -> Any:
    """A value of :func:`~vlprompt.engine.writing.to_plain_values` made of what JSON has."""
    if isinstance(value, Tensor):
        return {TENSOR: value.tolist(), 'dtype': str(value.dtype).removeprefix('torch.'), 'shape': list(value.shape)}
    if isinstance(value, tuple):
        return {TUPLE: [to_json(item) for item in value]}
    if isinstance(value, list):
        return [to_json(item) for item in value]
    if isinstance(value, Mapping):
        if all(isinstance(key, str) and key not in _MARKS for key in value):
            return {key: to_json(item) for key, item in value.items()}
        return {ITEMS: [[to_json(key), to_json(item)] for key, item in value.items()]}
    return value


def from_json(value: Any) -> Any:
    """Inverse of :func:`to_json`.

    Raises:
        ValueError: a marked value is not of the form that :func:`to_json` writes.
    """
    if isinstance(value, list):
        return [from_json(item) for item in value]
    if not isinstance(value, Mapping):
        return value
    mark = next((mark for mark in _MARKS if mark in value), None)
    try:
        if mark == TUPLE:
            return tuple(from_json(item) for item in value[TUPLE])
        if mark == ITEMS:
            return {from_json(key): from_json(item) for key, item in value[ITEMS]}
        if mark == TENSOR:
            dtype = getattr(torch, value['dtype'])
            return torch.tensor(value[TENSOR], dtype=dtype).reshape(value['shape'])
    except (TypeError, KeyError, AttributeError, RuntimeError) as error:
        raise ValueError(f'{mark} is malformed ({error})') from error
    return {key: from_json(item) for key, item in value.items()}
