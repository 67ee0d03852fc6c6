"""A folder per class."""

from __future__ import annotations

from pathlib import Path

from vlprompt.datasets.classification.items import SPLITS, Item
from vlprompt.datasets.classification.readers.base import SplitReader, class_folders, index_of
from vlprompt.messages import enumerate_names


class FolderReader(SplitReader):
    """Reads ``<root>/<split>/<class name>/<image>``.

    The label of a class is its position among the sorted folder names of the training split (or of the test split
    if there is none), or in ``classes``.  Files are sorted; images in sub-folders of a class are read too, files that
    are not images are left out and counted.

    Args:
        source: the root folder.
        classes: the class names in label order; None: the sorted folder names.
    """

    def __init__(self, source: Path, classes: list[str] | None = None) -> None:
        hint = f'A folder per class has the layout {source}/{{train,val,test}}/<class name>/<image>; val is optional.'
        super().__init__(source, source, hint)
        self.given = classes

    @property
    def splits(self) -> tuple[str, ...]:
        self.require(self.source)
        found = tuple(split for split in SPLITS if (self.source / split).is_dir())
        if not found:
            raise FileNotFoundError(
                f'{self.source} has none of the folders train, val, test, only '
                f'{enumerate_names(class_folders(self.source), 5) or "nothing"}. {self.hint}'
            )
        return found

    def load_classes(self) -> list[str]:
        if self.given is not None:
            return self.given
        split = 'train' if 'train' in self.splits else self.splits[0]
        return class_folders(self.source / split)

    def load(self, split: str) -> list[Item]:
        folder, labels = self.source / split, index_of(self.classes)
        names = class_folders(folder)
        for name in names:
            if name not in labels:
                raise ValueError(
                    f'{folder / name}: {name!r} is not a class; the classes are '
                    f'{"those given" if self.given else "the folders of the training split"}'
                )
        return self.items_of_folders(split, split, {name: name for name in names}, labels)
