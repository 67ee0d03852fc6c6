"""Long-tailed training splits cut out of balanced ones."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from vlprompt.datasets.classification.items import Item
from vlprompt.datasets.classification.readers.base import SplitReader


class ImbalancedReader(SplitReader):
    r"""Keeps exponentially fewer training images of later classes; other splits are unchanged.

    Class c of C keeps :math:`n_c = \lfloor n_{max}\, \rho^{-c/(C-1)} \rfloor` images, :math:`n_{max}` being the number
    of the largest class (500 in CIFAR-100): CIFAR100-LT of Cui et al. (CVPR 2019) and Cao et al. (NeurIPS 2019).
    They are drawn by NumPy's legacy generator, class after class, exactly as in the published code if the images have
    the same order, which for CIFAR-100 is that of the archive.

    Args:
        reader: of the balanced data.
        ratio: :math:`\rho \ge 1`, images of the first class over images of the last one.
        seed: of the draw.
    """

    def __init__(self, reader: SplitReader, ratio: float, seed: int = 0) -> None:
        if ratio < 1:
            raise ValueError(f'imbalance must be at least 1 (images of the first class per image of the last): {ratio}')
        super().__init__(reader.source, reader.image_root, reader.hint)
        self.reader = reader
        self.ratio = ratio
        self.seed = seed

    @property
    def splits(self) -> tuple[str, ...]:
        return self.reader.splits

    def load_classes(self) -> list[str]:
        return self.reader.classes

    def place_of(self, split: str) -> Path | None:
        return self.reader.place_of(split)

    def notes(self) -> list[str]:
        return self.reader.notes()

    def load(self, split: str) -> list[Item]:
        items = self.reader.load(split)
        if split != 'train':
            return items
        if not items:
            return items  # an error of the check that follows
        largest = max(Counter(item.label for item in items).values())
        counts = exponential_counts(largest, len(self.classes), self.ratio)
        labels = np.array([item.label for item in items])
        try:
            kept = keep_images(labels, counts, self.seed)
        except ValueError as error:
            raise ValueError(f'{self.source}: {error}') from None
        return [items[i] for i in kept]


def exponential_counts(largest: int, num_classes: int, ratio: float) -> list[int]:
    """Images of every class, ``int(largest * ratio ** (-c / (num_classes - 1)))``, from head to tail.

    Raises:
        ValueError: a single class, or a tail that would be left without images.
    """
    if num_classes < 2:
        raise ValueError('an imbalance needs at least two classes')
    counts = [int(largest * (1 / ratio) ** (label / (num_classes - 1))) for label in range(num_classes)]
    if counts[-1] < 1:
        raise ValueError(f'imbalance {ratio} leaves no image of the last class: the first one has only {largest}')
    return counts


def keep_images(labels: np.ndarray, counts: Sequence[int], seed: int) -> np.ndarray:
    """Positions of the images to keep, class by class, (sum of counts,) int64.

    Args:
        labels: (N,) labels 0..C-1.
        counts: images to keep of each of the C classes.
        seed: of ``numpy.random.RandomState``.

    Raises:
        ValueError: a class has too few images.
    """
    rng = np.random.RandomState(seed)
    kept = []
    for label, count in enumerate(counts):
        positions = np.flatnonzero(labels == label)
        if len(positions) < count:
            raise ValueError(f'class {label} has {len(positions)} images, but {count} of them are to be kept')
        rng.shuffle(positions)
        kept.append(positions[:count])
    return np.concatenate(kept)
