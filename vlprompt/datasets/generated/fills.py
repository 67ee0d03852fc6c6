"""Two-tone patterns that fill an object."""

import numpy as np


def _zone(x: np.ndarray) -> np.ndarray:
    """Distance from the nearest half-integer, in [0, 0.5]: a triangle wave of period 1."""
    return np.abs(x - np.floor(x) - 0.5)


def _edge(distance: np.ndarray, period: float) -> np.ndarray:
    """Anti-aliased step: ``distance`` is in periods, the ramp is about one pixel wide."""
    return np.clip(distance * period + 0.5, 0, 1)


def pattern(fill: str, u: np.ndarray, v: np.ndarray, period: float) -> np.ndarray:
    """Share of the second tone.

    Args:
        fill: key of ``vocabulary.FILLS``.
        u: (h, w) horizontal coordinate in pixels, in the object's own frame.
        v: (h, w) vertical coordinate.
        period: width of one repetition in pixels.

    Returns:
        (h, w) float32 in [0, 1].
    """
    u, v = u / period, v / period
    if fill == 'solid':
        return np.zeros_like(u)
    if fill == 'striped':
        return _edge(_zone(u) - 0.25, period)
    if fill == 'dotted':
        return _edge(0.33 - np.hypot(_zone(u), _zone(v)), period)
    if fill == 'checkered':
        a, b = _edge(_zone(u / 1.4) - 0.25, 1.4 * period), _edge(_zone(v / 1.4) - 0.25, 1.4 * period)
        return a + b - 2 * a * b
    if fill == 'zigzag':
        return _edge(_zone(v + 1.3 * _zone(u * 0.75)) - 0.25, period)
    if fill == 'grid':
        return np.maximum(_edge(_zone(u) - 0.37, period), _edge(_zone(v) - 0.37, period))
    raise ValueError(f'unknown fill {fill!r}')
