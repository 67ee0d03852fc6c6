"""Rendering styles: from layers of coverage and pattern to an image."""

from collections.abc import Callable
from dataclasses import dataclass

import cv2
import numpy as np

from vlprompt.datasets.generated.noise import clouds, grain, streaks

Style = Callable[['Layers', np.random.RandomState], np.ndarray]
PAINTERS: dict[str, Style] = {}

# Amplitude of the shaking outline, in radii; 0 for styles drawn by machine.
WOBBLE = {'watercolour': 0.035, 'sketch': 0.03, 'chalk': 0.035}


@dataclass
class Layer:
    """One object to be painted by a style. All arrays cover the object's window ``rows`` x ``columns`` of the image.

    Attributes:
        rows, columns: the window, with a margin around the object.
        alpha: (h, w) float32 coverage in [0, 1].
        tone: (h, w) float32 share of the second colour in [0, 1].
        u, v: (h, w) float32 position in the object's frame, about [-1, 1] inside.
        first, second: (3,) float32 RGB in [0, 1].
    """

    rows: slice
    columns: slice
    alpha: np.ndarray
    tone: np.ndarray
    u: np.ndarray
    v: np.ndarray
    first: np.ndarray
    second: np.ndarray

    @property
    def albedo(self) -> np.ndarray:
        """(h, w, 3) unlit colour."""
        return self.first + (self.second - self.first) * self.tone[..., None]

    @property
    def height(self) -> np.ndarray:
        """(h, w) float32 distance to the outline in pixels, 0 outside."""
        return cv2.distanceTransform((self.alpha > 0.5).astype(np.uint8), cv2.DIST_L2, 3)

    def outline(self, width: float) -> np.ndarray:
        """(h, w) float32 in [0, 1]: a line of about ``width`` pixels along the inner side of the outline."""
        return self.alpha * np.clip(width + 0.5 - self.height, 0, 1)


@dataclass
class Layers:
    """A scene before painting: background (H, W, 3) float32 in [0, 1] and objects from back to front."""

    size: int
    background: np.ndarray
    objects: list[Layer]

    @property
    def pen(self) -> float:
        """Width of a line that corresponds to 1.6 pixels in an image of 128 pixels."""
        return max(1.0, 1.6 * self.size / 128)


def style(name: str) -> Callable[[Style], Style]:
    def register(function: Style) -> Style:
        PAINTERS[name] = function
        return function

    return register


def _over(image: np.ndarray, layer: Layer, colour: np.ndarray, alpha: np.ndarray | None = None) -> None:
    """Lay ``colour`` (h, w, 3) over the layer's window, in place."""
    window = image[layer.rows, layer.columns]
    window += (colour - window) * (layer.alpha if alpha is None else alpha)[..., None]


def _shadow(image: np.ndarray, layer: Layer, shift: tuple[int, int], blur: float, strength: float) -> None:
    """Darken what lies under the object, in place. ``shift`` is (x, y) in pixels."""
    moved = cv2.warpAffine(layer.alpha, np.float32([[1, 0, shift[0]], [0, 1, shift[1]]]), layer.alpha.shape[::-1])
    soft = cv2.GaussianBlur(moved, (0, 0), blur)
    image[layer.rows, layer.columns] *= 1 - strength * soft[..., None]


@style('photo')
def photo(layers: Layers, rng: np.random.RandomState) -> np.ndarray:
    """Soft light from one side, a shadow, a little camera noise."""
    scale = layers.size / 128
    turn = rng.uniform(0, 2 * np.pi)
    light = np.float32([np.cos(turn), np.sin(turn)])
    image = layers.background * (1 + 0.10 * clouds(rng, layers.size, 2))
    for layer in layers.objects:
        shift = tuple(round(float(-4 * scale * part)) for part in light)
        _shadow(image, layer, shift, 2.2 * scale, 0.45)
        shade = 0.98 + 0.20 * (layer.u * light[0] + layer.v * light[1])
        rim = np.clip(layer.height / (3 * scale), 0, 1) * 0.18 + 0.84
        _over(image, layer, layer.albedo * (shade * rim)[..., None])
    image *= rng.uniform(0.85, 1.12)
    return cv2.GaussianBlur(image, (3, 3), 0.6) + 0.025 * grain(rng, layers.size, 3)


@style('cartoon')
def cartoon(layers: Layers, rng: np.random.RandomState) -> np.ndarray:
    """Flat colours and a dark outline."""
    flat = cv2.resize(layers.background, (layers.size // 4, layers.size // 4), interpolation=cv2.INTER_AREA)
    image = np.round(cv2.resize(flat, (layers.size, layers.size), interpolation=cv2.INTER_NEAREST) * 8) / 8
    ink = np.float32([0.08, 0.08, 0.1])
    for layer in layers.objects:
        colour = np.clip(layer.albedo * 1.08, 0, 1)
        line = layer.outline(1.3 * layers.pen)
        _over(image, layer, colour + (ink - colour) * line[..., None])
    return image


@style('watercolour')
def watercolour(layers: Layers, rng: np.random.RandomState) -> np.ndarray:
    """Pale pigment that gathers at the edges, on paper."""
    paper = 0.95 + 0.035 * grain(rng, layers.size)
    wash = cv2.blur(layers.background, (7, 7))
    image = paper * (0.55 + 0.45 * wash) * (1 + 0.10 * clouds(rng, layers.size, 5))
    for layer in layers.objects:
        flow = clouds(rng, layers.size, 9)[layer.rows, layer.columns, 0]
        density = np.clip(0.74 + 0.22 * flow + 0.35 * np.exp(-layer.height / (0.9 * layers.pen)), 0, 1)
        _over(image, layer, 0.96 + (layer.albedo - 0.96) * density[..., None])
    return image * (0.985 + 0.02 * grain(rng, layers.size))


@style('render')
def render3d(layers: Layers, rng: np.random.RandomState) -> np.ndarray:
    """Bevelled, glossy plastic."""
    scale = layers.size / 128
    light = np.float32([-0.55, -0.65, 0.53])
    image = layers.background * 0.92
    for layer in layers.objects:
        _shadow(image, layer, (round(3 * scale), round(4 * scale)), 2.5 * scale, 0.55)
        reach = 7 * scale
        dome = np.sqrt(np.clip(1 - (1 - np.minimum(layer.height / reach, 1)) ** 2, 0, 1)) * reach
        dome = cv2.GaussianBlur(dome, (0, 0), 1.2 * scale)
        slope_x, slope_y = (
            cv2.Sobel(dome, cv2.CV_32F, 1, 0, scale=0.125),
            cv2.Sobel(dome, cv2.CV_32F, 0, 1, scale=0.125),
        )
        norm = np.sqrt(slope_x**2 + slope_y**2 + 1)
        facing = np.clip((light[2] - light[0] * slope_x - light[1] * slope_y) / norm, 0, 1)
        gloss = 0.7 * facing**12
        _over(image, layer, layer.albedo * (0.35 + 0.95 * facing)[..., None] + gloss[..., None])
    return image


@style('origami')
def origami(layers: Layers, rng: np.random.RandomState) -> np.ndarray:
    """Folded paper: flat facets that meet in creases."""
    scale = layers.size / 128
    image = layers.background * 0.95
    for layer in layers.objects:
        _shadow(image, layer, (round(2 * scale), round(2 * scale)), 1.2 * scale, 0.4)
        shade = np.full_like(layer.u, 1.0)
        for _ in range(3):
            turn, offset = rng.uniform(0, np.pi), rng.uniform(-0.3, 0.3)
            side = layer.u * np.float32(np.cos(turn)) + layer.v * np.float32(np.sin(turn)) - np.float32(offset)
            shade += np.where(side > 0, 0.11, -0.11) + 0.16 * np.exp(-np.abs(side) * 40)
        _over(image, layer, (0.12 + 0.88 * layer.albedo) * shade[..., None])
    return image + 0.012 * grain(rng, layers.size)


@style('sketch')
def sketch(layers: Layers, rng: np.random.RandomState) -> np.ndarray:
    """Pencil on paper: lines and hatching, no colour."""
    size = layers.size
    image = np.repeat(0.93 + 0.02 * grain(rng, size) + 0.02 * clouds(rng, size), 3, axis=2)
    y, x = np.mgrid[:size, :size].astype(np.float32)
    turn = rng.uniform(0.5, 1.1)
    hatch = 0.5 + 0.5 * np.sin((x * np.cos(turn) + y * np.sin(turn)) * (2.3 * 128 / size)).astype(np.float32)
    pressure = np.clip(0.8 + 0.25 * grain(rng, size)[..., 0], 0, 1)
    for layer in layers.objects:
        window = np.s_[layer.rows, layer.columns]
        base = 0.10 + 0.25 * (1 - float(layer.first.mean()))
        shading = layer.alpha * (base * hatch[window] + 0.55 * layer.tone * (0.5 + 0.5 * hatch[window]))
        ink = np.clip(np.maximum(shading, 0.9 * layer.outline(layers.pen)) * pressure[window], 0, 1)
        _over(image, layer, np.float32(0.95))
        _over(image, layer, np.float32([0.2, 0.2, 0.22]), ink)
    return image


@style('neon')
def neon(layers: Layers, rng: np.random.RandomState) -> np.ndarray:
    """Glowing tubes on a dark wall: outline in the first colour, pattern in the second."""
    image = np.float32([0.04, 0.04, 0.07]) * (1 + 0.3 * layers.background.mean(axis=2, keepdims=True))
    light = np.zeros_like(image)
    for layer in layers.objects:
        light[layer.rows, layer.columns] *= 1 - layer.alpha[..., None]
        first = np.maximum(layer.first, 0.25) * 1.15
        second = np.maximum(layer.second, 0.25)
        tube = layer.outline(1.4 * layers.pen)[..., None]
        inside = (layer.alpha * layer.tone)[..., None] * (1 - tube)
        light[layer.rows, layer.columns] += tube * first + 0.75 * inside * second
    glow = cv2.GaussianBlur(light, (0, 0), 3.0 * layers.size / 128)
    return image + 0.85 * light + 0.9 * glow


@style('mosaic')
def mosaic(layers: Layers, rng: np.random.RandomState) -> np.ndarray:
    """Square stones of slightly different brightness with dark joints. Outlines move by up to half a stone."""
    size = layers.size
    image = layers.background.copy()
    for layer in layers.objects:
        _over(image, layer, layer.albedo)
    side = max(2, round(size / 32))
    stones = size // side
    coarse = cv2.resize(image, (stones, stones), interpolation=cv2.INTER_AREA)
    coarse *= 1 + 0.09 * grain(rng, stones)
    coarse = np.round(coarse * 6) / 6
    image = cv2.resize(coarse, (size, size), interpolation=cv2.INTER_NEAREST)
    joint = np.arange(size) * stones // size
    joint = np.diff(joint, prepend=-1) > 0
    return image * np.where(joint[:, None] | joint[None], 0.62, 1).astype(np.float32)[..., None]


@style('chalk')
def chalk(layers: Layers, rng: np.random.RandomState) -> np.ndarray:
    """White chalk on a green or black board."""
    size = layers.size
    board = np.float32([0.13, 0.24, 0.19] if rng.rand() < 0.5 else [0.13, 0.13, 0.15])
    smear = 0.05 * clouds(rng, size, 3) + 0.03 * streaks(rng, size, 12)
    image = np.clip(board + np.clip(smear, 0, 1) + 0.012 * grain(rng, size), 0, 1)
    dust = np.clip(0.62 + 0.42 * grain(rng, size)[..., 0], 0, 1)
    for layer in layers.objects:
        line = np.maximum(layer.outline(1.3 * layers.pen), layer.alpha * (0.10 + 0.62 * layer.tone))
        _over(image, layer, board)
        _over(image, layer, np.float32([0.93, 0.93, 0.9]), line * dust[layer.rows, layer.columns])
    return image
