"""Image files: their suffixes, finding and opening them."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import cv2
from PIL import Image

from vlprompt.datasets.exif import Orientation
from vlprompt.datasets.pixels import decode_image, decode_rgb, to_rgb
from vlprompt.files import read_bytes

T = TypeVar('T')

IMAGE_SUFFIXES = (
    *('.jpg', '.jpeg', '.jpe', '.jfif', '.png', '.bmp', '.gif', '.webp', '.avif'),
    *('.tif', '.tiff', '.ppm', '.pgm', '.pbm', '.pnm'),
)
"""Suffixes of image files, in lower case; other files in a dataset's folders are left out, and counted."""

COMPANIONS = ('.txt', '.md', '.json', '.csv', '.xml', '.db', '.ini')
"""Suffixes of files that lie beside images and are none: not counted as left out."""


FIND_BROKEN = 'vlprompt check-dataset finds all such files'
"""The end of the message about a missing or broken file of a dataset."""


def load_image(path: str | Path, decode: Callable[[bytes], T] = decode_rgb, what: str = 'image') -> T:
    """``decode(content)`` of an image file.

    Args:
        path: the file.
        decode: function of the bytes, such as :func:`~vlprompt.datasets.pixels.decode_rgb`.
        what: name of the file in messages.

    Raises:
        FileNotFoundError: there is no such file.
        OSError: it is no regular file, or cannot be read or decoded; the message names it.
        MemoryError: the process has too little memory for it.
    """
    content = read_bytes(path, what)
    try:
        return decode(content)
    except MemoryError:  # says nothing about the file
        raise
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
        with naming_decoded(results.get('img_path', 'image')):
            return to_rgb(image, exif_orientation)
    return load_image(results['img_path'], partial(decode_image, exif_orientation=exif_orientation))


@contextmanager
def naming_decoded(name: str) -> Iterator[None]:
    """Errors that an image without a file causes while it is decoded become an OSError that names it."""
    try:
        yield
    except (OSError, ValueError, SyntaxError) as error:  # Pillow's ways to say so
        raise OSError(f'{name} cannot be used: {error}') from error


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


@contextmanager
def naming_dataset_image(sample: Callable[[], Mapping[str, Any]]) -> Iterator[None]:
    """:func:`naming_image` for the image of a dataset: what says that a file is missing or broken also says how to find
    all such files.

    Args:
        sample: as for :func:`naming_image`.

    Raises:
        OSError: a file that cannot be read.
        ValueError: as :func:`naming_image`.
    """
    try:
        with naming_image(sample):
            yield
    except OSError as error:
        if error.errno is None and FIND_BROKEN not in str(error):  # with a number it is a fault of the machine
            error.args = (f'{error}; {FIND_BROKEN}',)
        raise


class Listing(NamedTuple):
    """Files of a folder: paths of its images relative to it, sorted, and how many others there are by suffix."""

    images: list[str]
    others: Counter[str]


def list_images(folder: str | Path, without: Path | None = None) -> Listing:
    """The images in a folder and in its sub-folders at any depth, without hidden ones; links are followed.

    Sorted folder by folder, so that the order of images directly in the folder is that of their names.  ``others`` has
    no hidden files and no :data:`COMPANIONS`.

    Args:
        folder: it must exist.
        without: a file or folder that is passed over, if it lies in the folder or a link leads there.
    """
    images, others = [], Counter[str]()
    passed = () if without is None or not without.exists() else (_identity(without),)
    for path in _walk(str(folder), '', passed):
        suffix = os.path.splitext(path)[1].lower()
        if suffix in IMAGE_SUFFIXES:
            images.append(path)
        elif suffix not in COMPANIONS:
            others[suffix] += 1
    return Listing(sorted(images, key=lambda path: path.split('/')), others)


def direct_images(folder: str | Path) -> list[str]:
    """Sorted names of the images directly in a folder, without hidden ones."""
    with os.scandir(folder) as entries:
        names = [entry.name for entry in entries if not entry.name.startswith('.') and not _is_folder(entry)]
    return sorted(name for name in names if os.path.splitext(name)[1].lower() in IMAGE_SUFFIXES)


def _is_folder(entry: os.DirEntry) -> bool:
    """Whether an entry is a folder or a link to one; a link that leads round in circles is none, as a broken one."""
    try:
        return entry.is_dir()
    except OSError:
        return False


def _identity(path: str | Path) -> tuple[int, int]:
    """Device and number of a file or folder, the same by whatever path it is reached."""
    status = os.stat(path)
    return status.st_dev, status.st_ino


def _walk(folder: str, below: str, passed: tuple[tuple[int, int], ...]) -> Iterator[str]:
    """Relative paths of the files that are not hidden.

    ``passed``: identities of what is passed over; the folders around, in which a link may end, are added.
    """
    here = _identity(folder)
    if here in passed:
        return
    with os.scandir(folder) as entries:
        for entry in entries:
            if entry.name.startswith('.') or (here[0], entry.inode()) in passed:
                continue
            if _is_folder(entry):
                yield from _walk(entry.path, f'{below}{entry.name}/', (*passed, here))
            else:
                yield below + entry.name


def count_suffixes(others: Counter[str]) -> str:
    """``'5 files .heic and 2 files without suffix'``, the most frequent first; empty if there are none."""
    shown = [f'{count} file{"s" * (count > 1)} {suffix or "without suffix"}' for suffix, count in others.most_common()]
    return ' and '.join([', '.join(shown[:-1]), shown[-1]] if len(shown) > 1 else shown)


def find_images(folder: str | Path) -> list[Path]:
    """All images below a folder, at any depth, sorted by path.

    What has the name of an image but is a broken link or no regular file is among them, and an error when it is read.

    Raises:
        FileNotFoundError: the folder does not exist or holds none.
    """
    return [Path(folder, path) for path in require_images(folder).images]


def require_images(folder: str | Path, without: Path | None = None) -> Listing:
    """:func:`list_images` of a folder that must hold some.

    Raises:
        FileNotFoundError: the folder does not exist or holds none.
    """
    if not Path(folder).is_dir():
        raise FileNotFoundError(f'image folder {folder} does not exist')
    listing = list_images(folder, without)
    if not listing.images:
        besides = f', only {count_suffixes(listing.others)}' if listing.others else ''
        apart = f' apart from {without}' if without is not None and without.exists() else ''
        raise FileNotFoundError(f'{folder} holds no images ({", ".join(IMAGE_SUFFIXES)}){besides}{apart}')
    return listing


LONGEST_NAME = 255
"""Bytes in the name of a file on common file systems."""


def numbered_pattern(digits: int = 6) -> str:
    """The shell-style pattern of names of :func:`numbered_name`."""
    return '[0-9]' * digits + '*_*.png'


def numbered_name(number: int, path: str | Path, digits: int = 6) -> str:
    """Name of a picture of an image: ``'<number>_<name of the file without suffix>.png'``.

    It is shortened to what a file system takes; the number, filled up with zeros to ``digits``, tells pictures apart.
    """
    stem = Path(path).stem
    while len(os.fsencode(name := f'{number:0{digits}}_{stem}.png')) > LONGEST_NAME:
        stem = stem[:-1]
    return name
