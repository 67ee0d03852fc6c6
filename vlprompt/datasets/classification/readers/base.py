"""What every reader of a classification data set offers."""

from __future__ import annotations

import json
from abc import ABC, abstractmethod
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

from vlprompt.datasets.classification.items import SPLITS, Item, check_split

IMAGE_SUFFIXES = frozenset(
    '.jpg .jpeg .png .bmp .gif .webp .tif .tiff .ppm .pgm .pbm'.split()  # noqa: SIM905
)


class SplitReader(ABC):
    """Reads the entries of a data set, split by split.

    Args:
        source: the file or folder that is read; messages begin with it.
        image_root: the folder that the items' paths are relative to.
        hint: where to get what is missing; ends the message about a missing file.
    """

    def __init__(self, source: Path, image_root: Path, hint: str = '') -> None:
        self.source = source
        self.image_root = image_root
        self.hint = hint

    @property
    @abstractmethod
    def splits(self) -> tuple[str, ...]:
        """The splits that exist, out of train, val, test."""

    @abstractmethod
    def load(self, split: str) -> list[Item]:
        """The entries of an existing split, unchecked."""

    @abstractmethod
    def load_classes(self) -> list[str]:
        """The class names in label order."""

    @cached_property
    def classes(self) -> list[str]:
        """The C class names in label order."""
        return self.load_classes()

    def read(self, split: str) -> list[Item]:
        """The checked entries of a split, in the order of the source.

        Raises:
            ValueError: the split does not exist or its entries are inconsistent (see
                :func:`~vlprompt.datasets.classification.items.check_split`).
            FileNotFoundError: a file or folder is missing.
        """
        if split not in SPLITS:
            raise ValueError(f"split must be 'train', 'val' or 'test', got {split!r}")
        if split not in self.splits:
            raise ValueError(
                f'{self.source_of(split)}: has no split {split!r}, only {", ".join(self.splits) or "nothing"}'
            )
        items = self.load(split)
        check_split(items, self.classes, split, self.source_of(split))
        return items

    def source_of(self, split: str) -> str:
        """The file or folder of a split, for messages."""
        return str(self.source)

    def altered_files(self) -> list[str]:
        """What is wrong with files whose published md5 sum is known, a line each; most readers know none."""
        return []

    def require(self, path: Path) -> Path:
        """``path``, or an error that says that it is missing and where to get it."""
        if path.exists():
            return path
        raise FileNotFoundError(f'{path} does not exist. {self.hint}'.strip())


def read_json(file: Path) -> Any:
    """The content of a JSON file; a ValueError names a file that is none."""
    try:
        return json.loads(file.read_text(encoding='utf-8'))
    except ValueError as error:
        raise ValueError(f'{file}: not valid JSON: {error}') from error


def image_files(folder: Path) -> list[str]:
    """Names of the images in a folder, sorted; hidden files and other types are left out."""
    return sorted(
        entry.name
        for entry in folder.iterdir()
        if entry.suffix.lower() in IMAGE_SUFFIXES and not entry.name.startswith('.')
    )


def class_folders(folder: Path) -> list[str]:
    """Names of the sub-folders, sorted; hidden ones are left out."""
    return sorted(entry.name for entry in folder.iterdir() if entry.is_dir() and not entry.name.startswith('.'))


def index_of(classes: Sequence[str]) -> dict[str, int]:
    """Class name -> label."""
    return {name: label for label, name in enumerate(classes)}
