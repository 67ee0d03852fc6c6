"""Image files: their suffixes, finding and opening them."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import cv2
from PIL import Image

from vlprompt.datasets.exif import Orientation
from vlprompt.datasets.pixels import decode_image, decode_rgb, to_rgb
from vlprompt.files import read_bytes

T = TypeVar('T')

IMAGE_SUFFIXES = ('.jpg', '.jpeg', '.png', '.bmp', '.gif', '.webp', '.tif', '.tiff', '.ppm', '.pgm', '.pbm')
"""Suffixes of image files, in lower case; other files in a dataset's folders are ignored."""


def load_image(path: str | Path, decode: Callable[[bytes], T] = decode_rgb, what: str = 'image') -> T:
    """``decode(content)`` of an image file.

    Args:
        path: the file.
        decode: function of the bytes, such as :func:`~vlprompt.datasets.pixels.decode_rgb`.
        what: name of the file in messages.

    Raises:
        FileNotFoundError: there is no such file.
        OSError: it is no regular file, or cannot be read or decoded; the message names it.
    """
    content = read_bytes(path, what)
    try:
        return decode(content)
    except Exception as error:  # damaged bytes lead decoders to errors of any kind
        known = isinstance(error, (OSError, ValueError, SyntaxError))
        raise OSError(f'{what} {path} cannot be read: {error if known else repr(error)}') from error


def load_sample_image(results: Mapping[str, Any], exif_orientation: bool) -> tuple[Image.Image, Orientation]:
    """The RGB image of a sample, and its EXIF orientation.

    It is ``img`` if that is a PIL image already, else the file ``img_path``.

    Raises:
        FileNotFoundError, OSError: as for :func:`load_image`.
    """
    if isinstance(image := results.get('img'), Image.Image):
        try:
            return to_rgb(image, exif_orientation)
        except ValueError as error:
            raise OSError(f'{results.get("img_path", "image")} cannot be used: {error}') from error
    return load_image(results['img_path'], partial(decode_image, exif_orientation=exif_orientation))


@contextmanager
def naming_image(sample: Callable[[], Mapping[str, Any]]) -> Iterator[None]:
    """Errors that an image causes in its transforms name it.

    Args:
        sample: gives the entries of the dataset for the image, ``img_path`` among them; called after an error.

    Raises:
        ValueError: OpenCV failed, or a ValueError was raised inside whose message names neither image nor mask.
    """
    try:
        yield
    except (ValueError, cv2.error) as error:
        info = sample()
        if any(info[key] in str(error) for key in ('img_path', 'seg_map_path') if key in info):
            raise
        raise ValueError(f'image {info["img_path"]}: {error}') from error


def is_image(path: Path) -> bool:
    """Whether the name is that of an image; hidden files do not count."""
    return path.suffix.lower() in IMAGE_SUFFIXES and not path.name.startswith('.')


def image_files(folder: Path) -> list[str]:
    """Names of the images in a folder, sorted."""
    return sorted(entry.name for entry in folder.iterdir() if is_image(entry))


def find_images(folder: str | Path) -> list[Path]:
    """All images below a folder, at any depth, sorted by path.

    What has the name of an image but is a broken link or no regular file is among them, and an error when it is read.

    Raises:
        FileNotFoundError: the folder does not exist or holds none.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise FileNotFoundError(f'image folder {folder} does not exist')
    paths = sorted(path for path in folder.rglob('*') if is_image(path) and not path.is_dir())
    if not paths:
        raise FileNotFoundError(f'{folder} holds no images ({", ".join(IMAGE_SUFFIXES)})')
    return paths


LONGEST_NAME = 255
"""Bytes in the name of a file on common file systems."""


def numbered_name(number: int, path: str | Path, digits: int = 6) -> str:
    """Name of a picture of an image: ``'<number>_<name of the file without suffix>.png'``.

    It is shortened to what a file system takes; the number, filled up with zeros to ``digits``, tells pictures apart.
    """
    stem = Path(path).stem
    while len(os.fsencode(name := f'{number:0{digits}}_{stem}.png')) > LONGEST_NAME:
        stem = stem[:-1]
    return name
