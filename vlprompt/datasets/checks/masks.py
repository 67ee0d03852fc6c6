"""Checks of masks: classes without a pixel, and the share of pixels that are ignored."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

import numpy as np

from vlprompt.datasets.checks.classes import absent_classes, check_names, single_image_classes
from vlprompt.datasets.checks.findings import Finding, Level
from vlprompt.datasets.checks.parts import MaskPart

MOST_IGNORED = 0.5
"""Share of ignored pixels from which on a finding says so."""


class MaskCounts(NamedTuple):
    """What masks of K classes hold.

    Attributes:
        pixels: (K,) int64, pixels of each class.
        images: (K,) int64, masks that a class is in.
        ignored: pixels without a label.
        shapes: mask -> height and width, of those that could be read.
        problems: one line for every mask that could not.
        of: number of masks of the split, of which those with a shape or a problem were read.
    """

    pixels: np.ndarray
    images: np.ndarray
    ignored: int
    shapes: dict[int, tuple[int, int]]
    problems: list[str]
    of: int

    @property
    def read(self) -> int:
        """Number of masks that were read or tried."""
        return len(self.shapes) + len(self.problems)

    @property
    def share_ignored(self) -> float:
        """Share of pixels without a label."""
        return self.ignored / max(1, self.ignored + int(self.pixels.sum()))

    def __str__(self) -> str:
        extent = 'in all masks' if self.read == self.of else f'in {self.read} of {self.of} masks, evenly spaced'
        return f'{100 * self.share_ignored:.1f} % of pixels unlabelled ({extent})'


def count_masks(part: MaskPart, most: int | None = None, workers: int = 4) -> MaskCounts:
    """Read the masks of a part, or ``most`` of them, evenly spaced."""
    total, classes = len(part.masks), len(part.classes)
    chosen = range(total)
    if most is not None and total > most:
        chosen = np.linspace(0, total - 1, most).round().astype(int).tolist()
    pixels, images = np.zeros(classes, np.int64), np.zeros(classes, np.int64)
    counts = MaskCounts(pixels, images, 0, {}, [], total)

    def read(index: int) -> tuple[np.ndarray, int, tuple[int, int]] | str:
        try:
            labels = part.read_labels(index)
        except (ValueError, OSError) as error:
            return str(error)
        found = np.bincount(labels.ravel(), minlength=256)
        ignored = int(found[part.ignored]) if 0 <= part.ignored < len(found) else 0
        return found[:classes], ignored, labels.shape

    ignored = 0
    with ThreadPoolExecutor(workers) as pool:
        for index, result in zip(chosen, pool.map(read, chosen), strict=True):
            if isinstance(result, str):
                counts.problems.append(result)
                continue
            pixels += result[0]
            images += result[0] > 0
            ignored += result[1]
            counts.shapes[index] = result[2]
    return counts._replace(ignored=ignored)


def check_masks(part: MaskPart, counts: MaskCounts) -> Iterator[Finding]:
    """Findings in what the masks hold; those about single classes only if all masks were read."""
    if part.training:
        yield from check_names(part.name, part.classes)
    for problem in counts.problems:
        yield Finding(Level.ERROR, problem)
    if counts.shapes and not counts.pixels.sum():
        yield Finding(
            Level.ERROR, f'{part.name}: all pixels of {len(counts.shapes)} masks are unlabelled ({part.ignored})'
        )
        return
    if counts.share_ignored >= MOST_IGNORED:
        yield Finding(Level.NOTE, f'{part.name}: {counts}')
    if part.training and len(counts.shapes) == counts.of:
        yield from absent_classes(part.name, part.classes, counts.pixels.tolist(), 'pixel')
        yield from single_image_classes(part.name, part.classes, counts.images.tolist())
