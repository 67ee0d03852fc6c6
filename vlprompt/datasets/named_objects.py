"""Images with masks of named objects: from the built-in world, or from a folder of images and masks."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np

from vlprompt.datasets.generated.classes import OBJECT_CLASSES, SCENE_CLASSES
from vlprompt.datasets.generated.render import Scene
from vlprompt.datasets.generated.tasks import class_scene, few_shot_scene, segmentation_scene
from vlprompt.datasets.images import load_image
from vlprompt.evaluation.local_features import UNNAMED

BACKGROUND = 'background'
"""Name of a class that is no object: its pixels count as unnamed."""


@dataclass
class NamedImage:
    """An image and its named objects.

    Attributes:
        image: (H, W, 3) uint8 RGB.
        mask: (H, W) uint8, positions in the list of names, 255 elsewhere.
        name: of the image.
    """

    image: np.ndarray
    mask: np.ndarray
    name: str


@dataclass
class NamedObjects:
    """Images whose objects have K names; every iteration makes or reads the images anew."""

    names: tuple[str, ...]
    images: Sequence[NamedImage]

    def __len__(self) -> int:
        return len(self.images)

    def __iter__(self) -> Iterator[NamedImage]:
        return (self.images[index] for index in range(len(self.images)))


class _ClassScenes(Sequence):
    """Scenes about classes, in their order; only the object that gives the name is named."""

    def __init__(self, classes: Sequence[str], draw: Callable[[int, int], Scene], per_class: int) -> None:
        self.classes, self.draw, self.per_class = classes, draw, per_class

    def __len__(self) -> int:
        return len(self.classes) * self.per_class

    def __getitem__(self, index: int) -> NamedImage:
        label, number = divmod(index, self.per_class)
        scene = self.draw(label, number)
        mask = np.full(scene.image.shape[:2], UNNAMED, np.uint8)
        for item in scene.objects:
            if item.spec is scene.spec.main:
                mask[item.mask] = label
        return NamedImage(scene.image, mask, f'{self.classes[label]} {number}')


class _SegmentationScenes(Sequence):
    """Scenes of the segmentation task, with all of their objects."""

    def __init__(self, split: str, count: int) -> None:
        self.split, self.count = split, count

    def __len__(self) -> int:
        return self.count

    def __getitem__(self, index: int) -> NamedImage:
        image, mask = segmentation_scene(self.split, index)
        return NamedImage(image, _without(mask, 0), f'{self.split} {index}')


class _Folder(Sequence):
    """Images of a :class:`~vlprompt.datasets.dense.folder_seg.FolderSegDataset`."""

    def __init__(self, data_root: str, split: str, count: int | None) -> None:
        from vlprompt.datasets.dense.folder_seg import FolderSegDataset, LoadMask  # imports mmseg

        self.dataset = FolderSegDataset(data_root, split)
        self.names = tuple(self.dataset.metainfo['classes'])
        self.background = self.names.index(BACKGROUND) if BACKGROUND in self.names else None
        self.load_mask = LoadMask()
        self.chosen = range(len(self.dataset))
        if count is not None and count < len(self.dataset):
            self.chosen = np.linspace(0, len(self.dataset) - 1, count).round().astype(int).tolist()

    def __len__(self) -> int:
        return len(self.chosen)

    def __getitem__(self, index: int) -> NamedImage:
        info = self.dataset.get_data_info(self.chosen[index])
        image = load_oriented(info['img_path'])
        mask = self.load_mask.transform(dict(info, ori_shape=image.shape[:2]))['gt_seg_map']
        return NamedImage(image, _without(mask, self.background), Path(info['img_path']).stem)


def load_oriented(path: str | Path) -> np.ndarray:
    """(H, W, 3) uint8 RGB of an image file, rotated according to EXIF orientation."""
    return np.array(load_image(path))


def _without(mask: np.ndarray, background: int | None) -> np.ndarray:
    """The mask after the background, if there is one, lost its id; ids above it move down by one."""
    if background is None:
        return mask
    moved = np.where((mask > background) & (mask != UNNAMED), mask - 1, mask)
    return np.where(mask == background, UNNAMED, moved).astype(np.uint8)


def scene_objects(per_class: int = 20) -> NamedObjects:
    """Scenes about each class of the built-in dense tasks, in the styles that the built-in models know well."""

    def draw(label: int, number: int) -> Scene:
        return class_scene(OBJECT_CLASSES[label], 0, label, number, size=160)

    return NamedObjects(OBJECT_CLASSES, _ClassScenes(OBJECT_CLASSES, draw, per_class))


def few_shot_objects(split: str = 'test', per_class: int = 20) -> NamedObjects:
    """Scenes of the built-in few-shot task, whose names also speak of what is around the object."""
    return NamedObjects(SCENE_CLASSES, _ClassScenes(SCENE_CLASSES, partial(few_shot_scene, split), per_class))


def segmentation_objects(split: str = 'val', count: int = 240) -> NamedObjects:
    """Scenes of the built-in segmentation task with all of their objects."""
    return NamedObjects(OBJECT_CLASSES, _SegmentationScenes(split, count))


def folder_objects(data_root: str, split: str = 'val', count: int | None = None) -> NamedObjects:
    """Images of a folder as :class:`~vlprompt.datasets.dense.folder_seg.FolderSegDataset` reads it.

    A class called ``background`` is no object.

    Args:
        data_root: the folder.
        split: sub-folder of its images and masks.
        count: that many images, spread evenly; None: all.

    Raises:
        FileNotFoundError: folder, names, images or masks are missing.
        ValueError: a mask whose ids are not classes, or of another size than its image.
    """
    images = _Folder(data_root, split, count)
    return NamedObjects(tuple(name for name in images.names if name != BACKGROUND), images)
