"""Labelled sets made from the built-in world."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from vlprompt.datasets.generated.classes import LONG_TAILED_CLASSES, OBJECT_CLASSES, SCENE_CLASSES
from vlprompt.datasets.generated.names import ClassName, parse_name
from vlprompt.datasets.generated.render import Scene, render
from vlprompt.datasets.generated.spec import DEFAULT_SECOND_TONES, SECOND_TONES, ObjectSpec, SceneSpec, sample_spec
from vlprompt.datasets.generated.vocabulary import BACKGROUNDS, CAMOUFLAGE, COLOURS, PARTS, SHAPES

SPLITS = ('train', 'val', 'test')

TRAIN_STYLES = ('photo', 'render', 'cartoon')
"""Styles of training images in all tasks."""
TEST_STYLES = ('watercolour', 'origami', 'mosaic')
"""Styles of test images in all tasks: what was learned has to hold in another style."""
STYLES_OF = dict(train=TRAIN_STYLES, val=TRAIN_STYLES, test=TEST_STYLES)

# Scenes of the few-shot task: the named object with or without smaller things beside it.
FEW_SHOT_OPTIONS = dict(counts=(0.4, 0.35, 0.25), radius=(0.14, 0.38), parts=0.5)

# Scenes of the long-tailed task: at most one smaller thing beside the named one.
LONG_TAILED_OPTIONS = dict(counts=(0.7, 0.3), radius=(0.16, 0.40))

# Scenes of the segmentation task: two to four objects that fill a good part of the picture.
SEGMENTATION_OPTIONS = dict(counts=(0, 0.35, 0.4, 0.25), radius=(0.12, 0.5))


def class_spec(name: str, rng: np.random.RandomState, **options) -> SceneSpec:
    """A scene about ``name``, such as 'striped star', 'red dotted', 'heart' or 'house with a white roof on grass'.

    The named object is the largest; attributes that its name leaves open are random, but it has a part of another
    colour only if its name says so. The others are smaller and of other shapes. Named colours are kept away from
    backgrounds that hide them and from grey photos. ``options`` go to ``sample_spec``; styles must be such that show
    what is named.

    Raises:
        ValueError: ``name`` is not made of known words.
    """
    named = parse_name(name)
    if named.place is not None:
        options['backgrounds'] = (named.place,)
    colours = {colour for colour in (named.colour, named.part_colour) if colour}
    if colours:
        backgrounds = options.get('backgrounds', tuple(BACKGROUNDS))
        options['backgrounds'] = tuple(b for b in backgrounds if not colours & set(CAMOUFLAGE.get(b, ())))
        if not options['backgrounds']:
            raise ValueError(f'{name!r}: a {named.place} background hides {" or ".join(sorted(colours))}')
    spec = sample_spec(rng, **options)
    if colours and spec.condition == 'grey':
        spec = replace(spec, condition='normal')
    main, objects = spec.main, []
    rest = [other for other in SHAPES if other != (named.shape or main.shape)]
    for item in spec.objects:
        if item is main:
            item = _named_object(item, named, spec.background, rng)
        else:
            shape, radius = rest[rng.randint(len(rest))], min(item.radius, 0.6 * main.radius)
            item = replace(item, shape=shape, radius=radius, part_colour=item.part_colour if shape in PARTS else None)
        objects.append(item)
    return replace(spec, objects=tuple(objects))


def _named_object(item: ObjectSpec, named: ClassName, background: str, rng: np.random.RandomState) -> ObjectSpec:
    """The object with all that a name says of it."""
    colour, fill = named.colour or item.colour, named.fill or item.fill
    item = replace(item, shape=named.shape or item.shape, colour=colour, part_colour=named.part_colour)
    if named.part_colour in (item.colour, item.second):
        hidden = (named.part_colour, *CAMOUFLAGE.get(background, ()))
        others = [other for other in COLOURS if other not in hidden]
        item = replace(item, colour=named.colour or others[rng.randint(len(others))])
    tones = [tone for tone in SECOND_TONES.get(item.colour, DEFAULT_SECOND_TONES) if tone != named.part_colour]
    if named.fill is not None or item.colour != colour or item.second == named.part_colour:
        item = replace(item, fill=fill, second=item.colour if fill == 'solid' else tones[rng.randint(len(tones))])
    return item


def class_scene(name: str, *seed: int, **options) -> Scene:
    """Draw a scene about ``name``; a pure function of its arguments. See :func:`class_spec`."""
    return render(class_spec(name, np.random.RandomState(seed), **options))


def few_shot_scene(split: str, label: int, index: int, seed: int = 0, size: int = 160) -> Scene:
    """Scene ``index`` of class ``label`` in a split of the few-shot task; a pure function of its arguments.

    It does not depend on how many scenes a set has, so a larger set contains the smaller one.
    """
    options = dict(size=size, styles=STYLES_OF[split], **FEW_SHOT_OPTIONS)
    return class_scene(SCENE_CLASSES[label], seed, SPLITS.index(split), label, index, **options)


def long_tailed_scene(split: str, label: int, index: int, seed: int = 0, size: int = 160) -> Scene:
    """Scene ``index`` of class ``label`` in a split of the long-tailed task; see :func:`few_shot_scene`."""
    options = dict(size=size, styles=STYLES_OF[split], **LONG_TAILED_OPTIONS)
    return class_scene(LONG_TAILED_CLASSES[label], seed, SPLITS.index(split), label, index, **options)


def object_spec(rng: np.random.RandomState, classes: Sequence[str], **options) -> SceneSpec:
    """A scene whose objects are of classes drawn uniformly; ``options`` go to ``sample_spec``."""
    spec = sample_spec(rng, **options)
    names = [parse_name(classes[rng.randint(len(classes))]) for _ in spec.objects]
    objects = (_named_object(item, name, spec.background, rng) for item, name in zip(spec.objects, names, strict=True))
    condition = 'normal' if spec.condition == 'grey' else spec.condition
    return replace(spec, objects=tuple(objects), condition=condition)


def segmentation_scene(split: str, index: int, seed: int = 0, size: int = 160) -> tuple[np.ndarray, np.ndarray]:
    """Image (H, W, 3) uint8 and mask (H, W) uint8 of scene ``index`` in a split of the segmentation task.

    The splits are train and val, which has other styles. A mask holds positions in ``SEGMENTATION_CLASSES``. A pure
    function of its arguments, as :func:`few_shot_scene`.
    """
    rng = np.random.RandomState((seed, SPLITS.index(split), index))
    styles = TRAIN_STYLES if split == 'train' else TEST_STYLES
    scene = render(object_spec(rng, OBJECT_CLASSES, size=size, styles=styles, **SEGMENTATION_OPTIONS))
    return scene.image, scene.semantic_mask(OBJECT_CLASSES)


def labelled_images(classes: Sequence[str], per_class: int, seed: int, **options) -> tuple[np.ndarray, np.ndarray]:
    """Images (N, H, W, 3) uint8 and labels (N,) int64, ``per_class`` of each class, class by class."""
    images = [
        class_scene(name, seed, label, index, **options).image
        for label, name in enumerate(classes)
        for index in range(per_class)
    ]
    return np.stack(images), np.repeat(np.arange(len(classes)), per_class)
