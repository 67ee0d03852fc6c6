"""Images are prepared as they were when the weights were trained: size, resizing, mean and standard deviation."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from vlprompt.clip.architectures import find_architecture
from vlprompt.clip.build import preprocessing_of, weights_architecture
from vlprompt.clip.preprocessing import CLIP_MEAN, CLIP_STD, Preprocessing
from vlprompt.errors import ConfigError

USUAL_SIZE = 224
"""Pixels of the images of most towers, where neither ``clip.arch`` nor the weights tell."""

TOWERS = ('model.clip', 'model.backbone.clip')
"""Where a config has the arguments of its towers."""

VARIABLES = ('image_size', 'interpolation', 'resize_mode')
"""Top-level keys of a config that follow the weights where they are None."""


def follow_weights(values: dict[str, Any], clip: Mapping[str, Any] | None) -> None:
    """Complete a config in place.

    The variables :data:`VARIABLES` that are None become those of the weights, and so do ``mean`` and ``std`` of the
    model's preprocessor where they are None, or left out and not CLIP's.  What a config sets stays.

    Args:
        values: the config before references are resolved.
        clip: the arguments of ``build_clip`` in its model, see :func:`towers_of`; None if there are none.

    Raises:
        ConfigError: the weights want images to be prepared in a way that is not known.
    """
    clip = clip or {}
    open_variables = [name for name in VARIABLES if name in values and values[name] is None]
    try:
        wanted = preprocessing_of(clip.get('arch'), clip.get('weights'))
        known = dict(interpolation=wanted.interpolation, resize_mode=wanted.resize_mode)
        for name in open_variables:
            values[name] = _image_size(clip) if name == 'image_size' else known[name]
    except ValueError as error:
        raise ConfigError(f'model.clip: {error}') from error
    if isinstance(values.get('model'), dict):
        _set_moments(values['model'], wanted)


def towers_of(model: Mapping[str, Any] | None) -> Mapping[str, Any] | None:
    """The arguments of ``build_clip`` in a model's config."""
    parts = [model, model.get('backbone')] if isinstance(model, Mapping) else []
    found = (part.get('clip') for part in parts if isinstance(part, Mapping))
    return next((clip for clip in found if isinstance(clip, Mapping)), None)


def _image_size(clip: Mapping[str, Any]) -> Any:
    """Side in pixels of the square images of a tower.

    Raises:
        ValueError: its position embedding is asked for rectangles.
    """
    given = clip.get('image_size')
    if isinstance(given, (list, tuple)) and len(set(given)) > 1:
        raise ValueError(
            f'image_size={given} is no square, which the images of this task are: also set their image_size'
        )
    if given is not None:
        return given[0] if isinstance(given, (list, tuple)) and given else given
    arch = clip.get('arch')
    found = weights_architecture(clip.get('weights')) if arch is None else find_architecture(arch)
    return USUAL_SIZE if found is None else found.image_size


def _set_moments(model: dict[str, Any], wanted: Preprocessing) -> None:
    """Set mean and standard deviation of the preprocessor where they are open."""
    own = model.get('data_preprocessor')
    if own is None:
        if (wanted.mean, wanted.std) == (CLIP_MEAN, CLIP_STD) or 'clip' not in model:
            return
        own = model['data_preprocessor'] = dict(type='vlprompt.ClipPreprocessor')
    if not isinstance(own, dict):
        return
    ours = str(own.get('type')).endswith('ClipPreprocessor')
    for name, usual in (('mean', CLIP_MEAN), ('std', CLIP_STD)):
        value = getattr(wanted, name)
        absent = ours and name not in own and value != usual  # others have no mean unless they name one
        if absent or (name in own and own[name] is None):
            own[name] = list(value) if ours else [255 * number for number in value]
