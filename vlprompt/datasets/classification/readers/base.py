"""Base of the readers of classification datasets."""

from __future__ import annotations

from abc import abstractmethod
from collections import Counter
from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path

from vlprompt.datasets.classification.items import SPLITS, Item, check_split
from vlprompt.datasets.images import count_suffixes, direct_images, list_images
from vlprompt.datasets.reader import Reader
from vlprompt.files import is_text


class SplitReader(Reader):
    """Reads items and class names of a classification dataset, see :class:`~vlprompt.datasets.reader.Reader`."""

    SPLITS = SPLITS

    @abstractmethod
    def load_classes(self) -> list[str]:
        """The class names in label order."""

    @cached_property
    def classes(self) -> list[str]:
        """The C class names in label order.

        Raises:
            ValueError: a name that is no text, since it holds bytes that are not UTF-8.
        """
        names = self.load_classes()
        for name in names:
            if not is_text(name):
                raise ValueError(f'{self.source}: the class name {name!r} is not UTF-8 text; rename the class')
        return names

    def check(self, items: Sequence[Item], split: str) -> None:
        check_split(items, self.classes, split, self.source_of(split))

    def items_of_folders(
        self, folder: str, split: str, names: Mapping[str, str], labels: Mapping[str, int]
    ) -> list[Item]:
        """The images of a folder per class, those in sub-folders of a class too.

        Args:
            folder: below the image root; holds a folder for each class.
            split: its name, for the count of files that are left out.
            names: name of a folder -> class name, in the order of the items.
            labels: name of a folder -> label.

        Raises:
            ValueError: a folder of a class without an image.
        """
        items: list[Item] = []
        loose = direct_images(self.image_root / folder)
        self.leave_out(split, 'images directly in the folder of a split, not in that of a class,', len(loose))
        others = Counter[str]()
        for key, name in names.items():
            found, rest = list_images(self.image_root / folder / key)
            if not found:
                besides = f', only {count_suffixes(rest)}' if rest else ''
                raise ValueError(f'{self.image_root / folder / key}: no image of class {name!r}{besides}')
            others += rest
            items += [Item(f'{folder}/{key}/{file}', labels[key], name) for file in found]
        self.leave_out_files(split, others)
        return items


def class_folders(folder: Path) -> list[str]:
    """Sorted names of the folders of the classes of a split, without hidden ones.

    Raises:
        ValueError: there is none, or its name is not UTF-8, so that it is no class name.
    """
    names = sub_folders(folder)
    for name in names:
        if not is_text(name):
            raise ValueError(
                f'{folder}: the name of the folder {name!r} is not UTF-8, so it is no class name; rename it'
            )
    if not names:
        loose = direct_images(folder)
        instead = f', but {len(loose)} images directly in it' if loose else ''
        raise ValueError(
            f'{folder}: there is no folder of a class{instead}; images lie in <class name>/<image>. Images without a '
            'class can be given to vlprompt predict'
        )
    return names


def sub_folders(folder: Path) -> list[str]:
    """Sorted names of the folders in a folder, without hidden ones."""
    return sorted(entry.name for entry in folder.iterdir() if entry.is_dir() and not entry.name.startswith('.'))


def index_of(classes: Sequence[str]) -> dict[str, int]:
    """Class name -> label."""
    return {name: label for label, name in enumerate(classes)}
