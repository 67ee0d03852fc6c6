"""Base of all readers of datasets: from files on disk to checked items, split by split."""

from __future__ import annotations

import os
import posixpath
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import ClassVar

from vlprompt.datasets.images import list_images
from vlprompt.messages import counted

OTHER_WORDS = dict(
    train=('training', 'trn'),
    val=('valid', 'validation', 'validate', 'dev', 'eval'),
    test=('testing',),
    query=('queries', 'probe'),
    gallery=('galleries',),
)
"""Split -> what it is called elsewhere."""


class Reader(ABC):
    """Reads the items of a dataset, split by split.

    Args:
        source: the file or folder that is read; messages begin with it.
        image_root: the folder that the items' paths are relative to.
        hint: where to get missing files; ends the message about them.

    Attributes:
        own_root: ``data_root`` of your own data, which messages name if it is missing; None: a supported dataset.
    """

    SPLITS: ClassVar[tuple[str, ...]]
    """Names that a split may have."""

    def __init__(self, source: Path, image_root: Path, hint: str = '') -> None:
        self.source = source
        self.image_root = image_root
        self.hint = hint
        self.own_root: Path | None = None
        self.left_out: dict[str, dict[str, int]] = {}
        """Reason -> split -> number of entries or files that were left out when the split was read."""

    @property
    @abstractmethod
    def splits(self) -> tuple[str, ...]:
        """The splits that exist, out of :attr:`SPLITS`."""

    @abstractmethod
    def load(self, split: str) -> list:
        """The items of an existing split, unchecked."""

    def select(self, items: Sequence, split: str) -> list:
        """The items that count, by default all; others are reported to :meth:`leave_out`."""
        return list(items)

    @abstractmethod
    def check(self, items: Sequence, split: str) -> None:
        """Raise a ValueError that names the source if the items of a split are inconsistent."""

    def read(self, split: str) -> list:
        """The checked items of a split, in the order of the source.

        Raises:
            FileNotFoundError: a file, a folder or the split does not exist.
            ValueError: an unknown split, or inconsistent items (see :meth:`check`).
        """
        if split not in self.SPLITS:
            raise ValueError(f'split must be one of {", ".join(self.SPLITS)}; got {split!r}')
        if split not in self.splits:
            self.require_own_root()
            found = f'only {", ".join(self.splits)}' if self.splits else 'nor any other'
            advice = ' '.join([*self.unread(split), self.hint_about_splits()]).strip()
            raise FileNotFoundError(f'{self.source_of(split)}: has no split {split!r}, {found}. {advice}'.strip())
        items = self.select(self.load(split), split)
        self.check(items, split)
        return items

    def source_of(self, split: str) -> str:
        """The file or folder of a split, for messages."""
        return str(self.source)

    def hint_about_splits(self) -> str:
        """How to get a split that is missing; ends the message about it."""
        return self.hint

    def place_of(self, split: str) -> Path | None:
        """The folder or file that a split alone is read from, if it has one."""
        return None

    def unread(self, split: str) -> list[str]:
        """One sentence for each folder or file beside that of a split that may be meant, but is not read."""
        place = self.place_of(split)
        return [] if place is None else unread_beside(place, split)

    def leave_out(self, split: str, reason: str, count: int) -> None:
        """Record that ``count`` entries of a split are left out; 0 for none."""
        self.left_out.setdefault(reason, {})[split] = count

    def leave_out_files(self, split: str, others: Mapping[str, int]) -> None:
        """Record files of a split that are no images, by their suffix."""
        for suffix, count in others.items():
            self.leave_out(split, f'files {suffix or "without suffix"}', count)

    def notes(self) -> list[str]:
        """Remarks on reading the data: one line for every reason to leave something out, and for what is not read."""
        lines = [f'{self.source}: {sentence}' for split in self.SPLITS for sentence in self.unread(split)]
        for reason, counts in self.left_out.items():
            shown = [f'{count} of {split}' for split, count in counts.items() if count]
            if shown:
                lines.append(f'{self.source}: {reason} are left out: {", ".join(shown)}')
        return lines

    def altered_files(self) -> list[str]:
        """One line for each file that differs from its published md5 sum; most readers know no sums."""
        return []

    def require(self, path: Path) -> Path:
        """``path`` if it exists; otherwise an error that says where to get it."""
        if path.exists():
            return path
        self.require_own_root()
        raise FileNotFoundError(f'{path} does not exist. {self.hint}'.strip())

    def require_own_root(self) -> None:
        """Raise a FileNotFoundError if the folder of your own data is missing."""
        if self.own_root is not None:
            require_data_root(self.own_root)


def check_paths(items: Sequence, split: str, source: str) -> None:
    """Raise a ValueError if a split is empty or lists an image twice."""
    if not items:
        raise ValueError(f'{source}: split {split!r} is empty')
    seen: dict[str, str] = {}
    for item in items:
        path = posixpath.normpath(item.path)
        if path in seen:
            other = '' if seen[path] == item.path else f', once as {seen[path]!r}'
            raise ValueError(f'{source}: split {split!r} lists {item.path!r} twice{other}; remove one of the entries')
        seen[path] = item.path


def unread_beside(place: Path, split: str) -> list[str]:
    """One sentence for each folder, or file, whose name differs from that of a split in letter case, or has another
    word for it: ``Test``, ``valid``, ``instances_valid.json``.

    Args:
        place: the folder or file that is read.
        split: its name, such as ``'val'``.
    """
    words = [form for word in (split, *OTHER_WORDS.get(split, ())) for form in (word, f'{word}s')]
    usual = place.name.lower()
    names = {usual, *(usual.replace(split, word) for word in words), *(word + place.suffix for word in words)}
    found = sorted(name for name in _names_in(place.parent) if name.lower() in names and name != place.name)
    sentences = []
    for path in (place.with_name(name) for name in found):
        if path.is_dir() == bool(place.suffix) or (place.exists() and path.samefile(place)):
            continue
        images = f' with {counted(len(list_images(path).images), "image")}' if path.is_dir() else ''
        remedy = 'move its content to' if place.exists() else 'rename it to'
        sentences.append(f'{path.name}{images} is not read: {remedy} {place.name}.')
    return sentences


def _names_in(folder: Path) -> list[str]:
    return os.listdir(folder) if folder.is_dir() else []


def require_place(place: Path, split: str, hint: str = '') -> None:
    """Raise a FileNotFoundError if the folder or file of a split does not exist; it names those that may be meant, and
    ends with ``hint``.
    """
    if not place.exists():
        raise FileNotFoundError(' '.join([f'{place} does not exist.', *unread_beside(place, split), hint]).strip())


def require_data_root(folder: str | Path) -> None:
    """Raise a FileNotFoundError if ``data_root`` is no folder; it says how to name another."""
    folder = Path(folder)
    if not folder.is_dir():
        what = 'is no folder' if folder.exists() else 'does not exist'
        raise FileNotFoundError(
            f'data_root {folder} {what} (working directory: {Path.cwd()}): --data-root DIR names the folder of the data'
        )


def first_existing(folder: str | Path, *names: str) -> str:
    """The first of ``names`` that exists in ``folder``; if none does, the first one, for messages."""
    return next((name for name in names if Path(folder, name).exists()), names[0])
