"""The detection task of the built-in world: scenes, and their objects as COCO annotations."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
from pycocotools import mask as coco_mask

from vlprompt.datasets.generated.classes import OBJECT_CLASSES
from vlprompt.datasets.generated.names import class_of, parse_name
from vlprompt.datasets.generated.render import Scene, render
from vlprompt.datasets.generated.spec import ObjectSpec, SceneSpec, sample_spec
from vlprompt.datasets.generated.tasks import TEST_STYLES, TRAIN_STYLES, object_spec
from vlprompt.datasets.generated.vocabulary import SHAPES

OTHER_SHAPES = tuple(name for name in SHAPES if name not in {parse_name(known).shape for known in OBJECT_CLASSES})
"""Shapes of no class, which occur in pictures without any object of a class."""

SPLITS = ('train', 'val')
EMPTY, CROWDED = 0.06, 0.1
"""Shares of the scenes that hold no object of a class, and of those where one object is a crowd of small ones."""

OPTIONS = dict(counts=(0.25, 0.35, 0.25, 0.15), radius=(0.11, 0.4))


def detection_scene(split: str, index: int, seed: int = 0, size: int = 160) -> tuple[np.ndarray, list[dict[str, Any]]]:
    """Scene ``index`` in a split of the detection task; a pure function of its arguments.

    It does not depend on how many scenes a set has, so a larger set contains the smaller one.

    Returns:
        The image (H, W, 3) uint8, and COCO annotations without ``id`` and ``image_id``: boxes and masks of the visible
        parts.  Category ids are positions in ``OBJECT_CLASSES`` plus 1.  A crowd of objects is one annotation with
        ``iscrowd=1`` and plain runs; the masks of the others are compressed runs.
    """
    rng = np.random.RandomState((seed, SPLITS.index(split), index, 7))
    kind, crowd = rng.rand(), ()
    options = OPTIONS | dict(size=size, styles=TRAIN_STYLES if split == 'train' else TEST_STYLES)
    empty = kind < EMPTY
    spec = sample_spec(rng, shapes=OTHER_SHAPES, **options) if empty else object_spec(rng, OBJECT_CLASSES, **options)
    if EMPTY <= kind < EMPTY + CROWDED:
        spec, crowd = _with_crowd(spec, rng)
    scene = render(spec)
    return scene.image, _annotations(scene, crowd)


def _with_crowd(spec: SceneSpec, rng: np.random.RandomState) -> tuple[SceneSpec, tuple[ObjectSpec, ...]]:
    """The scene with a close group of small objects in place of its first one, and that group."""
    first, *others = spec.objects
    crowd = []
    for angle in np.deg2rad(rng.uniform(0, 360) + np.arange(5) * 72):
        shift = 0.55 * first.radius
        centre = (first.centre[0] + shift * float(np.cos(angle)), first.centre[1] + shift * float(np.sin(angle)))
        crowd.append(replace(first, centre=centre, radius=0.45 * first.radius, angle=float(rng.uniform(-20, 20))))
    return replace(spec, objects=(*crowd, *others)), tuple(crowd)


def _annotations(scene: Scene, crowd: tuple[ObjectSpec, ...]) -> list[dict[str, Any]]:
    group, found = [], []
    for item in scene.objects:
        label = class_of(item.spec, scene.background, OBJECT_CLASSES)
        if item.spec in crowd:
            group.append((label, item.mask))
        elif label is not None:
            found.append(_annotation(label, item.mask, False))
    if group:
        found.append(_annotation(group[0][0], np.any([mask for _, mask in group], axis=0), True))
    return found


def _annotation(label: int, mask: np.ndarray, crowd: bool) -> dict[str, Any]:
    rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
    x, y = int(columns[0]), int(rows[0])
    return dict(
        category_id=label + 1,
        bbox=[x, y, int(columns[-1]) + 1 - x, int(rows[-1]) + 1 - y],
        area=int(mask.sum()),
        iscrowd=int(crowd),
        segmentation=dict(size=list(mask.shape), counts=_runs(mask) if crowd else _compressed(mask)),
    )


def _runs(mask: np.ndarray) -> list[int]:
    """Lengths of the runs in column order, zeros first."""
    flat = np.concatenate([[False], mask.ravel(order='F')])
    edges = np.flatnonzero(flat[1:] != flat[:-1])
    return np.diff([0, *edges.tolist(), mask.size]).tolist()


def _compressed(mask: np.ndarray) -> str:
    return coco_mask.encode(np.asfortranarray(mask, np.uint8))['counts'].decode()


def coco_content(annotations: list[tuple[str, list[dict[str, Any]]]], size: int) -> dict[str, list[dict[str, Any]]]:
    """A COCO annotation file.

    Args:
        annotations: file name and annotations of each image; numbers are given in this order, from 1.
        size: side of the images in pixels.
    """
    images, objects = [], []
    for number, (name, found) in enumerate(annotations, 1):
        images.append(dict(id=number, file_name=name, width=size, height=size))
        for annotation in found:
            objects.append(dict(id=len(objects) + 1, image_id=number, **annotation))
    categories = [dict(id=number, name=name) for number, name in enumerate(OBJECT_CLASSES, 1)]
    return dict(images=images, annotations=objects, categories=categories)
