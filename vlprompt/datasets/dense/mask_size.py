"""The one comparison of masks and boxes with their image."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from vlprompt.datasets.exif import Orientation


def require_one_channel(mask: np.ndarray, path: str) -> None:
    """Raise a ValueError that names the file ``path`` if a mask has another shape than (H, W)."""
    if mask.ndim != 2:
        raise ValueError(
            f'mask {path} has {mask.shape[-1]} channels; it must have one, the class id of every pixel. '
            'Save it as 8-bit grey or palette PNG'
        )


def misfit(mask: str, size: tuple[int, int], image: str, image_size: tuple[int, int], exif: Orientation) -> str:
    """The message about a mask of another size than its image; sizes are widths and heights."""
    return (
        f'mask {mask} is {size[0]} x {size[1]} pixels, but its image {image} is {image_size[0]} x {image_size[1]}'
        f'{exif.explains(image_size, size)}'
    )


def misfit_of_annotations(image: str, size: tuple[int, int], given: tuple[int, int], exif: Orientation) -> str:
    """The message about annotations for an image of another size; sizes are widths and heights."""
    return (
        f'image {image} is {size[0]} x {size[1]} pixels, but its annotations are for {given[0]} x {given[1]}'
        f'{exif.explains(size, given)}'
    )


def require_mask_of_image(mask: np.ndarray, results: Mapping[str, Any]) -> None:
    """Raise if a mask does not cover its image.

    Args:
        mask: what ``seg_map_path`` holds.
        results: entries of the sample: ``img_path``, ``seg_map_path``, ``ori_shape`` (H, W) of the image that was
            read, and ``exif``, its orientation, if known.

    Raises:
        ValueError: the mask has several channels or another size; the message says if the EXIF orientation of the
            image is the reason.
    """
    require_one_channel(mask, results['seg_map_path'])
    (h, w), (rows, columns) = mask.shape, results['ori_shape']
    exif = results.get('exif', Orientation())
    if (h, w) != (rows, columns):
        raise ValueError(misfit(results['seg_map_path'], (w, h), results['img_path'], (columns, rows), exif))
