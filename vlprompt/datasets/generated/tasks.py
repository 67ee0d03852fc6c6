"""Labelled sets made from the built-in world."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from vlprompt.datasets.generated.classes import LONG_TAILED_CLASSES, SCENE_CLASSES, SEGMENTATION_CLASSES
from vlprompt.datasets.generated.render import Scene, render
from vlprompt.datasets.generated.spec import DEFAULT_SECOND_TONES, SECOND_TONES, SceneSpec, sample_spec
from vlprompt.datasets.generated.vocabulary import (
    BACKGROUNDS,
    CAMOUFLAGE,
    COLOURLESS_STYLES,
    COLOURS,
    FILLS,
    RARE_STYLES,
    SHAPES,
    STYLES,
)

SPLITS = ('train', 'val', 'test')

# Scenes of the few-shot task: styles that are rare in pretraining, and up to two smaller things beside the named one.
FEW_SHOT_OPTIONS = dict(styles=RARE_STYLES, counts=(0.4, 0.35, 0.25), radius=(0.14, 0.38))

# Scenes of the long-tailed task: all styles that show colours, and at most one smaller thing beside the named one.
LONG_TAILED_OPTIONS = dict(
    styles=tuple(style for style in STYLES if style not in COLOURLESS_STYLES), counts=(0.7, 0.3), radius=(0.16, 0.40)
)

# Scenes of the segmentation task: two to four objects that fill a good part of the picture.
SEGMENTATION_OPTIONS = dict(shapes=SEGMENTATION_CLASSES[1:], counts=(0, 0.35, 0.4, 0.25), radius=(0.12, 0.5))


def class_spec(name: str, rng: np.random.RandomState, **options) -> SceneSpec:
    """A scene about ``name``: colour, fill and shape or some of them, such as 'striped star', 'red dotted', 'heart'.

    The named object is the largest; attributes that its name leaves open are random. The others are smaller and of
    other shapes. A named colour is kept away from backgrounds that hide it and from grey photos. ``options`` go to
    ``sample_spec``.

    Raises:
        ValueError: ``name`` is not made of known words.
    """
    colour, fill, shape = _parse(name)
    if colour is not None:
        backgrounds = options.get('backgrounds', tuple(BACKGROUNDS))
        options['backgrounds'] = tuple(b for b in backgrounds if colour not in CAMOUFLAGE.get(b, ()))
    spec = sample_spec(rng, **options)
    if colour is not None and spec.condition == 'grey':
        spec = replace(spec, condition='normal')
    main, objects = spec.main, []
    rest = [other for other in SHAPES if other != (shape or main.shape)]
    for item in spec.objects:
        if item is main:
            item = replace(item, shape=shape or item.shape, colour=colour or item.colour)
            if fill is not None:
                tones = SECOND_TONES.get(item.colour, DEFAULT_SECOND_TONES)
                second = item.colour if fill == 'solid' else tones[rng.randint(len(tones))]
                item = replace(item, fill=fill, second=second)
        else:
            item = replace(item, shape=rest[rng.randint(len(rest))], radius=min(item.radius, 0.6 * main.radius))
        objects.append(item)
    return replace(spec, objects=tuple(objects))


def _parse(name: str) -> tuple[str | None, str | None, str | None]:
    """Colour, fill and shape of a class name; None for those it does not mention."""
    words = name.split()
    found = []
    for known in (COLOURS, FILLS, SHAPES):
        found.append(words.pop(0) if words and words[0] in known else None)
    if words or not any(found):
        raise ValueError(f'{name!r} is no class of the built-in world: give "[colour] [fill] [shape]" in known words')
    return tuple(found)


def class_scene(name: str, *seed: int, **options) -> Scene:
    """Draw a scene about ``name``; a pure function of its arguments. See :func:`class_spec`."""
    return render(class_spec(name, np.random.RandomState(seed), **options))


def few_shot_scene(split: str, label: int, index: int, seed: int = 0, size: int = 128) -> Scene:
    """Scene ``index`` of class ``label`` in a split of the few-shot task; a pure function of its arguments.

    It does not depend on how many scenes a set has, so a larger set contains the smaller one.
    """
    return class_scene(SCENE_CLASSES[label], seed, SPLITS.index(split), label, index, size=size, **FEW_SHOT_OPTIONS)


def long_tailed_scene(split: str, label: int, index: int, seed: int = 0, size: int = 128) -> Scene:
    """Scene ``index`` of class ``label`` in a split of the long-tailed task; see :func:`few_shot_scene`."""
    name = LONG_TAILED_CLASSES[label]
    return class_scene(name, seed, SPLITS.index(split), label, index, size=size, **LONG_TAILED_OPTIONS)


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
