"""Benchmarks that list their images in text files: MSMT17 and VehicleID."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from vlprompt.datasets.reid.readers.base import ReIDItem, ReIDReader, read_identity
from vlprompt.evaluation.ranking import draw_gallery
from vlprompt.files import read_lines, whole_number


class MSMT17Reader(ReIDReader):
    """MSMT17: ``list_{train,val,query,gallery}.txt`` with lines ``<path> <identity>``.

    The camera is the third field of the file name.  The training split is train and val together, as in published
    results.  Identities of the training and of the test lists are numbered independently.  The second edition,
    with blurred faces, has folders ``mask_train_v2`` and ``mask_test_v2``.
    """

    one_numbering = False
    LISTS = dict(train=('list_train.txt', 'list_val.txt'), query=('list_query.txt',), gallery=('list_gallery.txt',))
    FOLDERS = dict(train=('train', 'mask_train_v2'), query=('test', 'mask_test_v2'), gallery=('test', 'mask_test_v2'))

    def __init__(self, source: Path, **kwargs) -> None:
        super().__init__(source, source, **kwargs)

    @property
    def splits(self) -> tuple[str, ...]:
        self.require(self.source)
        return tuple(split for split, files in self.LISTS.items() if (self.source / files[0]).is_file())

    def load(self, split: str) -> list[ReIDItem]:
        folder = next((name for name in self.FOLDERS[split] if (self.source / name).is_dir()), self.FOLDERS[split][0])
        items = []
        for file in self.LISTS[split]:
            for place, path, pid in read_pairs(self.require(self.source / file)):
                camera = whole_number(''.join(Path(path).name.split('_')[2:3]), place)
                if not camera:
                    raise ValueError(
                        f'{place}: the third field of the file name must be the camera, counted from 1, as in '
                        f'0000/0000_000_01_0303morning_0015_0.jpg, got {path!r}'
                    )
                items.append(ReIDItem(f'{folder}/{path}', pid, camera - 1))
        return items


class VehicleIDReader(ReIDReader):
    """PKU VehicleID: ``train_test_split/{train_list,test_list_<size>}.txt`` with lines ``<image> <identity>``.

    Cameras are unknown, so every image has camera 0 and none may be removed for its camera: evaluate with
    ``RetrievalMetric(repeats=10)``.  The gallery is one image per identity, drawn at random; the published protocol
    averages ten draws.  This reader makes one draw, with a fixed seed.

    Args:
        source: the folder that holds ``image`` and ``train_test_split``.
        test_size: identities of the test list: 800, 1600 or 2400.
        **kwargs: those of :class:`~vlprompt.datasets.reid.readers.base.ReIDReader`.
    """

    cameras_known = False

    def __init__(self, source: Path, test_size: int = 800, **kwargs) -> None:
        super().__init__(source, source, **kwargs)
        self.files = dict.fromkeys(('query', 'gallery'), f'train_test_split/test_list_{test_size}.txt')
        self.files['train'] = 'train_test_split/train_list.txt'

    @property
    def splits(self) -> tuple[str, ...]:
        self.require(self.source)
        return tuple(split for split in ('train', 'query', 'gallery') if (self.source / self.files[split]).is_file())

    def load(self, split: str) -> list[ReIDItem]:
        pairs = read_pairs(self.require(self.source / self.files[split]))
        items = [ReIDItem(f'image/{name}.jpg', pid, 0) for _, name, pid in pairs]
        if split == 'train':
            return items
        in_gallery = draw_gallery(np.array([item.pid for item in items]), np.random.default_rng(0))
        return [item for item, drawn in zip(items, in_gallery, strict=True) if drawn == (split == 'gallery')]


def read_pairs(file: Path) -> Iterator[tuple[str, str, int]]:
    """``(file:line, name, identity)`` of every line ``<name> <identity>``.

    Raises:
        ValueError: a line of another form.
    """
    for place, line in read_lines(file):
        name, _, pid = line.rpartition(' ')
        if not name:
            raise ValueError(f"{place}: {line!r} is not '<path> <identity>'")
        yield place, name.strip(), read_identity(pid, place)
