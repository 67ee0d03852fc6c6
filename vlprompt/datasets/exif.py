"""EXIF orientation: how the stored pixels of an image must be turned to stand upright."""

from __future__ import annotations

import logging
import mmap
import struct
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from mmengine.logging import print_log
from PIL import Image

TAG = 0x0112
TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
"""Orientation -> operation that makes stored pixels upright; 1 needs none."""

BACK = TURNS | {6: TURNS[8], 8: TURNS[6]}
"""Orientation -> the inverse operation."""

OPTION = '--cfg-options load_image.exif_orientation=False, or exif_orientation=False in the loading transforms,'

_told = mmap.mmap(-1, 1)
"""Whether :func:`warn_if_ambiguous` has warned: one byte, shared with the worker processes."""


class Orientation(NamedTuple):
    """The EXIF orientation of an image, and what was done about it.

    Attributes:
        number: 1 (stored upright) to 8; 5 to 8 exchange width and height.
        applied: whether the pixels were turned upright.
    """

    number: int = 1
    applied: bool = True

    def explains(self, size: tuple[int, int], wanted: tuple[int, int]) -> str:
        """End of a message about annotations for an image of ``wanted`` width and height, where ``size`` was read.

        Empty unless ignoring the orientation, or applying it, gives the wanted size.
        """
        if self.number < 5 or tuple(wanted) != (size[1], size[0]):
            return ''
        if self.applied:
            return (
                f'. The image has EXIF orientation {self.number} and was turned upright; the annotations are for its '
                f'stored pixels. Make them for the upright image, or set {OPTION} to read stored pixels everywhere'
            )
        return (
            f'. The image has EXIF orientation {self.number}, which exif_orientation=False ignores; the annotations '
            'are for the upright image: leave that option out'
        )


def orientation_of(image: Image.Image) -> int:
    """The EXIF orientation of an opened image, 1 to 8; 1 if it has none or its EXIF data are damaged."""
    try:
        number = image.getexif().get(TAG, 1)
    except (SyntaxError, ValueError, TypeError, KeyError, IndexError, OSError, struct.error):
        return 1  # damaged EXIF data tell no orientation; the pixels are sound
    return number if number in TURNS else 1


def oriented(image: Image.Image, applied: bool) -> tuple[Image.Image, Orientation]:
    """An opened image turned upright, or with its pixels as stored, and its orientation."""
    number = orientation_of(image)
    image.load()
    upright = orientation_of(image) != number  # Pillow turns TIFF files while it loads them
    if number != 1 and applied != upright:
        image = image.transpose((TURNS if applied else BACK)[number])
    return image, Orientation(number, applied)


def applies_exif(pipeline: Iterable[Mapping[str, Any] | object]) -> bool:
    """Whether the transforms of a pipeline, or their configs, turn images upright; pictures are drawn likewise."""
    options = (
        step.get('exif_orientation') if isinstance(step, Mapping) else getattr(step, 'exif_orientation', None)
        for step in pipeline
    )
    return next((option for option in options if option is not None), True)


def warn_if_ambiguous(path: str | Path, size: tuple[int, int], orientation: Orientation) -> None:
    """Warn, once in a run, that an annotated image was turned although its size does not tell whether it had to be.

    Args:
        path: of the image.
        size: its width and height.
        orientation: of the image.
    """
    same_size = orientation.number in (2, 3, 4) or (orientation.number != 1 and size[0] == size[1])
    if orientation.applied and same_size and not _told[0]:
        _told[0] = 1
        print_log(
            f'image {path} has EXIF orientation {orientation.number} and was turned upright without a change of its '
            'size. If masks and boxes were made for stored pixels, they no longer fit it and others like it: set '
            f'{OPTION} to read stored pixels everywhere. This is said once',
            logger='current',
            level=logging.WARNING,
        )
