"""Base of the readers of re-identification datasets."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import NamedTuple

from vlprompt.datasets.images import list_images
from vlprompt.datasets.reader import Reader, check_paths
from vlprompt.files import whole_number

SPLITS = ('train', 'query', 'gallery')


JUNK = -1
"""Identity of images that show nobody in full; they are left out."""

MOST_CAMERAS = 10_000
"""More cameras or viewpoints than any dataset has: a larger number is a mistake, and no model makes room for it."""


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

    cameras_known = True
    """Whether images of the same camera can be told from others."""

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

    def select(self, items: Sequence[ReIDItem], split: str) -> list[ReIDItem]:
        """The items without junk, identity -1, which is counted."""
        kept = [item for item in items if item.pid != JUNK]
        self.leave_out(split, 'images of identity -1 (junk)', len(items) - len(kept))
        return kept

    def check(self, items: Sequence[ReIDItem], split: str) -> None:
        """Raise a ValueError if a split is empty, lists an image twice, or has impossible cameras or viewpoints."""
        check_paths(items, split, str(self.source))
        for field, word, limit in (('camid', 'camera', self._num_cameras), ('viewid', 'view', self._num_views)):
            for item in items:
                if not 0 <= getattr(item, field) < (limit or MOST_CAMERAS):
                    known = f'of a dataset with {limit}' if limit else f'is not a number from 1 to {MOST_CAMERAS}'
                    raise ValueError(
                        f'{self.source}: split {split!r}, {item.path!r}: {word} {getattr(item, field) + 1} {known}'
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


def is_junk(text: str) -> bool:
    """Whether an identity is written as junk: ``'-1'``, ``'-001'``."""
    return re.fullmatch('-0*1', text) is not None


def read_identity(text: str, place: str) -> int:
    """The number of an identity: 0, 1, ..., or -1 for junk.

    Args:
        text: as written in the file.
        place: where, for messages.

    Raises:
        ValueError: another negative number, a fraction, a word, or more digits than 64 bits hold.
    """
    if is_junk(text):
        return JUNK
    number = whole_number(text, place)
    if number is None:
        raise ValueError(f'{place}: identity {text!r} is not a whole number from 0 on, or -1 for junk')
    return number


ID_CAMERA = re.compile(r'(-?[0-9]+)_c([0-9]+)')


def read_named_folder(folder: Path, relative: str) -> tuple[list[ReIDItem], Counter[str]]:
    """Images called ``<identity>_c<camera>...``, in sub-folders too, sorted; and the other files by suffix.

    Args:
        folder: to read.
        relative: path of the folder below the image root, which the items' paths begin with.

    Raises:
        ValueError: a name of another form, an identity below -1, or camera 0.
    """
    items = []
    images, others = list_images(folder)
    for path in images:
        match = ID_CAMERA.match(path.rpartition('/')[2])
        if match is None or match[2].strip('0') == '':
            raise ValueError(
                f'{folder / path}: the name must begin with <identity>_c<camera>, such as 0002_c1s1_000451_03.jpg; '
                'identities are numbers from 0 on, or -1 for junk, cameras count from 1'
            )
        items.append(ReIDItem(f'{relative}/{path}', read_identity(match[1], str(folder / path)), int(match[2]) - 1))
    return items, others
