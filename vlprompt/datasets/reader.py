"""Base of all readers of datasets: from files on disk to checked items, split by split."""

from __future__ import annotations

import posixpath
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import ClassVar


class Reader(ABC):
    """Reads the items of a dataset, split by split.

    Args:
        source: the file or folder that is read; messages begin with it.
        image_root: the folder that the items' paths are relative to.
        hint: where to get missing files; ends the message about them.
    """

    SPLITS: ClassVar[tuple[str, ...]]
    """Names that a split may have."""

    def __init__(self, source: Path, image_root: Path, hint: str = '') -> None:
        self.source = source
        self.image_root = image_root
        self.hint = hint
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
            found = f'only {", ".join(self.splits)}' if self.splits else 'nor any other'
            raise FileNotFoundError(f'{self.source_of(split)}: has no split {split!r}, {found}. {self.hint}'.strip())
        items = self.select(self.load(split), split)
        self.check(items, split)
        return items

    def source_of(self, split: str) -> str:
        """The file or folder of a split, for messages."""
        return str(self.source)

    def leave_out(self, split: str, reason: str, count: int) -> None:
        """Record that ``count`` entries of a split are left out; 0 for none."""
        self.left_out.setdefault(reason, {})[split] = count

    def leave_out_files(self, split: str, others: Mapping[str, int]) -> None:
        """Record files of a split that are no images, by their suffix."""
        for suffix, count in others.items():
            self.leave_out(split, f'files {suffix or "without suffix"}', count)

    def notes(self) -> list[str]:
        """Remarks on reading the data: one line for every reason to leave something out."""
        lines = []
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
        raise FileNotFoundError(f'{path} does not exist. {self.hint}'.strip())


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


def first_existing(folder: str | Path, *names: str) -> str:
    """The first of ``names`` that exists in ``folder``; if none does, the first one, for messages."""
    return next((name for name in names if Path(folder, name).exists()), names[0])
