"""Drawing people: a figure of capsules and polygons, seen from one of four sides, in the middle of a stride.

Lengths are in body heights, with the origin between the feet, x to the right and y upwards.
"""

from collections.abc import Callable
from dataclasses import dataclass

import cv2
import numpy as np

from vlprompt.datasets.generated.fills import pattern
from vlprompt.datasets.generated.people import Person
from vlprompt.datasets.generated.shapes import OUTLINES

SIDES = ('front', 'right', 'back', 'left')

Colour = np.ndarray | Callable[[np.ndarray, np.ndarray], np.ndarray]
"""RGB in [0, 1], or a function of the coordinates x, y (h, w) that gives (h, w, 3)."""


@dataclass(frozen=True)
class Pose:
    """Pose of a figure in one image.

    Attributes:
        side: which of ``SIDES`` the camera sees.
        stride: phase of the step in [-1, 1].
        lean: sideways shift of the head in body heights.
        elevation: how far from above the camera looks, in [0, 1]: 1 makes the head a third larger, the legs shorter.
    """

    side: str
    stride: float
    lean: float
    elevation: float


@dataclass(frozen=True)
class Canvas:
    """An image that figures are drawn on.

    Attributes:
        image: (H, W, 3) float32 RGB in [0, 1], changed by drawing.
        foot: (x, y) in pixels of the point between the feet.
        scale: pixels per body height.
        light: where light comes from, -1 (left) to 1 (right).
    """

    image: np.ndarray
    foot: tuple[float, float]
    scale: float
    light: float

    def paint(self, contour: np.ndarray, colour: Colour) -> None:
        """Fill a contour (n, 2) with a colour, darker on the side away from the light."""
        pixels = np.float64(self.foot) + contour * (self.scale, -self.scale)
        low = np.maximum(np.floor(pixels.min(0)).astype(int) - 1, 0)
        high = np.minimum(np.ceil(pixels.max(0)).astype(int) + 2, self.image.shape[1::-1])
        if (high <= low).any():
            return
        mask = np.zeros((high - low)[::-1], np.uint8)
        cv2.fillPoly(mask, [np.round((pixels - low - 0.5) * 16).astype(np.int32)], 255, cv2.LINE_AA, shift=4)
        x = (np.arange(low[0], high[0], dtype=np.float32)[None] + 0.5 - self.foot[0]) / self.scale
        y = (self.foot[1] - np.arange(low[1], high[1], dtype=np.float32)[:, None] - 0.5) / self.scale
        x, y = np.broadcast_arrays(x, y)
        left, right = contour[:, 0].min(), contour[:, 0].max()
        turn = (2 * x - left - right) / max(right - left, 1e-6)
        shade = (1 - 0.22 * np.square(turn) + 0.16 * self.light * turn)[..., None]
        albedo = colour(x, y) if callable(colour) else colour
        window = self.image[low[1] : high[1], low[0] : high[0]]
        window += (albedo * shade - window) * (mask[..., None].astype(np.float32) / 255)


def capsule(start: tuple[float, float], end: tuple[float, float], r0: float, r1: float) -> np.ndarray:
    """Outline (n, 2) of a limb from ``start`` (radius ``r0``) to ``end`` (radius ``r1``)."""
    a, b = np.float64(start), np.float64(end)
    turn = np.arctan2(*(b - a)[::-1])
    arc = np.linspace(-np.pi / 2, np.pi / 2, 9)
    ring = [(b, r1, turn + arc), (a, r0, turn + np.pi + arc)]
    return np.concatenate([c + r * np.stack([np.cos(t), np.sin(t)], 1) for c, r, t in ring])


def ellipse(x: float, y: float, rx: float, ry: float, part: tuple[float, float] = (0, 360)) -> np.ndarray:
    """Outline (n, 2) of an ellipse, or of the part of it between two angles in degrees, counter-clockwise."""
    t = np.deg2rad(np.linspace(*part, 32))
    return np.stack([x + rx * np.cos(t), y + ry * np.sin(t)], 1)


def draw_person(canvas: Canvas, person: Person, pose: Pose) -> None:
    """Draw a figure from back to front."""
    body = _Body(person, pose)
    facing = {'left': -1, 'right': 1}.get(pose.side, 0)
    if pose.side == 'front' and person.bag == 'backpack':
        canvas.paint(ellipse(body.neck[0], body.shoulder - 0.1, 0.95 * body.half, 0.11), person.bag_colour)
    if facing:
        body.arm(canvas, -1)
    for leg in (-1, 1):
        body.leg(canvas, leg)
    body.torso(canvas)
    if not facing:
        body.arm(canvas, -1)
    if person.bag == 'backpack' and pose.side != 'front':
        back = body.neck[0] - facing * (body.half + 0.03)
        width = 0.055 if facing else 0.085 * person.girth
        canvas.paint(ellipse(back, body.shoulder - 0.13, width, 0.13), person.bag_colour)
    body.arm(canvas, 1)
    body.head(canvas, facing)
    _carry(canvas, body, person, pose)


class _Body:
    """Joints of one figure."""

    def __init__(self, person: Person, pose: Pose) -> None:
        self.person, self.pose = person, pose
        self.sideways = pose.side in ('left', 'right')
        direction = -1 if pose.side == 'left' else 1
        self.hip = 0.48 * (1 - 0.18 * pose.elevation)
        self.shoulder = self.hip + 0.33
        self.half = (0.062 if self.sideways else 0.105) * person.girth  # half the width of the shoulders
        self.neck = (pose.lean, self.shoulder + 0.02)
        self.head_radius = 0.066 * (1 + 0.33 * pose.elevation)
        self.swing = direction * pose.stride * (0.14 if self.sideways else 0.03)

    def leg(self, canvas: Canvas, which: int) -> None:
        """Leg -1 (left in the image, or far) or 1."""
        person, spread = self.person, 0.045 * self.person.girth
        top = (0.3 * which * spread if self.sideways else which * spread, self.hip)
        foot = (top[0] + which * self.swing, 0.025 + 0.02 * max(0.0, which * self.pose.stride))
        knee = ((top[0] + foot[0]) / 2 + 0.01 * which, self.hip * 0.52)
        bare = person.legwear != 'trousers'
        width = 0.047 * person.girth
        canvas.paint(
            capsule(knee, (foot[0], foot[1] + 0.03), 0.75 * width, 0.026), person.skin if bare else person.lower
        )
        canvas.paint(capsule(top, knee, width, 0.8 * width), person.skin if person.legwear == 'skirt' else person.lower)
        toe = {'left': -0.05, 'right': 0.05}.get(self.pose.side, 0.012 * which)
        canvas.paint(capsule(foot, (foot[0] + toe, foot[1] - 0.004), 0.026, 0.02), person.shoes)

    def torso(self, canvas: Canvas) -> None:
        person, half, hip = self.person, self.half, self.hip
        waist = (0.05 if self.sideways else 0.08) * person.girth
        if person.legwear == 'skirt':
            flare = waist + 0.035
            hem = hip - 0.2
            canvas.paint(
                np.float64([(-waist, hip + 0.03), (waist, hip + 0.03), (flare, hem), (-flare, hem)]), person.lower
            )
        x = self.neck[0]
        outline = np.float64([
            (-waist, hip - 0.02), (waist, hip - 0.02), (waist, hip + 0.1), (x + half, self.shoulder - 0.03),
            (x + 0.8 * half, self.shoulder + 0.005), (x + 0.03, self.shoulder + 0.03), (x - 0.03, self.shoulder + 0.03),
            (x - 0.8 * half, self.shoulder + 0.005), (x - half, self.shoulder - 0.03), (-waist, hip + 0.1),
        ])  # fmt: skip
        canvas.paint(outline, self.cloth)
        if self.pose.side != 'front':
            return
        if person.open_jacket:
            slit = [(-0.03, hip - 0.02), (0.03, hip - 0.02), (x + 0.035, self.shoulder), (x - 0.035, self.shoulder)]
            canvas.paint(np.float64(slit), person.upper[1])
        elif person.emblem != 'none':
            for layer in OUTLINES[person.emblem]:
                canvas.paint(layer[0] * (0.042, -0.042) + (x, self.shoulder - 0.12), person.upper[1])

    def cloth(self, x: np.ndarray, y: np.ndarray) -> np.ndarray:
        """Pattern of the upper garment."""
        first, second = self.person.upper
        if self.person.fill == 'solid' or self.person.open_jacket:
            return np.broadcast_to(first, (*x.shape, 3))
        if self.person.fill == 'banded':
            x, y = y, x
        name = {'banded': 'striped'}.get(self.person.fill, self.person.fill)
        share = pattern(name, 1000 * x, 1000 * y, 60.0)[..., None].astype(np.float32)
        return first + share * (second - first)

    def arm(self, canvas: Canvas, which: int) -> None:
        """Arm -1 (left in the image, or far) or 1."""
        person = self.person
        x = self.neck[0] + (0.15 * which if self.sideways else which) * self.half
        swing = -which * (self.swing if self.sideways else 0.4 * self.swing)
        top = (x, self.shoulder - 0.03)
        elbow = (x + 0.4 * swing + (0 if self.sideways else 0.02 * which), self.shoulder - 0.18)
        hand = (elbow[0] + 0.8 * swing + (0.01 if self.pose.side == 'right' else 0), self.hip + 0.0)
        lower = person.skin if person.sleeves == 'short' else self.cloth
        canvas.paint(capsule(elbow, hand, 0.026, 0.02), lower)
        canvas.paint(capsule(top, elbow, 0.036 * person.girth, 0.03), self.cloth)
        canvas.paint(ellipse(*hand, 0.021, 0.024), person.skin)

    def head(self, canvas: Canvas, facing: int) -> None:
        person, radius = self.person, self.head_radius
        x, y = self.neck[0] + 0.012 * facing, self.shoulder + 0.025 + radius * 1.05
        if person.haircut == 'long':
            behind = x - 0.35 * facing * radius
            canvas.paint(capsule((behind, y), (behind, y - 1.9 * radius), 1.05 * radius, 0.8 * radius), person.hair)
        canvas.paint(capsule((x, y), (self.neck[0], self.shoulder), 0.4 * radius, 0.5 * radius), person.skin)
        canvas.paint(ellipse(x, y, 0.82 * radius, 1.08 * radius), person.skin)
        if person.haircut != 'none':
            span = {0: (10, 170), 1: (30, 215), -1: (-35, 150)}[facing]
            if self.pose.side == 'back':
                span = (0, 360)
            canvas.paint(ellipse(x, y + 0.12 * radius, 0.95 * radius, 1.08 * radius, span), person.hair)
            if person.haircut == 'bun':
                canvas.paint(
                    ellipse(x - 0.8 * facing * radius, y + 1.1 * radius, 0.45 * radius, 0.42 * radius), person.hair
                )
        if person.hat != 'none':
            canvas.paint(ellipse(x, y + 0.3 * radius, 1.02 * radius, radius, (0, 180)), person.hat_colour)
            if person.hat == 'cap' and self.pose.side != 'back':
                brim = ellipse(
                    x + 0.9 * facing * radius, y + 0.32 * radius, (1.1 - 0.2 * abs(facing)) * radius, 0.2 * radius
                )
                canvas.paint(brim, 0.8 * person.hat_colour)


def _carry(canvas: Canvas, body: _Body, person: Person, pose: Pose) -> None:
    """Straps of a backpack, and bags that hang at the side: on the right of the person, so mirrored from behind."""
    side = -1 if pose.side in ('front', 'left') else 1
    x, shoulder = body.neck[0], body.shoulder
    if person.bag == 'backpack' and pose.side == 'front':
        for which in (-1, 1):
            strap = capsule(
                (x + which * 0.6 * body.half, shoulder), (x + which * 0.6 * body.half, shoulder - 0.2), 0.013, 0.011
            )
            canvas.paint(strap, person.bag_colour)
    elif person.bag == 'shoulder bag':
        hang = x + side * (0.02 if body.sideways else body.half + 0.01)
        canvas.paint(
            capsule((x - side * 0.5 * body.half, shoulder), (hang, body.hip + 0.06), 0.009, 0.009), person.bag_colour
        )
        canvas.paint(ellipse(hang, body.hip + 0.01, 0.065, 0.06), person.bag_colour)
    elif person.bag == 'handbag':
        hang = x + side * (0.02 if body.sideways else body.half + 0.035)
        outline = [(hang - 0.05, body.hip - 0.03), (hang + 0.05, body.hip - 0.03), (hang + 0.06, body.hip - 0.13)]
        canvas.paint(np.float64([*outline, (hang - 0.06, body.hip - 0.13)]), person.bag_colour)
