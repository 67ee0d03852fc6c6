"""Images are prepared as they were when the weights were trained: size, resizing, mean and standard deviation."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import cache
from typing import Any

from vlprompt.clip.architectures import find_architecture
from vlprompt.clip.build import preprocessing_of, weights_architecture
from vlprompt.clip.preprocessing import CLIP_MEAN, CLIP_STD, Preprocessing
from vlprompt.clip.timm_vit import timm_preprocessing, way_of_timm
from vlprompt.errors import ConfigError

USUAL_SIZE = 224
"""Pixels of the images of most towers, where neither ``clip.arch`` nor the weights tell."""

VARIABLES = ('image_size', 'interpolation', 'resize_mode')
"""Top-level keys of a config that follow the weights where they are None."""

MOMENTS = dict(mean=CLIP_MEAN, std=CLIP_STD)
"""Arguments of a preprocessor that follow the weights, and CLIP's."""


def follow_weights(
    values: dict[str, Any], model: Mapping[str, Any] | None, towers: Mapping[str, Mapping[str, Any]]
) -> None:
    """Complete a config in place.

    The variables :data:`VARIABLES` that are None become those of the weights, and so do ``mean`` and ``std`` of the
    model's preprocessor where they are None, or left out and not CLIP's.  What a config or an option sets stays, and
    weights are asked for what is open alone.

    Args:
        values: the config before references are resolved, and without options on its model.
        model: its model with these options.
        towers: of this model, see :func:`towers_of`; references resolved.

    Raises:
        ConfigError: the weights want images to be prepared in a way that is not known, or do not tell.
    """
    name, tower = next(iter(towers.items()), ('clip', {}))
    try:
        wanted = cache(lambda: _preprocessing(name, tower))
        for variable in VARIABLES:
            if variable in values and values[variable] is None:
                size = variable == 'image_size'
                values[variable] = _image_size(name, tower) if size else getattr(wanted(), variable)
        if isinstance(model, Mapping) and isinstance(values.get('model'), dict):
            _set_moments(values['model'], model, wanted)
    except ValueError as error:
        raise ConfigError(f'model.{name}: {error}') from error


def towers_of(model: Mapping[str, Any] | None) -> dict[str, Mapping[str, Any]]:
    """The arguments of ``build_clip`` in a model's config as ``clip``, or those of ``build_timm_vit`` as ``timm``."""
    parts = [model, model.get('backbone')] if isinstance(model, Mapping) else []
    for name in ('clip', 'timm'):
        for part in parts:
            if isinstance(part, Mapping) and isinstance(part.get(name), Mapping):
                return {name: part[name]}
    return {}


def _preprocessing(name: str, tower: Mapping[str, Any]) -> Preprocessing:
    """How images were prepared for a tower.

    Raises:
        ValueError: nothing tells.
    """
    if name == 'clip':
        return preprocessing_of(tower.get('arch'), tower.get('weights'))
    way = way_of_timm(tower)
    if way is None and tower.get('weights') is not None:
        raise ValueError(
            f'nothing tells how images were prepared for {tower["weights"]}: set model.data_preprocessor.mean and std'
        )
    return way or Preprocessing()


def _image_size(name: str, tower: Mapping[str, Any]) -> Any:
    """Side in pixels of the square images of a tower.

    Raises:
        ValueError: they are rectangles.
    """
    size = tower.get('image_size')
    arch = tower.get('arch')
    if size is None and name == 'timm' and tower.get('name') is not None:
        size = timm_preprocessing(tower['name'])[1]
    elif size is None and name == 'timm':
        size = (arch or {}).get('image_size', USUAL_SIZE)
    elif size is None:
        found = weights_architecture(tower.get('weights')) if arch is None else find_architecture(arch)
        size = USUAL_SIZE if found is None else found.image_size
    if not isinstance(size, (list, tuple)):
        return size
    if len(set(size)) != 1:
        raise ValueError(
            f'image_size={size} is no square, which the images of this task are: also set their image_size'
        )
    return size[0]


def _set_moments(target: dict[str, Any], model: Mapping[str, Any], wanted: Callable[[], Preprocessing]) -> None:
    """Set mean and standard deviation of the preprocessor in ``target`` where they are open in ``model``.

    What is CLIP's may be left out of this package's preprocessor, and so may this preprocessor in models that are not
    mmseg's or mmdet's.  Others do not normalise unless they name a mean.
    """
    seen, own = model.get('data_preprocessor'), target.get('data_preprocessor')
    dense = not (model.get('clip') or model.get('timm')) or str(model.get('type')).endswith('Segmentor')
    if seen is None and (dense or own is not None):
        return
    added = dict(type='vlprompt.ClipPreprocessor') if seen is None else {}
    known = added or seen
    if not isinstance(known, Mapping):
        return
    ours = str(known.get('type')).endswith('ClipPreprocessor')
    found = {}
    for name, usual in MOMENTS.items():
        if known.get(name) is None and (ours or name in known):
            value = getattr(wanted(), name)
            if name in known or value != usual:
                found[name] = list(value) if ours else [255 * number for number in value]
    if found:
        target['data_preprocessor'] = {**added, **(own or {}), **found}
