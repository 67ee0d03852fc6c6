"""What a check of data finds."""

from __future__ import annotations

from enum import IntEnum
from typing import NamedTuple


class Level(IntEnum):
    """How bad a finding is.

    * NOTE: odd, but numbers mean what they say; a warning in the log of a run.
    * PROBLEM: numbers do not mean what they seem to; a warning too, and the check of a dataset fails.
    * ERROR: there is nothing to train on, or nothing to measure; a run ends.
    """

    NOTE = 1
    PROBLEM = 2
    ERROR = 3


class Finding(NamedTuple):
    """One line: how bad, and the text, which names the split and the files or classes."""

    level: Level
    text: str


def span(numbers: list[int]) -> str:
    """``'4 to 7'``, ``'4'`` if all are equal."""
    return f'{min(numbers)} to {max(numbers)}'
