"""From the bytes of an image file to pixels: the one rule for all tasks.

* 8-bit RGB, grey and palette images, CMYK, YCbCr and 1-bit images become RGB; embedded colour profiles are not used.
* Transparency is dropped: transparent pixels have the colour that the file stores for them.  Of animations and files of
  several pages the first picture counts.
* 16-bit grey is scaled from 0 ... 65,535 to 0 ... 255, so 12-bit data in a 16-bit file stay dark; of 16-bit colours the
  upper 8 bits are used, which is the same to a level.
* Other pixels have no range that is black to white, so they are errors: floats, 32-bit integers, signed integers, Lab.
* Images are turned upright by their EXIF orientation, unless ``exif_orientation`` is False.
"""

from __future__ import annotations

import io

import cv2
import numpy as np
from PIL import Image, UnidentifiedImageError, features

from vlprompt.datasets.exif import Orientation, orientation_of, oriented

PLAIN = ('1', 'L', 'LA', 'P', 'PA', 'RGB', 'RGBA', 'RGBX', 'CMYK', 'YCbCr')
"""Pillow's modes with 8 bits per channel or less, and a meaning of black and white."""

FORMATS = (
    *('JPEG', 'PNG', 'BMP', 'GIF', 'WEBP', 'TIFF', 'PPM', 'JPEG2000'),
    *(['AVIF'] if 'avif' in features.get_supported() else []),
)
"""Pillow's names of the formats that are read, whatever the suffix of the file; AVIF needs Pillow 11.3, built with it.

Pillow knows others that run programs, such as Ghostscript for EPS.
"""

REFUSED = {'F': 'floating-point numbers', 'I': 'signed or 32-bit integers', 'LAB': 'Lab colours'}

BITS_PER_SAMPLE, PHOTOMETRIC, WHITE_IS_ZERO = 258, 262, 0
"""Tags of TIFF files, and a value of the latter."""


def decode_image(content: bytes, exif_orientation: bool = True) -> tuple[Image.Image, Orientation]:
    """The RGB image in the bytes of a file, see above, and its EXIF orientation.

    Args:
        content: of the file.
        exif_orientation: turn the image upright; False: pixels as they are stored.

    Raises:
        ValueError: no image, or pixels without a range from black to white.
    """
    with open_image(content) as image:
        return to_rgb(image, exif_orientation)


def decode_rgb(content: bytes) -> Image.Image:
    """The upright RGB image in the bytes of a file."""
    return decode_image(content)[0]


def to_rgb(image: Image.Image, exif_orientation: bool = True) -> tuple[Image.Image, Orientation]:
    """As :func:`decode_image`, of an image that Pillow has opened."""
    range_ = _range_of_16_bits(image)
    image, orientation = oriented(image, exif_orientation)
    if range_ is not None:
        image = _scaled(image, *range_)
    if image.mode not in PLAIN:
        what = REFUSED.get(image.mode, f'of mode {image.mode}')
        raise ValueError(
            f'its pixels are {what}, which have no fixed black and white; save it as PNG of 8 or 16 bits, scaled as '
            'the model is to see it'
        )
    if 'transparency' in image.info:  # else Pillow warns that it is dropped
        image = image.copy()  # the caller's own may be written as it is
        del image.info['transparency']
    return image.convert('RGB'), orientation


def to_bgr(image: Image.Image) -> np.ndarray:
    """(H, W, 3) uint8 BGR, as OpenCV has it, of an RGB image."""
    return cv2.cvtColor(np.asarray(image), cv2.COLOR_RGB2BGR)


def decode_indices(content: bytes) -> np.ndarray:
    """(H, W) of a grey or palette image, (H, W, channels) of others; the stored values, not colours.

    Raises:
        ValueError: no image, or one with an EXIF orientation, whose stored values may be meant turned or not.
    """
    with open_image(content) as image:
        if (number := orientation_of(image)) != 1:
            raise ValueError(f'it has EXIF orientation {number}; save it upright, without EXIF data')
        return np.asarray(image)


def open_image(content: bytes) -> Image.Image:
    """The image in the bytes of a file as Pillow opens it: its pixels are decoded when they are used.

    Raises:
        ValueError: no image, or one that is too large.
    """
    if not content:
        raise ValueError('it is empty')
    try:
        return Image.open(io.BytesIO(content), formats=FORMATS)
    except UnidentifiedImageError:
        raise ValueError(f'it is damaged, no image, or in another format than {", ".join(FORMATS)}') from None
    except Image.DecompressionBombError as error:
        raise ValueError(f'{error}; scale it down') from error


def _range_of_16_bits(image: Image.Image) -> tuple[int, int] | None:
    """The values of black and white of a grey image with 9 to 16 unsigned bits per pixel; None for other images.

    Pillow gives PNM files (and, before version 10, PNG files) of 16 bits the mode of 32-bit integers.
    """
    if not image.mode.startswith('I;16') and not (image.mode == 'I' and image.format in ('PNG', 'PPM')):
        return None
    tags = getattr(image, 'tag_v2', {})
    largest = (1 << tags.get(BITS_PER_SAMPLE, (16,))[0]) - 1
    return (largest, 0) if tags.get(PHOTOMETRIC) == WHITE_IS_ZERO else (0, largest)


def _scaled(image: Image.Image, black: int, white: int) -> Image.Image:
    """A grey image with values from ``black`` to ``white`` as 8-bit grey, rounded."""
    values, largest = np.asarray(image).astype(np.int64), max(black, white)
    return Image.fromarray(((np.abs(values - black) * 255 + largest // 2) // largest).astype(np.uint8))
