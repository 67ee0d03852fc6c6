"""iNaturalist 2018."""

from __future__ import annotations

from functools import cache
from pathlib import Path

from vlprompt.datasets.classification.items import Item
from vlprompt.datasets.classification.readers.base import SplitReader
from vlprompt.files import read_json

FILES = dict(train='train2018.json', val='val2018.json', test='val2018.json')


class INaturalistReader(SplitReader):
    """Reads ``train2018.json`` and ``val2018.json`` in COCO's form, with the names of ``categories.json``.

    The published validation images are the test set; ``val`` and ``test`` are the same.  A label is the category id,
    a class name the scientific name.

    Args:
        root: holds the three files and ``train_val2018/<super-category>/<category id>/<image>``.
        hint: where to get the data.
    """

    splits = tuple(FILES)

    def __init__(self, root: Path, hint: str = '') -> None:
        super().__init__(root, root, hint)
        self._annotations = cache(self._read_annotations)

    def load_classes(self) -> list[str]:
        file = self.require(self.source / 'categories.json')
        try:
            names = {entry['id']: entry['name'] for entry in read_json(file)}
        except (KeyError, TypeError) as error:
            raise ValueError(f'{file}: expected a list of {{"id": number, "name": text}}') from error
        if sorted(names) != list(range(len(names))):
            raise ValueError(f'{file}: category ids must be 0..{len(names) - 1} without gaps')
        return [names[label] for label in range(len(names))]

    def load(self, split: str) -> list[Item]:
        file = self.require(self.source / FILES[split])
        return [self._item(file, path, label) for path, label in self._annotations(file)]

    def _item(self, file: Path, path: str, label: int) -> Item:
        if not 0 <= label < len(self.classes):
            raise ValueError(f'{file}: {path!r} has category {label}, but categories.json ends at {len(self.classes)}')
        return Item(path, label, self.classes[label])

    @staticmethod
    def _read_annotations(file: Path) -> list[tuple[str, int]]:
        content = read_json(file)
        try:
            paths = {image['id']: image['file_name'] for image in content['images']}
            labels = [(entry['image_id'], entry['category_id']) for entry in content['annotations']]
        except (KeyError, TypeError) as error:
            raise ValueError(f"{file}: not in COCO's form, there is no {error}") from error
        unknown = [image for image, _ in labels if image not in paths]
        if unknown:
            raise ValueError(f'{file}: {len(unknown)} annotations are of images not listed, such as id {unknown[0]}')
        return [(paths[image], label) for image, label in labels]
