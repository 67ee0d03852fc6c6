"""Base of the readers of classification datasets."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path

from vlprompt.datasets.classification.items import SPLITS, Item, check_split
from vlprompt.datasets.images import image_files
from vlprompt.datasets.reader import Reader


class SplitReader(Reader):
    """Reads items and class names of a classification dataset, see :class:`~vlprompt.datasets.reader.Reader`."""

    SPLITS = SPLITS

    @abstractmethod
    def load_classes(self) -> list[str]:
        """The class names in label order."""

    @cached_property
    def classes(self) -> list[str]:
        """The C class names in label order."""
        return self.load_classes()

    def check(self, items: Sequence[Item], split: str) -> None:
        check_split(items, self.classes, split, self.source_of(split))


def class_folders(folder: Path) -> list[str]:
    """Sorted names of the sub-folders, without hidden ones."""
    return sorted(entry.name for entry in folder.iterdir() if entry.is_dir() and not entry.name.startswith('.'))


def images_of_class(folder: Path, name: str) -> list[str]:
    """Names of the images in the folder of class ``name``; a ValueError if there are none."""
    files = image_files(folder)
    if not files:
        raise ValueError(f'{folder}: no image of class {name!r}')
    return files


def index_of(classes: Sequence[str]) -> dict[str, int]:
    """Class name -> label."""
    return {name: label for label, name in enumerate(classes)}
