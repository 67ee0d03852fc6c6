"""Textured backgrounds, (H, W, 3) float32 RGB in [0, 1]. Muted on purpose: objects carry the strong colours."""

from collections.abc import Callable

import cv2
import numpy as np

from vlprompt.datasets.generated.noise import clouds, grain, streaks

Background = Callable[[np.random.RandomState, int], np.ndarray]
BACKDROPS: dict[str, Background] = {}


def backdrop(name: str) -> Callable[[Background], Background]:
    def register(function: Background) -> Background:
        BACKDROPS[name] = function
        return function

    return register


def _tone(rng: np.random.RandomState, *rgb: float, spread: float = 0.04) -> np.ndarray:
    return (np.asarray(rgb, dtype=np.float32) + rng.uniform(-spread, spread, 3).astype(np.float32)).astype(np.float32)


def _pastel(rng: np.random.RandomState) -> np.ndarray:
    return (rng.uniform(0.45, 0.92) + rng.uniform(-0.1, 0.1, 3)).clip(0, 1).astype(np.float32)


@backdrop('plain')
def plain(rng: np.random.RandomState, size: int) -> np.ndarray:
    return np.broadcast_to(_pastel(rng), (size, size, 3)).copy()


@backdrop('gradient')
def gradient(rng: np.random.RandomState, size: int) -> np.ndarray:
    first, last = _pastel(rng), _pastel(rng) * 0.6
    turn = rng.uniform(0, 2 * np.pi)
    line = np.linspace(-0.5, 0.5, size, dtype=np.float32)
    ramp = (np.float32(np.cos(turn)) * line[None] + np.float32(np.sin(turn)) * line[:, None] + 0.7) / 1.4
    return first + (last - first) * ramp[..., None]


@backdrop('brick')
def brick(rng: np.random.RandomState, size: int) -> np.ndarray:
    height = size * rng.uniform(0.09, 0.14)
    width, mortar = 2.2 * height, max(1.0, 0.013 * size)
    rows = np.arange(size, dtype=np.float32)[:, None] / height
    course = np.floor(rows).astype(int)
    columns = np.arange(size, dtype=np.float32)[None] / width + 0.5 * (course % 2)
    shade = rng.uniform(-0.07, 0.07, (32, 32)).astype(np.float32)[course % 32, np.floor(columns).astype(int) % 32]
    gap = ((rows - np.floor(rows)) * height < mortar) | ((columns - np.floor(columns)) * width < mortar)
    wall = _tone(rng, 0.62, 0.36, 0.29) + shade[..., None]
    return np.where(gap[..., None], _tone(rng, 0.74, 0.70, 0.66), wall) + 0.02 * grain(rng, size)


@backdrop('grass')
def grass(rng: np.random.RandomState, size: int) -> np.ndarray:
    blades = cv2.blur(grain(rng, size), (1, max(3, size // 18)))[..., None]
    return _tone(rng, 0.36, 0.55, 0.24) * (1 + 0.45 * blades + 0.12 * clouds(rng, size))


@backdrop('water')
def water(rng: np.random.RandomState, size: int) -> np.ndarray:
    ripples = streaks(rng, size, 22, 5) + 0.6 * streaks(rng, size, 40, 9)
    return _tone(rng, 0.30, 0.52, 0.66) * (1 + 0.16 * ripples) + 0.05 * clouds(rng, size)


@backdrop('wood')
def wood(rng: np.random.RandomState, size: int) -> np.ndarray:
    board = np.floor(np.arange(size, dtype=np.float32) / (size * rng.uniform(0.2, 0.3)))
    seam = np.diff(board, prepend=board[0]) > 0
    tint = rng.uniform(-0.05, 0.05, 8).astype(np.float32)[board.astype(int)][:, None, None]
    rings = 0.10 * streaks(rng, size, 48, 3)
    return (_tone(rng, 0.68, 0.50, 0.33) + tint + rings) * np.where(seam, 0.55, 1).astype(np.float32)[:, None, None]


@backdrop('sand')
def sand(rng: np.random.RandomState, size: int) -> np.ndarray:
    dunes = clouds(rng, size, 3) + 0.5 * streaks(rng, size, 8, 4)
    return _tone(rng, 0.83, 0.73, 0.53) * (1 + 0.08 * dunes) + 0.055 * grain(rng, size)


@backdrop('stone')
def stone(rng: np.random.RandomState, size: int) -> np.ndarray:
    lumps = clouds(rng, size, 6) + 0.8 * clouds(rng, size, 14)
    return _tone(rng, 0.52, 0.52, 0.54) * (1 + 0.22 * lumps) + 0.035 * grain(rng, size)


@backdrop('snow')
def snow(rng: np.random.RandomState, size: int) -> np.ndarray:
    return _tone(rng, 0.89, 0.92, 0.96, spread=0.02) * (1 + 0.06 * clouds(rng, size, 4)) + 0.02 * grain(rng, size)


@backdrop('night')
def night(rng: np.random.RandomState, size: int) -> np.ndarray:
    stars = cv2.GaussianBlur((grain(rng, size)[..., 0] > 2.75).astype(np.float32), (3, 3), 0.6)[..., None]
    ramp = np.linspace(0.8, 1.5, size, dtype=np.float32)[:, None, None]
    return _tone(rng, 0.07, 0.08, 0.18, spread=0.02) * ramp * (1 + 0.25 * clouds(rng, size)) + 1.6 * stars


@backdrop('sky')
def sky(rng: np.random.RandomState, size: int) -> np.ndarray:
    cover = np.clip(1.2 * (clouds(rng, size, 4) + 0.5 * clouds(rng, size, 9)) - 0.1, 0, 0.85)
    ramp = np.linspace(0, 0.14, size, dtype=np.float32)[:, None, None]
    blue = _tone(rng, 0.45, 0.66, 0.90) + ramp
    return blue + (0.96 - blue) * cover


@backdrop('tiles')
def tiles(rng: np.random.RandomState, size: int) -> np.ndarray:
    side, grout = size * rng.uniform(0.16, 0.24), max(1.0, 0.014 * size)
    line = np.arange(size, dtype=np.float32) + rng.randint(size)
    gap = line % side < grout
    index = (line // side).astype(int) % 16
    shade = rng.uniform(-0.05, 0.05, (16, 16)).astype(np.float32)[np.ix_(index, index)]
    tile = _pastel(rng) + shade[..., None]
    return np.where((gap[:, None] | gap[None])[..., None], np.float32(0.4), tile)
