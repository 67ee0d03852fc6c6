"""What every reader of a re-identification data set offers."""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import NamedTuple

from vlprompt.datasets.classification.readers.base import image_files

SPLITS = ('train', 'query', 'gallery')

README = 'data/README.md shows the whole tree.'


class ReIDItem(NamedTuple):
    """One image: its path below the image root, its identity, camera and viewpoint (both counted from 0)."""

    path: str
    pid: int
    camid: int
    viewid: int = 0


class ReIDReader(ABC):
    """Reads the images of a re-identification data set, split by split.

    Args:
        source: the file or folder that is read; messages begin with it.
        image_root: the folder that the items' paths are relative to.
        hint: where to get what is missing; ends the message about a missing file.
        noun: what the images show, as a prompt calls it.
        num_cameras: of the data set; None: counted in the training split, or in the others where there is none.
        num_views: likewise.
    """

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
        self.source = source
        self.image_root = image_root
        self.hint = hint
        self.noun = noun
        self._num_cameras = num_cameras
        self._num_views = num_views
        self._items: dict[str, list[ReIDItem]] = {}

    @property
    @abstractmethod
    def splits(self) -> tuple[str, ...]:
        """The splits that exist, out of train, query, gallery."""

    @abstractmethod
    def load(self, split: str) -> list[ReIDItem]:
        """The entries of an existing split, unchecked."""

    def notes(self) -> list[str]:
        """What is worth knowing about how the set was read, such as images that were left out."""
        return []

    def read(self, split: str) -> list[ReIDItem]:
        """The checked entries of a split, in the order of the source.

        Raises:
            ValueError: the split does not exist, is empty, lists an image twice, or has a camera or viewpoint that
                the data set does not have.
            FileNotFoundError: a file or folder is missing.
        """
        if split not in SPLITS:
            raise ValueError(f"split must be 'train', 'query' or 'gallery', got {split!r}")
        if split not in self.splits:
            found = ', '.join(self.splits) or 'nothing'
            raise FileNotFoundError(f'{self.source}: has no split {split!r}, only {found}. {self.hint}'.strip())
        if split not in self._items:
            items = self.load(split)
            self._check(items, split)
            self._items[split] = items
        return self._items[split]

    def _check(self, items: Sequence[ReIDItem], split: str) -> None:
        if not items:
            raise ValueError(f'{self.source}: split {split!r} is empty')
        seen: set[str] = set()
        limits = (('camid', 'camera', self._num_cameras), ('viewid', 'view', self._num_views))
        for item in items:
            if item.path in seen:
                raise ValueError(f'{self.source}: split {split!r} lists {item.path!r} twice; remove one of the entries')
            seen.add(item.path)
            for field, word, limit in limits:
                if limit is not None and not 0 <= getattr(item, field) < limit:
                    raise ValueError(
                        f'{self.source}: split {split!r}, {item.path!r}: {word} {getattr(item, field) + 1} of a data '
                        f'set with {limit}'
                    )

    @cached_property
    def num_cameras(self) -> int:
        """Cameras of the training split (of all others where there is none): the largest ``camid`` plus one."""
        return self._num_cameras or self._count('camid')

    @cached_property
    def num_views(self) -> int:
        """Viewpoints, counted as :attr:`num_cameras`."""
        return self._num_views or self._count('viewid')

    def _count(self, field: str) -> int:
        splits = ('train',) if 'train' in self.splits else self.splits
        return 1 + max(getattr(item, field) for split in splits for item in self.read(split))

    def require(self, path: Path) -> Path:
        """``path``, or an error that says that it is missing and where to get it."""
        if path.exists():
            return path
        raise FileNotFoundError(f'{path} does not exist. {self.hint}'.strip())


PID_CAMERA = re.compile(r'(-?\d+)_c(\d+)')


def read_named_folder(folder: Path, relative: str) -> list[ReIDItem]:
    """Images called ``<identity>_c<camera>...``, sorted by name; identity -1 (junk) is left out.

    Args:
        folder: to read.
        relative: path of the folder below the image root, which the items' paths begin with.

    Raises:
        ValueError: a name of another form, or camera 0.
    """
    items = []
    for name in image_files(folder):
        match = PID_CAMERA.match(name)
        if match is None or match[2].strip('0') == '':
            raise ValueError(
                f'{folder / name}: the name must begin with <identity>_c<camera>, such as 0002_c1s1_000451_03.jpg; '
                'identities are numbers, cameras count from 1'
            )
        pid, camera = int(match[1]), int(match[2])
        if pid != -1:
            items.append(ReIDItem(f'{relative}/{name}', pid, camera - 1))
    return items
