"""Converters by method, and how one is applied."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

State = dict[str, Tensor]
Converter = Callable[[State], State]

CONVERTERS: dict[str, Converter] = {}


def converter(method: str) -> Callable[[Converter], Converter]:
    """Register a converter under the name that ``tools/model_converters/official.py`` takes."""

    def register(function: Converter) -> Converter:
        CONVERTERS[method] = function
        return function

    return register


def convert(method: str, checkpoint: dict) -> State:
    """Convert a loaded official checkpoint, a dict with ``state_dict`` or a bare state dict.

    Raises:
        KeyError: no converter of that name, or the learned tensor is missing.
        ValueError: the tensors have the shape of another method.
    """
    if method not in CONVERTERS:
        raise KeyError(f'no converter for {method!r}; there are {", ".join(sorted(CONVERTERS))}')
    state = checkpoint.get('state_dict', checkpoint)
    tensors = {k: torch.as_tensor(v) for k, v in state.items() if isinstance(v, (Tensor, np.ndarray))}
    return CONVERTERS[method]({k.removeprefix('module.'): v for k, v in tensors.items()})
