"""Lists whose labels are numbers, as long-tailed benchmarks are published."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path, PurePosixPath

from vlprompt.datasets.readers.text_list import ListReader, Row


class NumberedListReader(ListReader):
    """Reads lines ``path label`` with labels 0..C-1, naming classes that have no names yet.

    Without ``classes`` a class is called like the folder of its training images, ``train/<class name>/<image>``,
    where every class has one folder of its own; otherwise its label as text is its name.  Labels that are words are
    names, as in :class:`~vlprompt.datasets.readers.text_list.ListReader`.

    Args:
        source: the file; may contain ``{split}``.
        image_root: the folder that paths are relative to.
        classes: the class names in label order.
        only_split: the split that a list without split column and ``{split}`` holds.
        folder_names: folder -> class name, such as WordNet ids -> words; every folder must be in it.
        hint: where to get the list.
    """

    def __init__(
        self,
        source: Path,
        image_root: Path,
        classes: list[str] | None = None,
        only_split: str = 'train',
        folder_names: Mapping[str, str] | None = None,
        hint: str = '',
    ) -> None:
        super().__init__(source, image_root, classes, only_split)
        self.folder_names = folder_names
        self.hint = hint or self.hint

    @property
    def takes_numbers(self) -> bool:
        return True

    def load_classes(self) -> list[str]:
        if self.given is not None or 'train' not in self.splits:
            return super().load_classes()
        rows = self._of_split('train')
        if not all(row.label.isdigit() for row in rows):
            return super().load_classes()
        folders = _folders_by_label(rows)
        labels = range(max(folders) + 1)
        if self.folder_names is not None:
            return [self._translate(label, folders.get(label, [])) for label in labels]
        named = [found[0] for found in folders.values() if len(found) == 1 and found[0]]
        if len(set(named)) < len(folders):  # a class in several folders, or a folder of several classes
            return [str(label) for label in labels]
        return [folders[label][0] if label in folders else str(label) for label in labels]

    def _translate(self, label: int, folders: list[str]) -> str:
        file = self._file('train')
        if len(folders) != 1:
            what = f'lies in the folders {", ".join(folders)}' if folders else 'has no image'
            raise ValueError(f'{file}: label {label} {what}; one label has one folder')
        if folders[0] not in self.folder_names:
            raise ValueError(f'{file}: label {label} lies in folder {folders[0]!r}, which is no known class')
        return self.folder_names[folders[0]]


def _folders_by_label(rows: list[Row]) -> dict[int, list[str]]:
    """The names of the folders that the images of a label lie in, without repetition."""
    folders: dict[int, dict[str, None]] = {}
    for row in rows:
        folders.setdefault(int(row.label), {})[PurePosixPath(row.path).parent.name] = None
    return {label: list(found) for label, found in folders.items()}
