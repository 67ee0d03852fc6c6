"""Random fields. Drawing 50,000 normal numbers costs more than a whole scene, so they are cut out of fixed tables."""

from functools import lru_cache

import cv2
import numpy as np

TABLE = 512


@lru_cache(maxsize=1)
def _table() -> np.ndarray:
    """(TABLE, TABLE, 3) float32, standard normal."""
    return np.random.RandomState(0).standard_normal((TABLE, TABLE, 3)).astype(np.float32)


def grain(rng: np.random.RandomState, size: int, channels: int = 1) -> np.ndarray:
    """White noise, (H, W, channels) float32, standard normal; up to ``TABLE`` pixels a side, repeated beyond."""
    offset = rng.randint(TABLE, size=2)
    if size <= TABLE // 2:
        y, x = offset % (TABLE - size)
        return _table()[y : y + size, x : x + size, :channels]
    rows, columns = ((start + np.arange(size)) % TABLE for start in offset)
    return _table()[np.ix_(rows, columns)][..., :channels]


def clouds(rng: np.random.RandomState, size: int, cells: int = 4) -> np.ndarray:
    """Smooth noise, (H, W, 1) float32 around 0 within about [-1, 1]; ``cells`` bumps a side."""
    coarse = rng.uniform(-1, 1, (cells + 2, cells + 2)).astype(np.float32)
    return cv2.resize(coarse, (size, size), interpolation=cv2.INTER_CUBIC)[..., None]


def streaks(rng: np.random.RandomState, size: int, across: int, along: int = 3) -> np.ndarray:
    """Horizontally stretched smooth noise, (H, W, 1) float32 within about [-1, 1]; ``across`` bands from the top."""
    coarse = rng.uniform(-1, 1, (across, along)).astype(np.float32)
    return cv2.resize(coarse, (size, size), interpolation=cv2.INTER_CUBIC)[..., None]
