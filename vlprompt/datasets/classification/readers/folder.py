"""A folder per class."""

from __future__ import annotations

from pathlib import Path

from vlprompt.datasets.classification.items import SPLITS, Item
from vlprompt.datasets.classification.readers.base import SplitReader, class_folders, index_of, sub_folders
from vlprompt.datasets.images import direct_images
from vlprompt.messages import enumerate_names


class FolderReader(SplitReader):
    """Reads ``<root>/<split>/<class name>/<image>``.

    The label of a class is its position among the sorted folder names of the training split (or of the test split
    if there is none), or in ``classes``.  Files are sorted; images in sub-folders of a class are read too.  Files that
    are not images, images in no folder of a class, and folders such as ``valid`` and ``Test`` are left out and counted.

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
            self.require_own_root()
            found = enumerate_names(sub_folders(self.source), 5) or 'nothing'
            split_it = f'vlprompt split-folder {self.source} splits folders of classes (then --dataset split_json).'
            advice = ' '.join([*(sentence for split in SPLITS for sentence in self.unread(split)), self.hint, split_it])
            raise FileNotFoundError(f'{self.source} has none of the folders train, val, test, only {found}. {advice}')
        return found

    def place_of(self, split: str) -> Path:
        return self.source / split

    def notes(self) -> list[str]:
        loose = direct_images(self.source)
        first = f'{self.source}: images directly in it, not in the folder of a split, are left out: {len(loose)}'
        return [first] * bool(loose) + super().notes()

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
