"""Checks of lists of images: empty ones, files that are listed twice, paths outside of the data, shared paths."""

from __future__ import annotations

import os
from collections.abc import Iterator

from vlprompt.datasets.checks.findings import Finding, Level
from vlprompt.datasets.checks.parts import BoxPart, Part
from vlprompt.messages import counted, enumerate_names

SHOWN = 3
"""Number of files that a finding names; the others are counted."""


def check_list(part: Part) -> Iterator[Finding]:
    """Findings in the list of one part."""
    for note in part.notes:
        yield Finding(Level.NOTE, note)
    if not part.paths:
        yield Finding(Level.ERROR, f'{part.name}: no image in {part.root or part.source}')
        return
    numbers: dict[str, list[int]] = {}
    for i, path in enumerate(part.paths):
        numbers.setdefault(key_of(path), []).append(i)
    repeated = [path for path, found in numbers.items() if len(found) > 1]
    if repeated:
        level = Level.ERROR if isinstance(part, BoxPart) else Level.PROBLEM  # its boxes are spread over the entries
        yield Finding(
            level, f'{part.name}: {counted(len(repeated), "image")} listed more than once: {_names(part, repeated)}'
        )
    root = os.path.abspath(part.root) if part.root else None
    outside = [path for path in part.paths if root and not _is_inside(path, part.root, root)]
    if outside:
        what = 'path is' if len(outside) == 1 else 'paths are'
        yield Finding(
            Level.NOTE, f'{part.name}: {len(outside)} {what} outside of {part.root}, the first is {outside[0]}'
        )


def key_of(path: str) -> str:
    """A path without detours; most have none, so that a long list takes no time."""
    return os.path.normpath(path) if '/.' in path or '//' in path or path.startswith('.') else path


def shared_paths(first: Part, second: Part) -> list[str]:
    """Paths of ``second`` that are in ``first`` too."""
    known = {key_of(path) for path in first.paths}
    return [path for path in second.paths if key_of(path) in known]


def _is_inside(path: str, root: str, absolute: str) -> bool:
    if path.startswith(root.rstrip('/') + '/') and '/..' not in path:
        return True
    return os.path.abspath(path).startswith(absolute.rstrip('/') + '/')


def _names(part: Part, paths: list[str]) -> str:
    return enumerate_names((part.shown(path) for path in paths), SHOWN)
