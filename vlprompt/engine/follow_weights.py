"""Images are prepared as they were when the weights were trained: size, resizing, mean and standard deviation."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any

from vlprompt.clip.architectures import find_architecture
from vlprompt.clip.build import preprocessing_of, weights_architecture
from vlprompt.clip.preprocessing import CLIP_MEAN, CLIP_STD, Preprocessing
from vlprompt.errors import ConfigError

_logger = logging.getLogger(__name__)

USUAL_SIZE = 224
"""Pixels of the images of most towers, where neither ``clip.arch`` nor the weights tell."""

TOWERS = ('model.clip', 'model.backbone.clip')
"""Where a config has the arguments of its towers."""

VARIABLES = ('image_size', 'interpolation', 'resize_mode')
"""Top-level keys of a config that follow the weights where they are None."""


def follow_weights(values: dict[str, Any], model: Mapping[str, Any] | None) -> None:
    """Complete a config in place.

    The variables :data:`VARIABLES` that are None become those of the weights, and so do ``mean`` and ``std`` of the
    model's preprocessor where they are left out or CLIP's.  What a config sets stays.

    Args:
        values: the config before references are resolved.
        model: its model, with the options of the command line.

    Raises:
        ConfigError: the weights want images to be prepared in a way that is not known.
    """
    clip = _clip_of(model) or {}
    open_variables = [name for name in VARIABLES if name in values and values[name] is None]
    try:
        wanted = preprocessing_of(clip.get('arch'), clip.get('weights'))
    except ValueError as error:
        raise ConfigError(f'model.clip: {error}') from error
    known = dict(interpolation=wanted.interpolation, resize_mode=wanted.resize_mode)
    for name in open_variables:
        values[name] = _image_size(clip) if name == 'image_size' else known[name]
    if (wanted.mean, wanted.std) != (CLIP_MEAN, CLIP_STD):
        _set_moments(values, wanted)


def _clip_of(model: Mapping[str, Any] | None) -> Mapping[str, Any] | None:
    """The arguments of ``build_clip`` in a model's config."""
    model = model or {}
    found = model.get('clip') or (model.get('backbone') or {}).get('clip')
    return found if isinstance(found, Mapping) else None


def _image_size(clip: Mapping[str, Any]) -> int | tuple[int, int]:
    """Pixels of the images of a tower."""
    if clip.get('image_size') is not None:
        return clip['image_size']
    arch = clip.get('arch')
    found = weights_architecture(clip.get('weights')) if arch is None else find_architecture(arch)
    return USUAL_SIZE if found is None else found.image_size


def _set_moments(values: dict[str, Any], wanted: Preprocessing) -> None:
    """Set mean and standard deviation of the preprocessor where they are CLIP's."""
    model = values['model']
    own = model.setdefault('data_preprocessor', dict(type='vlprompt.ClipPreprocessor'))
    for name, usual in (('mean', CLIP_MEAN), ('std', CLIP_STD)):
        given, moments = own.get(name), getattr(wanted, name)
        unit = 255 if given is not None and max(given) > 1 else 1
        if given is None or all(abs(a - unit * b) < 1e-3 * unit for a, b in zip(given, usual, strict=True)):
            own[name] = [unit * value for value in moments]
