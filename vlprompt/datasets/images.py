"""Image files: their suffixes, finding and opening them."""

from __future__ import annotations

import io
import os
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple, TypeVar

import cv2
import numpy as np
from PIL import Image

T = TypeVar('T')

IMAGE_SUFFIXES = (
    *('.jpg', '.jpeg', '.jpe', '.jfif', '.png', '.bmp', '.gif', '.webp', '.avif'),
    *('.tif', '.tiff', '.ppm', '.pgm', '.pbm', '.pnm'),
)
"""Suffixes of image files, in lower case; other files in a dataset's folders are left out, and counted."""

COMPANIONS = ('.txt', '.md', '.json', '.csv', '.xml', '.db', '.ini')
"""Suffixes of files that lie beside images and are none: not counted as left out."""

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


class Listing(NamedTuple):
    """Files of a folder: paths of its images relative to it, sorted, and how many others there are by suffix."""

    images: list[str]
    others: Counter[str]


def is_image(name: str | Path) -> bool:
    """Whether the name is that of an image; hidden files do not count."""
    return Path(name).suffix.lower() in IMAGE_SUFFIXES and not Path(name).name.startswith('.')


def list_images(folder: str | Path) -> Listing:
    """The images in a folder and in its sub-folders at any depth, without hidden ones; links are followed.

    Sorted folder by folder, so that the order of images directly in the folder is that of their names.  ``others`` has
    no hidden files and no :data:`COMPANIONS`.
    """
    images, others = [], Counter[str]()
    for path in _walk(str(folder), '', ()):
        suffix = os.path.splitext(path)[1].lower()
        if suffix in IMAGE_SUFFIXES:
            images.append(path)
        elif suffix not in COMPANIONS:
            others[suffix] += 1
    return Listing(sorted(images, key=lambda path: path.split('/')), others)


def _walk(folder: str, below: str, above: tuple[tuple[int, int], ...]) -> Iterator[str]:
    """Relative paths of the files that are not hidden; ``above``: the folders around, in which a link may end."""
    status = os.stat(folder)
    here = (status.st_dev, status.st_ino)
    if here in above:
        return
    with os.scandir(folder) as entries:
        for entry in entries:
            if entry.name.startswith('.'):
                continue
            if entry.is_dir():
                yield from _walk(entry.path, f'{below}{entry.name}/', (*above, here))
            else:
                yield below + entry.name


def count_suffixes(others: Counter[str]) -> str:
    """``'5 files .heic and 2 files without suffix'``, the most frequent first; empty if there are none."""
    shown = [f'{count} file{"s" * (count > 1)} {suffix or "without suffix"}' for suffix, count in others.most_common()]
    return ' and '.join([', '.join(shown[:-1]), shown[-1]] if len(shown) > 1 else shown)


def find_images(folder: str | Path) -> list[Path]:
    """All images below a folder, at any depth, sorted by path.

    Raises:
        FileNotFoundError: the folder does not exist or holds none.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise FileNotFoundError(f'image folder {folder} does not exist')
    images, others = list_images(folder)
    if not images:
        besides = f', only {count_suffixes(others)}' if others else ''
        raise FileNotFoundError(f'{folder} holds no images ({", ".join(IMAGE_SUFFIXES)}){besides}')
    return [folder / path for path in images]
