"""Checks that read files: images that cannot be opened, and the same image in two splits."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

import numpy as np

from vlprompt.datasets.checks.findings import Finding, Level
from vlprompt.datasets.checks.lists import SHOWN, shared_paths
from vlprompt.datasets.checks.parts import IdentityPart, Part
from vlprompt.datasets.exif import Orientation
from vlprompt.datasets.images import load_image
from vlprompt.datasets.pixels import decode_image
from vlprompt.evaluation.same_files import same_files
from vlprompt.messages import counted, enumerate_names

MOST_FILES = 100_000
"""A run compares the files of its splits by content if there are no more; their sizes are looked up first."""

MOST_BYTES = 2**30
"""A run compares at most so many bytes of files that look the same."""


class Numbers(NamedTuple):
    """For every part, numbers of its files, equal for files with the same content; and what was not compared."""

    of: list[Sequence[int]]
    skipped: str = ''


def number_files(parts: Sequence[Part], most_files: int = MOST_FILES, most_bytes: int = MOST_BYTES) -> Numbers | None:
    """Numbers by content, read from the files; None, and nothing is read, if there are more than ``most_files``."""
    paths = [path for part in parts for path in part.paths]
    if len(paths) > most_files:
        return None
    groups = [number for number, part in enumerate(parts) for _ in part.paths]
    found = same_files(paths, groups, most_bytes)
    skipped = (
        f'{found.skipped} files that look the same as another were not compared as a whole' if found.skipped else ''
    )
    return Numbers(_by_part(parts, found.numbers), skipped)


def _by_part(parts: Sequence[Part], numbers: Sequence[int]) -> list[Sequence[int]]:
    ends = np.cumsum([len(part.paths) for part in parts])
    return [np.asarray(own).tolist() for own in np.split(np.asarray(numbers), ends[:-1])]


OWN_FILES = dict(
    remove='; a query is no answer to itself, so they do not count in its ranking',
    keep="; they count in its ranking, since the metric has own_files='keep'",
)
"""What it means that queries are in the gallery, by the metric's ``own_files``."""


def check_shared(
    first: Part, second: Part, numbers: tuple[Sequence[int], Sequence[int]] | None, own_files: str = 'remove'
) -> Iterator[Finding]:
    """Images that two parts share, by path, and by content if ``numbers`` of the files of both are given.

    Args:
        first: the training, or the queries.
        second: another part, or the gallery.
        numbers: of their files, equal for copies.
        own_files: whether the metric ranks a query's own file and its copies, ``'remove'`` or ``'keep'``.
    """
    queries = isinstance(first, IdentityPart) and (first.name, second.name) == ('query', 'gallery')
    end = OWN_FILES[own_files] if queries else ''
    advice = getattr(first, 'unsplit', '') if first.source == second.source else ''
    paths = shared_paths(first, second)
    if paths:
        yield _shared(first, second, 'the same path', [second.shown(path) for path in paths], end, advice)
    if numbers is None:
        return
    origin = dict(zip(reversed(numbers[0]), reversed(first.paths), strict=True))
    known = set(paths)
    copies = [
        f'{second.shown(path)} = {first.shown(origin[number])}'
        for number, path in zip(numbers[1], second.paths, strict=True)
        if number in origin and path not in known
    ]
    if copies:
        yield _shared(first, second, 'the same bytes', copies, end)


def _shared(first: Part, second: Part, how: str, names: list[str], end: str, advice: str = '') -> Finding:
    shown = enumerate_names(names, SHOWN)
    number, many = counted(len(names), 'image'), 'is' if len(names) == 1 else 'are'
    text = f'{number} of {second.name} {many} in {first.name} too ({how}): {shown}{end}'
    return Finding(Level.PROBLEM, text if end else f'leak: {text}{advice and f". {advice}"}')


# ------------------------------------------------------------------------------------------------------ every image


class Opened(NamedTuple):
    """Every image of a dataset, read.

    Attributes:
        numbers: of the parts, by content.
        sizes: path -> width and height, of the upright image.
        orientations: path -> its EXIF orientation, of images that are stored turned or mirrored.
        problems: path -> what is wrong with it.
    """

    numbers: Numbers
    sizes: Mapping[str, tuple[int, int]]
    orientations: Mapping[str, Orientation]
    problems: Mapping[str, str]

    def orientation(self, path: str) -> Orientation:
        """The EXIF orientation of an image."""
        return self.orientations.get(path, Orientation())


def open_images(parts: Sequence[Part], workers: int = 4) -> Opened:
    """Decode every image.

    Args:
        parts: of a dataset.
        workers: threads.
    """
    paths = list(dict.fromkeys(path for part in parts for path in part.paths))

    def read(path: str) -> tuple[bytes, tuple[int, int], Orientation] | str:
        try:
            return load_image(path, _digest)
        except FileNotFoundError:
            return f'missing: {path}'
        except OSError as error:
            return f'unreadable: {path}: {str(error).removeprefix(f"image {path} cannot be read: ")}'

    with ThreadPoolExecutor(workers) as pool:
        results = dict(zip(paths, pool.map(read, paths), strict=True))
    number: dict[object, int] = {}
    numbers = []
    for path in (path for part in parts for path in part.paths):
        result = results[path]
        numbers.append(number.setdefault(path if isinstance(result, str) else result[0], len(number)))
    sizes = {path: result[1] for path, result in results.items() if not isinstance(result, str)}
    problems = {path: result for path, result in results.items() if isinstance(result, str)}
    turned = {path: r[2] for path, r in results.items() if not isinstance(r, str) and r[2].number != 1}
    return Opened(Numbers(_by_part(parts, numbers)), sizes, turned, problems)


def _digest(content: bytes) -> tuple[bytes, tuple[int, int], Orientation]:
    image, orientation = decode_image(content)
    return hashlib.sha256(content, usedforsecurity=False).digest(), image.size, orientation
