"""Labelled sets made from the built-in world."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from .classes import SCENE_CLASSES, SEGMENTATION_CLASSES
from .render import Scene, render
from .spec import DEFAULT_SECOND_TONES, SECOND_TONES, SceneSpec, sample_spec
from .vocabulary import FILLS, RARE_STYLES, SHAPES

SPLITS = ('train', 'val', 'test')

# Scenes of the few-shot task: styles that are rare in pretraining, and up to two smaller things beside the named one.
FEW_SHOT_OPTIONS = dict(styles=RARE_STYLES, counts=(0.4, 0.35, 0.25), radius=(0.14, 0.38))

# Scenes of the segmentation task: two to four objects that fill a good part of the picture.
SEGMENTATION_OPTIONS = dict(shapes=SEGMENTATION_CLASSES[1:], counts=(0, 0.35, 0.4, 0.25), radius=(0.12, 0.5))


def class_spec(name: str, rng: np.random.RandomState, **options) -> SceneSpec:
    """A scene about ``name`` (fill and shape, such as 'striped star', or a shape alone, whose fill is then free).

    The named object is the largest; the others are smaller and of other shapes. ``options`` go to ``sample_spec``.

    Raises:
        ValueError: ``name`` is not made of a known shape and, optionally, a known fill.
    """
    *fill, shape = name.split()
    if shape not in SHAPES or len(fill) > 1 or any(word not in FILLS for word in fill):
        raise ValueError(f'{name!r} is no class of the built-in world: give "<fill> <shape>" or "<shape>"')
    spec = sample_spec(rng, **options)
    main, objects = spec.main, []
    rest = [other for other in SHAPES if other != shape]
    for item in spec.objects:
        if item is main:
            item = replace(item, shape=shape)
            if fill:
                tones = SECOND_TONES.get(item.colour, DEFAULT_SECOND_TONES)
                second = item.colour if fill[0] == 'solid' else tones[rng.randint(len(tones))]
                item = replace(item, fill=fill[0], second=second)
        else:
            item = replace(item, shape=rest[rng.randint(len(rest))], radius=min(item.radius, 0.6 * main.radius))
        objects.append(item)
    return replace(spec, objects=tuple(objects))


def class_scene(name: str, *seed: int, **options) -> Scene:
    """Draw a scene about ``name``; a pure function of its arguments. See :func:`class_spec`."""
    return render(class_spec(name, np.random.RandomState(seed), **options))


def few_shot_scene(split: str, label: int, index: int, seed: int = 0, size: int = 128) -> Scene:
    """Scene ``index`` of class ``label`` in a split of the few-shot task; a pure function of its arguments.

    It does not depend on how many scenes a set has, so a larger set contains the smaller one.
    """
    return class_scene(SCENE_CLASSES[label], seed, SPLITS.index(split), label, index, size=size, **FEW_SHOT_OPTIONS)


def segmentation_scene(split: str, index: int, seed: int = 0, size: int = 128) -> tuple[np.ndarray, np.ndarray]:
    """Image (H, W, 3) uint8 and mask (H, W) uint8 of scene ``index`` in a split of the segmentation task.

    A mask holds positions in ``SEGMENTATION_CLASSES``. A pure function of its arguments, as :func:`few_shot_scene`.
    """
    rng = np.random.RandomState((seed, SPLITS.index(split), index))
    scene = render(sample_spec(rng, size=size, **SEGMENTATION_OPTIONS))
    return scene.image, scene.semantic_mask(list(SEGMENTATION_CLASSES[1:]))


def labelled_images(classes: Sequence[str], per_class: int, seed: int, **options) -> tuple[np.ndarray, np.ndarray]:
    """Images (N, H, W, 3) uint8 and labels (N,) int64, ``per_class`` of each class, class by class."""
    images = [
        class_scene(name, seed, label, index, **options).image
        for label, name in enumerate(classes)
        for index in range(per_class)
    ]
    return np.stack(images), np.repeat(np.arange(len(classes)), per_class)
