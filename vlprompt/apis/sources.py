"""The forms in which images are given: files, folders, shell-style patterns, opened files, arrays, PIL images."""

from __future__ import annotations

import glob
import os
import re
from collections.abc import Sequence
from pathlib import Path
from typing import BinaryIO, Literal

import numpy as np
from PIL import Image
from torch import Tensor

from vlprompt.datasets.images import IMAGE_SUFFIXES, find_images

ImageSource = str | os.PathLike | BinaryIO | np.ndarray | Image.Image
"""An image file, a folder of images, a shell-style pattern of files (``**`` stands for folders at any depth), a file
opened in binary mode, which is read from where it stands to its end, an array (H, W, 3) or (H, W), or a PIL image."""

ChannelOrder = Literal['rgb', 'bgr']
"""Of colours in an array: Pillow, matplotlib and imageio have RGB, OpenCV has BGR."""


def is_single(images: ImageSource | Sequence[ImageSource]) -> bool:
    """Whether one image is given, and not a list, a folder or a pattern, even of one image."""
    if isinstance(images, (str, os.PathLike)):
        return not Path(images).is_dir() and not is_pattern(images)
    return _is_source(images)


def _is_source(images: object) -> bool:
    """Whether an object is no list of sources; a tensor is meant as one, and refused."""
    return isinstance(images, (str, os.PathLike, np.ndarray, Image.Image, Tensor)) or hasattr(images, 'read')


def images_of(
    images: ImageSource | Sequence[ImageSource], channel_order: ChannelOrder = 'rgb'
) -> list[Path | Image.Image | bytes]:
    """Files, PIL images and contents of opened files, in the order given.

    Images of a folder, at any depth, and of a pattern are sorted by path; other files there are passed over.

    Args:
        images: one or several.
        channel_order: of arrays with colours.

    Raises:
        FileNotFoundError: a folder or a pattern without images.
        TypeError: something else, such as an array of floats.
        ValueError: an address of the web, or an unknown order of channels.
    """
    if channel_order not in ('rgb', 'bgr'):
        raise ValueError(f"channel_order must be 'rgb' or 'bgr', got {channel_order!r}")
    found: list[Path | Image.Image | bytes] = []
    for image in [images] if _is_source(images) else images:
        if isinstance(image, (str, os.PathLike)):
            found += files_of(image)
        elif isinstance(image, np.ndarray):
            found.append(_picture(image, channel_order))
        elif isinstance(image, Image.Image):
            found.append(image)
        elif hasattr(image, 'read') and isinstance(content := image.read(), bytes):
            found.append(content)
        else:
            raise TypeError(
                'an image is a file, a folder, a pattern, a file opened in binary mode, a NumPy array or a PIL image, '
                f'not {type(image).__name__}; normalised tensors are given to the model: model(images)'
            )
    return found


def is_pattern(path: str | os.PathLike) -> bool:
    """Whether a path is a shell-style pattern, and no file of that name."""
    return glob.has_magic(os.fspath(path)) and not Path(path).exists()


def files_of(path: str | os.PathLike) -> list[Path]:
    """The files that a path stands for: a file, a folder or a pattern.

    Raises:
        FileNotFoundError: a folder or a pattern without images.
        ValueError: an address of the web.
    """
    if re.match(r'[A-Za-z][A-Za-z0-9+.-]+://', os.fspath(path)):
        raise ValueError(f'{path}: nothing is fetched from the web: download the image, and give the file')
    if Path(path).is_dir():
        return find_images(path)
    if not is_pattern(path):
        return [Path(path)]
    matched = sorted(map(Path, glob.glob(os.fspath(path), recursive=True)))
    files = [file for file in matched if file.suffix.lower() in IMAGE_SUFFIXES and not file.is_dir()]
    if not files:
        raise FileNotFoundError(f'no image ({", ".join(IMAGE_SUFFIXES)}) matches {path}')
    return files


def _picture(array: np.ndarray, channel_order: ChannelOrder) -> Image.Image:
    colours = array.ndim == 3 and array.shape[2] in (3, 4) and array.dtype == np.uint8
    grey = array.ndim == 2 and array.dtype in (np.uint8, np.uint16)
    if not array.size or not (colours or grey):
        raise TypeError(
            'an array must be (H, W, 3) uint8, in the order RGB, or BGR by channel_order, or (H, W) uint8 or uint16 '
            f'for grey, got {array.shape} {array.dtype}'
        )
    if colours and channel_order == 'bgr':
        array = array[..., [2, 1, 0, *range(3, array.shape[2])]]
    return Image.fromarray(array)
