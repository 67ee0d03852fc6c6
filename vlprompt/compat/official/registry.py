"""Registry of converters by method, and their application."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor

State = dict[str, Tensor]
Converter = Callable[[State], State]

CONVERTERS: dict[str, Converter] = {}
DESCRIBERS: dict[str, Callable[[State], dict[str, Any]]] = {}
"""By method, the function that describes a checkpoint from its shapes, see :func:`describe`."""


def converter(method: str) -> Callable[[Converter], Converter]:
    """Register a converter under the name that ``tools/model_converters/official.py`` takes."""

    def register(function: Converter) -> Converter:
        CONVERTERS[method] = function
        return function

    return register


def describer(method: str) -> Callable[[Callable], Callable]:
    """Register the function that makes entries of ``meta['vlprompt']`` from a method's official state dict."""

    def register(function: Callable) -> Callable:
        DESCRIBERS[method] = function
        return function

    return register


def describe(method: str, checkpoint: dict) -> dict[str, Any]:
    """Entries of ``meta['vlprompt']`` that a converted checkpoint gets besides the usual ones."""
    return DESCRIBERS[method](_tensors(checkpoint)) if method in DESCRIBERS else {}


def convert(method: str, checkpoint: dict) -> State:
    """Convert a loaded official checkpoint, a dict with ``state_dict`` or a bare state dict.

    Raises:
        KeyError: no converter of that name, or the learned tensor is missing.
        ValueError: the tensors have the shape of another method.
    """
    if method not in CONVERTERS:
        raise KeyError(f'no converter for {method!r}; there are {", ".join(sorted(CONVERTERS))}')
    return CONVERTERS[method](_tensors(checkpoint))


def _tensors(checkpoint: dict) -> State:
    """The tensors of a checkpoint, without the prefix of a wrapper for several GPUs."""
    state = checkpoint.get('state_dict', checkpoint)
    tensors = {k: torch.as_tensor(v) for k, v in state.items() if isinstance(v, (Tensor, np.ndarray))}
    return {k.removeprefix('module.'): v for k, v in tensors.items()}
