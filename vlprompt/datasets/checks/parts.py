"""Splits of datasets as checks see them: images, and what is annotated."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np

from vlprompt.datasets.checks.findings import span
from vlprompt.messages import counted


@dataclass(kw_only=True, eq=False)
class Part:
    """N images of one split.

    Attributes:
        name: of the split: ``'train'``, ``'val'``, ``'test'``, ``'query'`` or ``'gallery'``.
        source: file or folder that was read, for messages.
        root: folder that the images should be in; '' if any will do.
        paths: (N,) image files.
        notes: what was left out when the split was read, one line each.
    """

    name: str
    source: str
    root: str = ''
    paths: Sequence[str] = ()
    notes: Sequence[str] = ()

    @property
    def training(self) -> bool:
        """Whether a model trains on it."""
        return self.name == 'train'

    def shown(self, path: str) -> str:
        """A path as messages show it: relative to the root, if it is inside."""
        if self.root and path.startswith(self.root.rstrip('/') + '/'):
            return os.path.relpath(path, self.root)
        return path

    def counts(self) -> str:
        """How many images and classes there are, in a line."""
        return f'{self.name}: {counted(len(self.paths), "image")}'


@dataclass(kw_only=True, eq=False)
class ClassPart(Part):
    """Images with a label.

    Attributes:
        labels: (N,) 0 .. K - 1.
        classes: K names.
        shots: images per class that are drawn for training; None: all.
        unsplit: what to do if another split is read from the same source, which does not tell splits apart.
    """

    labels: Sequence[int]
    classes: Sequence[str]
    shots: int | None = None
    unsplit: str = ''

    @cached_property
    def images(self) -> list[int]:
        """Images of each of the K classes."""
        counter = Counter(self.labels)
        return [counter[label] for label in range(len(self.classes))]

    def counts(self) -> str:
        shots = f', {counted(self.shots, "shot")}' if self.training and self.shots is not None else ''
        classes = counted(len(self.classes), 'class', 'classes')
        return f'{super().counts()} of {classes} ({span(self.images)} each{shots})'


@dataclass(kw_only=True, eq=False)
class IdentityPart(Part):
    """Images of identities.

    Attributes:
        pids, camids, viewids: (N,) identities, cameras and viewpoints, the latter from 0.
        one_numbering: whether training and test identities of the same number are the same.
        cameras_known: whether images of different cameras can be told apart.
    """

    pids: Sequence[int]
    camids: Sequence[int]
    viewids: Sequence[int]
    one_numbering: bool = True
    cameras_known: bool = True

    def counts(self) -> str:
        images = Counter(self.pids)
        views = len(set(self.viewids))
        more = f' and {views} viewpoints' if views > 1 else ''
        cameras = counted(len(set(self.camids)), 'camera') if self.cameras_known else 'unknown cameras'
        each = span(list(images.values())) if images else '0 to 0'
        identities = counted(len(images), 'identity', 'identities')
        return f'{super().counts()} of {identities} ({each} each) from {cameras}{more}'


@dataclass(kw_only=True, eq=False)
class MaskPart(Part):
    """Images with a mask.

    Attributes:
        masks: (N,) files.
        classes: K names.
        read_labels: ``read_labels(i)`` gives mask i, (H, W): 0 .. K - 1, and ``ignored`` where nothing is labelled.
        ignored: label of pixels without one.
    """

    masks: Sequence[str]
    classes: Sequence[str]
    read_labels: Callable[[int], np.ndarray]
    ignored: int = 255

    def counts(self) -> str:
        return f'{super().counts()} of {counted(len(self.classes), "class", "classes")}'


@dataclass(kw_only=True, eq=False)
class BoxPart(Part):
    """Images with M boxes, without crowds.

    Attributes:
        sizes: (N, 2) widths and heights as annotated.
        boxes: (M, 4) x1, y1, x2, y2 in pixels.
        owners: (M,) the image of each.
        labels: (M,) 0 .. K - 1.
        classes: K names.
    """

    sizes: np.ndarray
    boxes: np.ndarray
    owners: np.ndarray
    labels: np.ndarray
    classes: Sequence[str] = field(default_factory=list)

    @cached_property
    def per_class(self) -> list[int]:
        """Boxes of each of the K classes."""
        counter = Counter(self.labels.tolist())
        return [counter[label] for label in range(len(self.classes))]

    def counts(self) -> str:
        boxes, classes = counted(len(self.boxes), 'box', 'boxes'), counted(len(self.classes), 'class', 'classes')
        return f'{super().counts()} with {boxes} of {classes} ({span(self.per_class)} each)'
