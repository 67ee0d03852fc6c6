"""Checks of boxes: none, classes without one, and boxes that are no x, y, width, height."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from vlprompt.datasets.checks.classes import absent_classes, single_image_classes
from vlprompt.datasets.checks.findings import Finding, Level
from vlprompt.datasets.checks.parts import BoxPart

MARGIN = 1.0
"""Pixels that a box may reach beyond its image, by rounding."""


def check_boxes(part: BoxPart) -> Iterator[Finding]:
    """Findings in the boxes of images."""
    if not len(part.boxes):
        yield Finding(Level.ERROR, f'{part.name}: no box in {len(part.paths)} images')
        return
    if part.training:
        yield from absent_classes(part.name, part.classes, part.per_class, 'box')
        pairs = np.unique(np.stack([part.labels, part.owners]), axis=1)
        images = np.bincount(pairs[0], minlength=len(part.classes)).tolist()
        yield from single_image_classes(part.name, part.classes, images)
    sizes = part.sizes[part.owners]
    beyond = np.maximum(part.boxes[:, 2:] - sizes, -part.boxes[:, :2]).max(axis=1)
    number = int((beyond > MARGIN).sum())
    if number:
        corners = look_like_corners(part.boxes, sizes)
        yield Finding(
            Level.PROBLEM if corners else Level.NOTE,
            f'{part.name}: {number} of {len(beyond)} boxes reach beyond their image by up to {beyond.max():.0f} px'
            + (': x1, y1, x2, y2? They must be x, y, width, height' if corners else ''),
        )


def look_like_corners(boxes: np.ndarray, sizes: np.ndarray) -> bool:
    """Whether all boxes make sense as x1, y1, x2, y2 of the file.

    Args:
        boxes: (M, 4) x, y, x + width, y + height.
        sizes: (M, 2) width and height of their images.
    """
    start, extent = boxes[:, :2], boxes[:, 2:] - boxes[:, :2]
    return bool(((extent > start) & (extent <= sizes + MARGIN)).all())
