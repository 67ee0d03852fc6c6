"""Training on one dataset, testing on another with the same classes."""

from __future__ import annotations

from pathlib import Path

from vlprompt.datasets.classification.items import Item
from vlprompt.datasets.classification.readers.base import SplitReader


class TransferReader(SplitReader):
    """The training split of one reader and the test split of another; labels mean the same classes.

    Args:
        train: reader of the training data, which provides the class names.
        test: reader of the test data.
        data_root: a folder that contains both.
    """

    def __init__(self, train: SplitReader, test: SplitReader, data_root: Path) -> None:
        super().__init__(test.source, data_root, test.hint)
        self.readers = dict(train=train, test=test)

    splits = ('train', 'test')

    def load_classes(self) -> list[str]:
        return self.readers['train'].classes

    def altered_files(self) -> list[str]:
        return self.readers['train'].altered_files() + self.readers['test'].altered_files()

    def notes(self) -> list[str]:
        return self.readers['train'].notes() + self.readers['test'].notes()

    def load(self, split: str) -> list[Item]:
        reader = self.readers[split]
        if len(reader.classes) != len(self.classes):
            raise ValueError(
                f'{reader.source} has {len(reader.classes)} classes, {self.readers["train"].source} trains '
                f'{len(self.classes)}; they must be the same'
            )
        prefix = reader.image_root.relative_to(self.image_root)
        return [Item(str(prefix / item.path), item.label, self.classes[item.label]) for item in reader.load(split)]
