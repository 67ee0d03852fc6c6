"""From a spec to pixels, masks and boxes."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import cv2
import numpy as np

from vlprompt.datasets.generated.backgrounds import BACKDROPS
from vlprompt.datasets.generated.captions import article, captions, noun
from vlprompt.datasets.generated.fills import pattern
from vlprompt.datasets.generated.names import class_of
from vlprompt.datasets.generated.shapes import rasterise
from vlprompt.datasets.generated.spec import ObjectSpec, SceneSpec, sample_spec
from vlprompt.datasets.generated.styles import PAINTERS, WOBBLE, Layer, Layers
from vlprompt.datasets.generated.vocabulary import RGB


@dataclass(frozen=True)
class SceneObject:
    """One visible object.

    Attributes:
        label: name of the shape.
        spec: its attributes (colour, fill, ...).
        mask: (H, W) bool, visible pixels only: masks of one scene never overlap.
        box: (x1, y1, x2, y2) of the mask in pixels, x2 and y2 exclusive.
        part: (H, W) bool, the pixels of the mask that show the shape's part in ``vocabulary.PARTS``.
    """

    label: str
    spec: ObjectSpec
    mask: np.ndarray
    box: tuple[int, int, int, int]
    part: np.ndarray

    @property
    def name(self) -> str:
        """Fill and shape, e.g. 'striped star'; solid objects are just their shape."""
        return noun(self.spec, colour=False)


@dataclass(frozen=True)
class Scene:
    """A drawn scene.

    Attributes:
        image: (H, W, 3) uint8 RGB.
        captions: English descriptions, the fullest first.
        objects: from back to front; an object hidden completely is left out.
        spec: what was drawn.
    """

    image: np.ndarray
    captions: list[str]
    objects: list[SceneObject]
    spec: SceneSpec

    @property
    def style(self) -> str:
        return self.spec.style

    @property
    def background(self) -> str:
        return self.spec.background

    def semantic_mask(self, classes: Sequence[str]) -> np.ndarray:
        """(H, W) uint8: 0 = background, 1 + position of the class whose name is true of the object.

        Raises:
            ValueError: no name in ``classes`` is true of an object.
        """
        mask = np.zeros(self.image.shape[:2], np.uint8)
        for item in self.objects:
            label = class_of(item.spec, self.background, classes)
            if label is None:
                raise ValueError(f'the scene holds {article(item.name)}, which is none of the classes {[*classes]}')
            mask[item.mask] = 1 + label
        return mask


def generate(seed: int, index: int, **options) -> Scene:
    """Scene ``index`` of the world ``seed``; a pure function of its arguments. ``options`` go to ``sample_spec``."""
    return render(sample_spec(np.random.RandomState([seed, index]), **options))


def render(spec: SceneSpec) -> Scene:
    """Draw ``spec``: the same spec always gives the same scene."""
    rng = np.random.RandomState(spec.seed)
    size = spec.size
    background = BACKDROPS[spec.background](rng, size).astype(np.float32)
    coverages = [_coverage(item, spec, rng) for item in spec.objects]
    layers = [layer for pair in zip(spec.objects, coverages, strict=True) for layer in _layers(*pair, size)]
    layers = Layers(size, background, layers)
    image = _expose(PAINTERS[spec.style](layers, rng), spec.condition)

    objects, covered = [], np.zeros((size, size), bool)
    for item, (coverage, part) in zip(reversed(spec.objects), reversed(coverages), strict=True):
        mask = (coverage > 127) & ~covered
        covered |= mask
        if mask.any():
            x, y, width, height = cv2.boundingRect(mask.astype(np.uint8))
            objects.append(SceneObject(item.shape, item, mask, (x, y, x + width, y + height), mask & (part > 127)))
    lines = [caption.text for caption in captions(spec, np.random.RandomState([spec.seed, 1]))]
    return Scene(image, lines, objects[::-1], spec)


def _coverage(item: ObjectSpec, spec: SceneSpec, rng: np.random.RandomState) -> tuple[np.ndarray, np.ndarray]:
    return rasterise(item.shape, spec.size, item.centre, item.radius, item.angle, WOBBLE.get(spec.style, 0.0), rng)


def _layers(item: ObjectSpec, coverages: tuple[np.ndarray, np.ndarray], size: int) -> list[Layer]:
    """Cut the object's window out of the image and compute its pattern; a part of another colour is a second layer."""
    reach = item.radius * 1.45 + 0.09
    (left, right), (top, bottom) = (
        (max(0, int((middle - reach) * size)), min(size, int((middle + reach) * size) + 1)) for middle in item.centre
    )
    turn = np.deg2rad(item.angle)
    cos, sin = np.float32(np.cos(turn)), np.float32(np.sin(turn))
    x = (np.arange(left, right, dtype=np.float32) + 0.5 - item.centre[0] * size)[None]
    y = (np.arange(top, bottom, dtype=np.float32) + 0.5 - item.centre[1] * size)[:, None]
    u, v = x * cos + y * sin, y * cos - x * sin
    extent = item.radius * size
    period = float(np.clip(0.42 * extent, 0.058 * size, 0.12 * size))
    whole, part = (coverage[top:bottom, left:right].astype(np.float32) / 255 for coverage in coverages)
    layer = Layer(
        rows=slice(top, bottom),
        columns=slice(left, right),
        alpha=whole,
        tone=pattern(item.fill, u, v, period).astype(np.float32),
        u=u / extent,
        v=v / extent,
        first=_rgb(item.colour),
        second=_rgb(item.second),
    )
    if item.part_colour is None:
        return [layer]
    colour = _rgb(item.part_colour)
    return [layer, replace(layer, alpha=part, tone=np.zeros_like(layer.tone), first=colour, second=colour)]


def _rgb(colour: str) -> np.ndarray:
    return np.float32(RGB[colour]) / 255


def _expose(image: np.ndarray, condition: str) -> np.ndarray:
    """Apply the condition of the photograph and quantise to uint8."""
    if condition == 'blurry':
        image = cv2.GaussianBlur(image, (0, 0), image.shape[0] / 60)
    elif condition == 'bright':
        image = 0.3 + 0.85 * image
    elif condition == 'dark':
        image = 0.45 * image
    elif condition == 'grey':
        image = np.repeat((image @ np.float32([0.299, 0.587, 0.114]))[..., None], 3, axis=2)
    return (np.clip(image, 0, 1) * 255 + 0.5).astype(np.uint8)
