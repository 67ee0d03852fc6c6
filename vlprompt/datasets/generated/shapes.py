"""Outlines of the shapes, as polygons in the unit square, and their rasterisation."""

from functools import cache

import cv2
import numpy as np

Contour = np.ndarray  # (n, 2) float64, x right and y down, in [-1, 1]


def _curve(function, points: int = 48) -> Contour:
    t = np.linspace(0, 2 * np.pi, points, endpoint=False)
    return np.stack(function(t), axis=1)


def _ellipse(cx: float, cy: float, rx: float, ry: float) -> Contour:
    return _curve(lambda t: (cx + rx * np.cos(t), cy + ry * np.sin(t)))


def _regular(corners: int, inner: float = 1.0, turn: float = -90.0) -> Contour:
    """Regular polygon; with ``inner < 1`` a star whose inner corners lie on that radius."""
    count = corners if inner == 1.0 else 2 * corners
    t = np.deg2rad(turn) + np.arange(count) * 2 * np.pi / count
    r = np.where(np.arange(count) % 2, inner, 1.0)
    return np.stack([r * np.cos(t), r * np.sin(t)], axis=1)


def _heart() -> Contour:
    t = np.linspace(0, 2 * np.pi, 64, endpoint=False)
    x = 16 * np.sin(t) ** 3
    y = 13 * np.cos(t) - 5 * np.cos(2 * t) - 2 * np.cos(3 * t) - np.cos(4 * t)
    return np.stack([x / 17, -(y + 2.5) / 15.5], axis=1)


def _crescent() -> Contour:
    outer = np.linspace(np.deg2rad(50), np.deg2rad(310), 40)
    tip = np.array([np.cos(outer[-1]), np.sin(outer[-1])])
    centre, radius = 0.38, np.hypot(tip[0] - 0.38, tip[1])
    end = np.arctan2(tip[1], tip[0] - centre) % (2 * np.pi)
    inner = np.linspace(end, 2 * np.pi - end, 40)[1:-1]
    arc = np.stack([np.cos(outer), np.sin(outer)], axis=1)
    bite = np.stack([centre + radius * np.cos(inner), radius * np.sin(inner)], axis=1)
    return np.concatenate([arc, bite]) + [0.12, 0]


def _polygon(*points: tuple[float, float]) -> Contour:
    return np.asarray(points, dtype=np.float64)


# Shape -> layers; layers are painted over each other, the contours of one layer cancel where they overlap (holes).
OUTLINES: dict[str, tuple[tuple[Contour, ...], ...]] = {
    'circle': ((_ellipse(0, 0, 0.95, 0.95),),),
    'square': ((_polygon((-0.82, -0.82), (0.82, -0.82), (0.82, 0.82), (-0.82, 0.82)),),),
    'triangle': ((_polygon((0, -0.92), (0.98, 0.8), (-0.98, 0.8)),),),
    'star': ((_regular(5, inner=0.42),),),
    'ring': ((_ellipse(0, 0, 0.97, 0.97), _ellipse(0, 0, 0.45, 0.45)),),
    'cross': (
        (_polygon((-0.34, -0.95), (0.34, -0.95), (0.34, 0.95), (-0.34, 0.95)),),
        (_polygon((-0.95, -0.34), (0.95, -0.34), (0.95, 0.34), (-0.95, 0.34)),),
    ),
    'heart': ((_heart(),),),
    'crescent': ((_crescent(),),),
    'diamond': ((_polygon((0, -1), (0.68, 0), (0, 1), (-0.68, 0)),),),
    'hexagon': ((_regular(6),),),
    'arrow': ((_polygon((-1, -0.3), (0.1, -0.3), (0.1, -0.8), (1, 0), (0.1, 0.8), (0.1, 0.3), (-1, 0.3)),),),
    'flower': tuple(
        (_ellipse(0.58 * np.cos(a), 0.58 * np.sin(a), 0.38, 0.38),) for a in np.arange(6) * np.pi / 3 + 0.5
    )
    + ((_ellipse(0, 0, 0.45, 0.45),),),
    'tree': (
        (_polygon((-0.14, 0.5), (0.14, 0.5), (0.14, 1), (-0.14, 1)),),
        (_polygon((0, -1), (0.5, -0.35), (-0.5, -0.35)),),
        (_polygon((0, -0.65), (0.66, 0.15), (-0.66, 0.15)),),
        (_polygon((0, -0.2), (0.82, 0.65), (-0.82, 0.65)),),
    ),
    'house': (
        (_polygon((-0.7, -0.1), (0.7, -0.1), (0.7, 0.95), (-0.7, 0.95)),
         _polygon((-0.18, 0.35), (0.2, 0.35), (0.2, 0.95), (-0.18, 0.95))),
        (_polygon((0, -0.95), (1, -0.05), (-1, -0.05)),),
        (_polygon((0.4, -0.9), (0.65, -0.9), (0.65, -0.2), (0.4, -0.2)),),
    ),
    'fish': (
        (_ellipse(-0.2, 0, 0.78, 0.48), _ellipse(-0.62, -0.12, 0.09, 0.09)),
        (_polygon((0.35, 0), (1, -0.6), (0.85, 0), (1, 0.6)),),
        (_polygon((-0.4, -0.4), (0.1, -0.78), (0.2, -0.35)),),
    ),
    'butterfly': (
        (_polygon((-0.08, 0.1), (-0.5, -0.95), (-1, -0.75), (-0.9, -0.1)),),
        (_polygon((0.08, 0.1), (0.5, -0.95), (1, -0.75), (0.9, -0.1)),),
        (_polygon((-0.08, 0), (-0.75, 0.25), (-0.7, 0.8), (-0.35, 0.9)),),
        (_polygon((0.08, 0), (0.75, 0.25), (0.7, 0.8), (0.35, 0.9)),),
        (_ellipse(0, 0, 0.14, 0.75),),
    ),
    'mushroom': (
        (np.concatenate([_ellipse(0, 0.05, 1, 0.95)[24:], [(1, 0.05)]]),),
        (_polygon((-0.26, 0), (0.26, 0), (0.38, 0.95), (-0.38, 0.95)),),
    ),
    'cloud': (
        (_ellipse(-0.5, 0.15, 0.48, 0.4),),
        (_ellipse(-0.05, -0.15, 0.5, 0.52),),
        (_ellipse(0.5, 0.12, 0.48, 0.42),),
        (_polygon((-0.6, 0.1), (0.6, 0.1), (0.6, 0.54), (-0.6, 0.54)),),
    ),
    'boat': (
        (_polygon((-1, 0.4), (1, 0.4), (0.65, 0.9), (-0.65, 0.9)),),
        (_polygon((-0.06, -0.95), (0.06, -0.95), (0.06, 0.5), (-0.06, 0.5)),),
        (_polygon((0.12, -0.9), (0.85, 0.25), (0.12, 0.25)),),
        (_polygon((-0.12, -0.6), (-0.12, 0.25), (-0.7, 0.25)),),
    ),
    'cup': (
        (_ellipse(0.52, -0.02, 0.46, 0.46), _ellipse(0.52, -0.02, 0.25, 0.25)),
        (_polygon((-0.85, -0.75), (0.55, -0.75), (0.42, 0.85), (-0.72, 0.85)),),
    ),
}  # fmt: skip

# Shape -> layers of its part in ``vocabulary.PARTS``.
PART_LAYERS = {
    'tree': (0,),
    'house': (1, 2),
    'fish': (1,),
    'butterfly': (4,),
    'mushroom': (1,),
    'boat': (2, 3),
    'cup': (0,),
    'flower': (6,),
}


@cache
def _dense(shape: str) -> tuple[tuple[Contour, ...], ...]:
    """Outlines with at least 24 points a contour, so that a hand may shake along straight edges too."""

    def refine(contour: Contour) -> Contour:
        steps = max(1, int(np.ceil(24 / len(contour))))
        t = np.arange(steps)[None, :, None] / steps
        return (contour[:, None] * (1 - t) + np.roll(contour, -1, axis=0)[:, None] * t).reshape(-1, 2)

    return tuple(tuple(refine(contour) for contour in layer) for layer in OUTLINES[shape])


def rasterise(
    shape: str,
    size: int,
    centre: tuple[float, float],
    radius: float,
    angle: float,
    wobble: float = 0.0,
    rng: np.random.RandomState | None = None,
) -> tuple[np.ndarray, np.ndarray]:
    """Coverage of a shape and of its part.

    Args:
        shape: key of ``OUTLINES``.
        size: side of the image in pixels.
        centre: (x, y) as a fraction of the side, as in ``ObjectSpec``.
        radius: half the extent as a fraction of the side.
        angle: clockwise rotation in degrees.
        wobble: amplitude of a smooth random displacement of the outline, in radii; needs ``rng``.
        rng: where the displacement is drawn from.

    Returns:
        Two (H, W) uint8, 0 outside, 255 inside, between them on the anti-aliased edge: all of the shape, and what is
        seen of its part in :data:`PART_LAYERS`, which is empty for a shape without one.
    """
    turn = np.deg2rad(angle)
    rotation = np.array([[np.cos(turn), np.sin(turn)], [-np.sin(turn), np.cos(turn)]])
    phases = rng.uniform(0, 2 * np.pi, (2, 3)) if wobble else None
    coverage, part = np.zeros((2, size, size), np.uint8)
    layers_of_part = PART_LAYERS.get(shape, ())
    for number, layer in enumerate(_dense(shape) if wobble else OUTLINES[shape]):
        contours = []
        for contour in layer:
            if wobble:
                contour = contour + wobble * _shake(contour, phases)
            pixels = (contour @ rotation * radius + centre) * size - 0.5
            contours.append(np.round(pixels * 16).astype(np.int32))
        cv2.fillPoly(coverage, contours, 255, lineType=cv2.LINE_AA, shift=4)
        if layers_of_part:
            cv2.fillPoly(part, contours, 255 * (number in layers_of_part), lineType=cv2.LINE_AA, shift=4)
    return coverage, part


def _shake(contour: Contour, phases: np.ndarray) -> np.ndarray:
    x, y = contour[:, 0], contour[:, 1]
    waves = (3.1 * x + 2.3 * y, 5.7 * y - 3.9 * x, 9.1 * x + 7.7 * y)
    return np.stack([sum(np.sin(w + p) for w, p in zip(waves, row, strict=True)) / 2 for row in phases], axis=1)
