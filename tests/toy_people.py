"""A few people of one colour each in Market-1501's layout."""

from pathlib import Path

import numpy as np
from PIL import Image


def write_people(root: Path, images: int) -> Path:
    """Three training identities with ``images`` pictures each, and two of query and gallery, seen by two cameras."""
    rng = np.random.default_rng(0)
    for folder, pids in (('bounding_box_train', (2, 3, 5)), ('query', (11, 12)), ('bounding_box_test', (11, 12))):
        (root / folder).mkdir(parents=True)
        for pid in pids:
            for i in range(1 if folder == 'query' else images):
                pixels = (20 * pid + rng.integers(0, 50, (40, 20, 3))).astype(np.uint8)
                camera = 1 if folder == 'query' else 1 + i % 2
                Image.fromarray(pixels).save(root / folder / f'{pid:04d}_c{camera}s1_{i:06d}_00.png')
    return root
