"""Numbers of channels and classes that follow from the backbone and the class names, written into configs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any


def with_values(cfg: Mapping[str, Any], what: str, **values: Any) -> dict[str, Any]:
    """A copy of ``cfg`` with ``values`` filled in.

    Raises:
        ValueError: ``cfg`` has another value; ``what`` names the config in the message.
    """
    filled = dict(cfg)
    for key, value in values.items():
        if filled.get(key) is not None and _plain(filled[key]) != _plain(value):
            raise ValueError(f'{what}.{key}={filled[key]}, but backbone and class names require {value}: leave it out')
        filled[key] = value
    return filled


def _plain(value: Any) -> Any:
    return list(value) if isinstance(value, (list, tuple)) else value


def fill_neck(neck: Mapping[str, Any], channels: Sequence[int]) -> tuple[dict[str, Any], list[int]]:
    """The neck's config with ``in_channels``, and the channels of its outputs.

    Raises:
        ValueError: other ``in_channels``, or no ``out_channels``.
    """
    if 'out_channels' not in neck:
        raise ValueError(f'neck: give out_channels, the channels of the outputs of {neck.get("type")}')
    filled = with_values(neck, 'neck', in_channels=list(channels))
    return filled, [filled['out_channels']] * filled.get('num_outs', len(channels))


def fill_decode_head(head: Mapping[str, Any], channels: Sequence[int], num_classes: int) -> dict[str, Any]:
    """The head's config with ``num_classes`` and the ``in_channels`` of the inputs selected by ``in_index``."""
    return _fill_head(head, 'decode_head', channels, num_classes)


def fill_auxiliary_head(
    head: Mapping[str, Any] | Sequence[Mapping[str, Any]], channels: Sequence[int], num_classes: int
) -> dict[str, Any] | list[dict[str, Any]]:
    """As :func:`fill_decode_head`, for one head or a list of them."""
    if isinstance(head, Mapping):
        return _fill_head(head, 'auxiliary_head', channels, num_classes)
    return [_fill_head(one, f'auxiliary_head.{index}', channels, num_classes) for index, one in enumerate(head)]


def fill_bbox_head(head: Mapping[str, Any], channels: Sequence[int], num_classes: int) -> dict[str, Any]:
    """A single-stage head of mmdet with ``num_classes`` and the ``in_channels`` that all its levels share."""
    return with_values(head, 'bbox_head', in_channels=_common(channels), num_classes=num_classes)


def fill_rpn_head(head: Mapping[str, Any], channels: Sequence[int]) -> dict[str, Any]:
    """A region proposal head of mmdet with its ``in_channels``."""
    return with_values(head, 'rpn_head', in_channels=_common(channels))


def fill_roi_head(head: Mapping[str, Any], channels: Sequence[int], num_classes: int) -> dict[str, Any]:
    """A RoI head of mmdet, its extractors and its box and mask heads (one, or a list of cascaded ones) filled in."""
    width, filled = _common(channels), dict(head)
    for key in ('bbox_roi_extractor', 'mask_roi_extractor'):
        if filled.get(key) is not None:
            filled[key] = _fill_each(filled[key], f'roi_head.{key}', out_channels=width)
    for key in ('bbox_head', 'mask_head'):
        if filled.get(key) is not None:
            filled[key] = _fill_each(filled[key], f'roi_head.{key}', in_channels=width, num_classes=num_classes)
    return filled


def _common(channels: Sequence[int]) -> int:
    if len(set(channels)) != 1:
        raise ValueError(f'the heads of detectors need levels with equally many channels, the neck gives {channels}')
    return channels[0]


def _fill_each(
    cfg: Mapping[str, Any] | Sequence[Mapping[str, Any]], what: str, **values: Any
) -> dict[str, Any] | list[dict[str, Any]]:
    if isinstance(cfg, Mapping):
        return with_values(cfg, what, **values)
    return [with_values(one, f'{what}.{index}', **values) for index, one in enumerate(cfg)]


def _fill_head(head: Mapping[str, Any], what: str, channels: Sequence[int], num_classes: int) -> dict[str, Any]:
    index = head.get('in_index', -1)
    outside = [i for i in (index if isinstance(index, (list, tuple)) else [index]) if i >= len(channels)]
    if outside:
        raise ValueError(f'{what}.in_index={index}, but there are the inputs 0 to {len(channels) - 1}')
    in_channels = [channels[i] for i in index] if isinstance(index, (list, tuple)) else channels[index]
    return with_values(head, what, in_channels=in_channels, num_classes=num_classes)
