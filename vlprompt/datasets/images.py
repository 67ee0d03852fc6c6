"""Image files: their suffixes, finding and opening them."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import cv2
import numpy as np
from PIL import Image

T = TypeVar('T')

IMAGE_SUFFIXES = ('.jpg', '.jpeg', '.png', '.bmp', '.gif', '.webp', '.tif', '.tiff', '.ppm', '.pgm', '.pbm')
"""Suffixes of image files, in lower case; other files in a dataset's folders are ignored."""

UNDECODABLE = (OSError, SyntaxError, ValueError, Image.DecompressionBombError, cv2.error)
"""Errors that decoders raise on damaged files."""


def decode_rgb(content: bytes) -> Image.Image:
    """An RGB PIL image, not rotated by EXIF orientation."""
    with Image.open(io.BytesIO(content)) as image:
        return image.convert('RGB')


def decode_bgr(content: bytes) -> np.ndarray:
    """(H, W, 3) uint8 BGR, rotated according to EXIF orientation, as OpenCV does.

    Raises:
        ValueError: not an image.
    """
    image = cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_COLOR) if content else None
    if image is None:
        raise ValueError('it is empty, damaged or not an image')
    return image


def decode_indices(content: bytes) -> np.ndarray:
    """(H, W) of a grey or palette image, (H, W, channels) of others; the stored values, not colours."""
    with Image.open(io.BytesIO(content)) as image:
        return np.asarray(image)


def load_image(path: str | Path, decode: Callable[[bytes], T] = decode_rgb, what: str = 'image') -> T:
    """``decode(content)`` of an image file.

    Args:
        path: the file.
        decode: function of the bytes, such as :func:`decode_rgb`.
        what: name of the file in messages.

    Raises:
        FileNotFoundError: there is no such file.
        OSError: the file cannot be read or decoded; the message names it.
    """
    try:
        return decode(Path(path).read_bytes())
    except FileNotFoundError:
        raise FileNotFoundError(f'{what} {path} does not exist') from None
    except UNDECODABLE as error:
        raise OSError(f'{what} {path} cannot be read: {error}') from error


def is_image(path: Path) -> bool:
    """Whether the name is that of an image; hidden files do not count."""
    return path.suffix.lower() in IMAGE_SUFFIXES and not path.name.startswith('.')


def image_files(folder: Path) -> list[str]:
    """Names of the images in a folder, sorted."""
    return sorted(entry.name for entry in folder.iterdir() if is_image(entry))


def find_images(folder: str | Path) -> list[Path]:
    """All images below a folder, at any depth, sorted by path.

    Raises:
        FileNotFoundError: the folder does not exist or holds none.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise FileNotFoundError(f'image folder {folder} does not exist')
    paths = sorted(path for path in folder.rglob('*') if is_image(path) and path.is_file())
    if not paths:
        raise FileNotFoundError(f'{folder} holds no images ({", ".join(IMAGE_SUFFIXES)})')
    return paths
