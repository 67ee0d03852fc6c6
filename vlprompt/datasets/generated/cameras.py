"""Cameras of the re-identification task, which differ in place, viewpoint and colours."""

from dataclasses import dataclass
from functools import lru_cache

import cv2
import numpy as np

from vlprompt.datasets.generated.backgrounds import BACKDROPS
from vlprompt.datasets.generated.figures import SIDES
from vlprompt.datasets.generated.noise import grain

WALLS = ('brick', 'tiles', 'stone', 'wood', 'sky', 'gradient')
GROUNDS = ('stone', 'sand', 'grass', 'tiles', 'wood', 'snow')


@dataclass(frozen=True)
class Camera:
    """Properties that all images of a camera share.

    Attributes:
        gain: (3,) factors of R, G, B.
        gamma: exponent of all channels.
        saturation: 0 is grey, 1 unchanged.
        blur: standard deviation in pixels of an image 128 pixels high.
        noise: standard deviation of the sensor's noise, in [0, 1] units.
        side: the one of ``figures.SIDES`` that it mostly sees of people.
        elevation: how far from above it looks, in [0, 1].
        horizon: where the ground begins, as a share of the image's height from the top.
        light: where light comes from, -1 (left) to 1 (right).
        clutter: probability that something stands between camera and person.
        scenery: (H, W, 3) float32, the place it looks at; images show parts of it.
    """

    gain: np.ndarray
    gamma: float
    saturation: float
    blur: float
    noise: float
    side: str
    elevation: float
    horizon: float
    light: float
    clutter: float
    scenery: np.ndarray

    def view(self, rng: np.random.RandomState, height: int, width: int) -> np.ndarray:
        """A random part (height, width, 3) of the scenery."""
        left = rng.randint(self.scenery.shape[1] - width + 1)
        return self.scenery[:height, left : left + width].copy()

    def expose(self, image: np.ndarray, rng: np.random.RandomState) -> np.ndarray:
        """From the light of a scene (H, W, 3) to uint8 pixels, with exposure and white balance that vary a little."""
        height = image.shape[0]
        grey = image.mean(axis=2, keepdims=True)
        image = grey + self.saturation * (image - grey)
        balance = self.gain * np.exp(rng.normal(0, 0.03, 3)) * np.exp(rng.normal(0, 0.07))
        image = np.clip(image * balance, 0, 1) ** self.gamma
        image = cv2.GaussianBlur(image.astype(np.float32), (0, 0), max(0.2, self.blur * height / 128))
        image += self.noise * grain(rng, height, 3)[:, : image.shape[1]]
        return (np.clip(image, 0, 1) * 255 + 0.5).astype(np.uint8)


@lru_cache(maxsize=16)
def camera(seed: int, number: int, height: int) -> Camera:
    """Camera ``number`` (from 0) of the world ``seed``, for images of that height; a pure function of its arguments.

    Colour casts of successive cameras are a golden angle of hue apart, so no two are alike.
    """
    rng = np.random.RandomState((seed, 17, number))
    hue = 2 * np.pi * (0.382 * number + 0.06)
    cast = np.cos(hue - np.float64([0, 2, 4]) * np.pi / 3)
    brightness = (1.0, 0.88, 1.06, 0.94)[number % 4] * rng.uniform(0.97, 1.03)
    horizon = float(rng.uniform(0.35, 0.72))
    return Camera(
        gain=(brightness * np.exp(0.08 * cast)).astype(np.float32),
        gamma=float(rng.uniform(0.9, 1.15)),
        saturation=float(rng.uniform(0.85, 1.05)),
        blur=float(rng.uniform(0.2, 0.6)),
        noise=float(rng.uniform(0.005, 0.015)),
        side=SIDES[(number + seed) % 4],
        elevation=float(rng.uniform(0, 0.6)),
        horizon=horizon,
        light=float(rng.uniform(-1, 1)),
        clutter=float(rng.uniform(0.04, 0.16)),
        scenery=_scenery(rng, height, horizon),
    )


def _scenery(rng: np.random.RandomState, height: int, horizon: float) -> np.ndarray:
    """Wall above ground, twice as wide as high, with a few fixed objects."""
    names = WALLS[rng.randint(len(WALLS))], GROUNDS[rng.randint(len(GROUNDS))]
    wall, ground = (BACKDROPS[name](rng, 2 * height) for name in names)
    scenery = 0.36 + 0.2 * np.clip(
        np.where(np.arange(2 * height)[:, None, None] < horizon * height, wall, ground), 0, 1
    )
    scenery = scenery[:height].astype(np.float32)
    for _ in range(3):  # doors, posters, boxes
        left, width = rng.randint(2 * height), int(rng.uniform(0.06, 0.25) * height)
        top = int(rng.uniform(0.02, 0.5) * height)
        bottom = int(min(height, top + rng.uniform(0.15, 0.5) * height))
        scenery[top:bottom, left : left + width] = rng.uniform(0.36, 0.56, 3)
    return scenery
