"""The re-identification task: people who walk past several cameras."""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import cv2
import numpy as np

from vlprompt.datasets.generated.cameras import Camera, camera
from vlprompt.datasets.generated.figures import SIDES, Canvas, Pose, draw_person
from vlprompt.datasets.generated.people import Person, sample_person

FOLDERS = ('bounding_box_train', 'query', 'bounding_box_test')
OVERSAMPLING = 2


class ReIDImage(NamedTuple):
    """One image of the task: its folder, identity, camera (from 0), and number among those of the two.

    Identity 0 are passers-by, another one in every image, who are in the gallery only.
    """

    folder: str
    pid: int
    camid: int
    index: int

    @property
    def path(self) -> str:
        """In Market-1501's layout."""
        return f'{self.folder}/{self.pid:04d}_c{self.camid + 1}s1_{self.index:06d}_00.png'


def reid_images(
    train_ids: int = 60, test_ids: int = 40, cameras: int = 4, per_camera: int = 4, distractors: int = 60
) -> Iterator[ReIDImage]:
    """All images of the task: identities 1..train_ids for training, the next ``test_ids`` for testing.

    Every camera takes ``per_camera`` images of every identity; for testing, the first of them is a query and the others
    are in the gallery.  ``distractors`` are images of passers-by.
    """
    for pid in range(1, train_ids + test_ids + 1):
        for camid in range(cameras):
            for index in range(per_camera):
                folder = FOLDERS[0 if pid <= train_ids else 2 if index else 1]
                yield ReIDImage(folder, pid, camid, index)
    for index in range(distractors):
        yield ReIDImage(FOLDERS[2], 0, index % cameras, index)


def draw_reid(image: ReIDImage, seed: int = 0, height: int = 128) -> np.ndarray:
    """Pixels (height, height / 2, 3) uint8 RGB of an image; a pure function of its arguments.

    They do not depend on how many images a set has, so a larger set contains the smaller one.
    """
    identity = (seed, 1, image.pid, 0) if image.pid else (seed, 2, image.camid, image.index)
    person = sample_person(np.random.RandomState(identity))
    rng = np.random.RandomState((seed, 3, image.pid, image.camid, image.index))
    place = camera(seed, image.camid, OVERSAMPLING * height)
    scene = place.view(rng, OVERSAMPLING * height, OVERSAMPLING * height // 2)
    crowded, hidden = rng.rand() < 0.08, rng.rand() < place.clutter
    if crowded:
        _draw(scene, sample_person(rng), place, rng, shift=rng.choice((-1, 1)) * rng.uniform(0.28, 0.4))
    _draw(scene, person, place, rng)
    if hidden:
        _occlude(scene, place, rng)
    scene = cv2.resize(scene, (height // 2, height), interpolation=cv2.INTER_AREA)
    return place.expose(scene, rng)


def draw_walkers(
    people: Sequence[Person], place: Camera, rng: np.random.RandomState, size: int
) -> tuple[np.ndarray, list[np.ndarray]]:
    """People side by side: pixels (size, size, 3) uint8 RGB, and (size, size) bool masks of what is seen of each.

    ``place`` is a camera for images of ``OVERSAMPLING * size`` pixels.
    """
    side = OVERSAMPLING * size
    scene = place.view(rng, side, side)
    masks: list[np.ndarray] = []
    for number, person in enumerate(people):
        before, shift = scene.copy(), (number + 0.5) / len(people) - 0.5
        _draw(scene, person, place, rng, shift=shift + rng.uniform(-0.08, 0.08))
        drawn = (scene != before).any(axis=2)
        masks = [mask & ~drawn for mask in masks] + [drawn]
    small = (size, size)
    masks = [cv2.resize(mask.astype(np.uint8), small, interpolation=cv2.INTER_NEAREST) > 0 for mask in masks]
    return place.expose(cv2.resize(scene, small, interpolation=cv2.INTER_AREA), rng), masks


def _draw(scene: np.ndarray, person: Person, place: Camera, rng: np.random.RandomState, shift: float = 0.0) -> None:
    """Draw a person as a detector crops people: near the middle, filling most of the height."""
    height, width = scene.shape[:2]
    side = place.side if rng.rand() < 0.6 else SIDES[rng.randint(4)]
    pose = Pose(side, rng.uniform(-1, 1), rng.normal(0, 0.008), np.clip(place.elevation + rng.normal(0, 0.1), 0, 1))
    scale = height * person.height * rng.uniform(0.84, 0.98)
    foot = (width * (0.5 + shift + rng.uniform(-0.07, 0.07)), height * rng.uniform(0.93, 1.0))
    light = float(np.clip(place.light + rng.normal(0, 0.3), -1, 1))
    draw_person(Canvas(scene, foot, scale, light), person, pose)


def _occlude(scene: np.ndarray, place: Camera, rng: np.random.RandomState) -> None:
    """Draw something in front: a post, a car or bench at the bottom, or a passer-by."""
    height, width = scene.shape[:2]
    kind = rng.randint(3)
    if kind == 0:
        left, thick = int(width * rng.uniform(0.15, 0.75)), int(width * rng.uniform(0.08, 0.18))
        scene[:, left : left + thick] = rng.uniform(0.15, 0.5, 3)
    elif kind == 1:
        top = int(height * rng.uniform(0.6, 0.8))
        scene[top:] = 0.6 * rng.uniform(0.1, 0.9, 3) + 0.4 * scene[top:].mean(axis=(0, 1))
    else:
        _draw(scene, sample_person(rng), place, rng, shift=rng.choice((-1, 1)) * rng.uniform(0.24, 0.36))
