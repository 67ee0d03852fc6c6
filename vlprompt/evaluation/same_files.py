"""Which of many files are the same, by content, without reading most of them."""

from __future__ import annotations

import hashlib
import os
import stat
from collections.abc import Callable, Hashable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

import numpy as np

SAMPLE = 4096
"""Bytes that are read from the middle and from the end of a file before two files are compared as a whole."""

BLOCK = 1 << 20
"""Bytes of a file that are hashed at a time."""

WORKERS, CHUNK = 16, 64


class SameFiles(NamedTuple):
    """Result of :func:`same_files`.

    Attributes:
        numbers: (N,) int64, equal for files with the same content; files that do not exist are like no other.
        skipped: number of files that look the same as another but were not compared as a whole.
    """

    numbers: np.ndarray
    skipped: int


def same_files(
    paths: Sequence[str], groups: Sequence[int] | None = None, most_bytes: float = float('inf')
) -> SameFiles:
    """Find files with the same content: links to one file, and copies.

    Only files of the same size are read at all, first :data:`SAMPLE` bytes in two places, and only files that agree in
    these as a whole.

    Args:
        paths: N files.
        groups: (N,) numbers; files of one group need not be compared with each other, such as those of one split.
        most_bytes: stop reading whole files after so many bytes.
    """
    groups = [*range(len(paths))] if groups is None else groups
    with ThreadPoolExecutor(WORKERS) as pool:
        states = _each(pool, _state, paths)
        number: dict[Hashable, int] = {}
        numbers = [number.setdefault(state or ('none', i), i) for i, state in enumerate(states)]
        sizes = {i: states[i][-1] for i, own in enumerate(numbers) if own == i and states[i] and states[i][-1]}
        # Links to one file stand for all groups that they are in.
        members: dict[int, set[int]] = {}
        for i, own in enumerate(numbers):
            members.setdefault(own, set()).add(groups[i])
        alike = _candidates(sizes, sizes, members)
        samples = _each(pool, lambda i: (sizes[i], _sample(paths[i], sizes[i])), alike)
        alike = _candidates(alike, dict(zip(alike, samples, strict=True)), members)
        read, skipped = [], 0
        for i in alike:
            most_bytes -= sizes[i]
            if most_bytes < 0:
                skipped += 1
            else:
                read.append(i)
        digests = dict(zip(read, _each(pool, lambda i: _digest(paths[i]), read), strict=True))
    first: dict[Hashable, int] = {}
    same = {i: first.setdefault(digest, i) for i, digest in digests.items() if digest is not None}
    return SameFiles(np.array([same.get(own, own) for own in numbers], dtype=np.int64), skipped)


def _candidates(indices: Iterable[int], keys: dict[int, Hashable], members: dict[int, set[int]]) -> list[int]:
    """The files whose key another group has too."""
    groups: dict[Hashable, set[int]] = {}
    for i in indices:
        groups.setdefault(keys[i], set()).update(members[i])
    return [i for i in indices if len(groups[keys[i]]) > 1]


def _each(pool: ThreadPoolExecutor, function: Callable, values: Sequence) -> list:
    """``function`` of every value, many at a time."""
    chunks = [values[i : i + CHUNK] for i in range(0, len(values), CHUNK)]
    return [result for part in pool.map(lambda chunk: [function(v) for v in chunk], chunks) for result in part]


def _state(path: str) -> tuple[int, int, int] | None:
    """Device, number and size of a regular file; None if there is none."""
    try:
        status = os.stat(path)
    except (OSError, ValueError):
        return None
    return (status.st_dev, status.st_ino, status.st_size) if stat.S_ISREG(status.st_mode) else None


def _sample(path: str, size: int) -> bytes | str:
    """Some bytes of a file; the path, which is like no other, if it cannot be read."""
    try:
        with open(path, 'rb') as file:
            file.seek(max(0, (size - SAMPLE) // 2))
            middle = file.read(SAMPLE)
            file.seek(max(0, size - SAMPLE))
            return hashlib.sha1(middle + file.read(SAMPLE), usedforsecurity=False).digest()
    except OSError:
        return path


def _digest(path: str) -> bytes | None:
    digest = hashlib.sha256()
    try:
        with open(path, 'rb') as file:
            while block := file.read(BLOCK):
                digest.update(block)
        return digest.digest()
    except OSError:
        return None
