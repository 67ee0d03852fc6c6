"""Base of the readers of re-identification datasets."""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import NamedTuple

from vlprompt.datasets.images import image_files
from vlprompt.datasets.reader import Reader, check_paths

SPLITS = ('train', 'query', 'gallery')


class ReIDItem(NamedTuple):
    """One image: its path below the image root, its identity, camera and viewpoint (both counted from 0)."""

    path: str
    pid: int
    camid: int
    viewid: int = 0


class ReIDReader(Reader):
    """Reads the images of a re-identification dataset, see :class:`~vlprompt.datasets.reader.Reader`.

    Args:
        source: the file or folder that is read; messages begin with it.
        image_root: the folder that the items' paths are relative to.
        hint: where to get missing files; ends the message about them.
        noun: what the images show, as a word for prompts.
        num_cameras: of the dataset; None: counted in the training split, or in the others if there is none.
        num_views: of the dataset, with the same default.
    """

    SPLITS = SPLITS

    one_numbering = True
    """Whether equal identity numbers in the training and the test split mean the same person."""

    def __init__(
        self,
        source: Path,
        image_root: Path,
        hint: str = '',
        noun: str = 'person',
        num_cameras: int | None = None,
        num_views: int | None = None,
    ) -> None:
        super().__init__(source, image_root, hint)
        self.noun = noun
        self._num_cameras = num_cameras
        self._num_views = num_views
        self._items: dict[str, list[ReIDItem]] = {}

    def read(self, split: str) -> list[ReIDItem]:
        """The checked items of a split, in the order of the source; cached, since cameras are counted in them."""
        if split not in self._items:
            self._items[split] = super().read(split)
        return self._items[split]

    def check(self, items: Sequence[ReIDItem], split: str) -> None:
        """Raise a ValueError if a split is empty, lists an image twice, or has too many cameras or viewpoints."""
        check_paths(items, split, str(self.source))
        for field, word, limit in (('camid', 'camera', self._num_cameras), ('viewid', 'view', self._num_views)):
            for item in items if limit is not None else ():
                if not 0 <= getattr(item, field) < limit:
                    raise ValueError(
                        f'{self.source}: split {split!r}, {item.path!r}: {word} {getattr(item, field) + 1} of a '
                        f'dataset with {limit}'
                    )

    @cached_property
    def num_cameras(self) -> int:
        """Cameras of the training split (or of the others if there is none): the largest ``camid`` plus one."""
        return self._num_cameras or self._count('camid')

    @cached_property
    def num_views(self) -> int:
        """Viewpoints, counted as :attr:`num_cameras`."""
        return self._num_views or self._count('viewid')

    def _count(self, field: str) -> int:
        splits = ('train',) if 'train' in self.splits else self.splits
        return 1 + max(getattr(item, field) for split in splits for item in self.read(split))


PID_CAMERA = re.compile(r'(-?\d{1,18})_c(\d{1,18})(?!\d)')


def read_named_folder(folder: Path, relative: str) -> list[ReIDItem]:
    """Images called ``<identity>_c<camera>...``, sorted by name; identity -1 (junk) is skipped.

    Args:
        folder: to read.
        relative: path of the folder below the image root, which the items' paths begin with.

    Raises:
        ValueError: a name of another form, an identity below -1, or camera 0.
    """
    items = []
    for name in image_files(folder):
        match = PID_CAMERA.match(name)
        if match is None or int(match[1]) < -1 or int(match[2]) == 0:
            raise ValueError(
                f'{folder / name}: the name must begin with <identity>_c<camera>, such as 0002_c1s1_000451_03.jpg; '
                'identities are numbers from 0 up, or -1 for nobody, cameras count from 1'
            )
        pid, camera = int(match[1]), int(match[2])
        if pid != -1:
            items.append(ReIDItem(f'{relative}/{name}', pid, camera - 1))
    return items
