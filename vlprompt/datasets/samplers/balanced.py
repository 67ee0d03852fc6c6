"""Class-balanced sampling of long-tailed data, alone and together with uniform sampling."""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np
from torch.utils.data import Sampler

from vlprompt.datasets.samplers.epoch import EpochSampler
from vlprompt.datasets.seeded import EpochSeeded
from vlprompt.registry import DATA_SAMPLERS


@DATA_SAMPLERS.register_module()
class ClassAwareSampler(EpochSampler):
    r"""Every class equally often, ``samples_per_class`` images in a row (Shen et al., ECCV 2016; LPT, ICLR 2023).

    The stream is endless and made of cycles::

        classes           a new order of the C classes in every cycle
        images of class c a new order of its n_c images in every pass; a class with fewer than
                          ``samples_per_class`` images continues with its next pass within a row

    Class cycle j takes images j k .. j k + k - 1 of each class's own stream (k = ``samples_per_class``), so that
    the image at a position depends on (seed, position) only: an epoch needs no state of the one before it, and a
    resumed run continues where it stopped.  Epoch e is positions e S .. (e + 1) S - 1 with S = ``num_samples``, rounded
    up so that all processes have equally many.

    Yields ``turn * len(dataset) + i``; ``turn`` is twice the number of earlier passes over the class of image i, so
    an image that is drawn again, even in the same epoch, gets another augmentation, which also differs from that in the
    uniform stream of :class:`DualStreamBatchSampler`, whose turns are odd.

    Args:
        dataset: an :class:`~vlprompt.datasets.seeded.EpochSeeded` dataset with ``labels``, such as
            :class:`~vlprompt.datasets.classification.long_tailed.LongTailedDataset`.
        samples_per_class: images of one class in a row.
        num_samples: of all processes per epoch; None: the size of the dataset.  (The published code has the largest
            class times the number of classes.)
        seed: of the order; the same in all processes.  None: drawn once and shared.

    Raises:
        TypeError: ``dataset`` has no labels, or does not decode the turn from the index.
        ValueError: ``samples_per_class`` or ``num_samples`` below 1, or a class without images.
    """

    def __init__(
        self,
        dataset: EpochSeeded,
        samples_per_class: int = 4,
        num_samples: int | None = None,
        seed: int | None = None,
    ) -> None:
        super().__init__(dataset, shuffle=True, seed=seed)
        if not hasattr(dataset, 'labels'):
            raise TypeError(f'ClassAwareSampler needs the labels of a LongTailedDataset, got {type(dataset).__name__}')
        if samples_per_class < 1 or (num_samples is not None and num_samples < 1):
            raise ValueError(f'samples_per_class={samples_per_class}, num_samples={num_samples}: must be at least 1')
        counts = np.bincount(dataset.labels, minlength=len(dataset.metainfo['classes']))
        empty = np.flatnonzero(counts == 0)
        if len(empty):
            raise ValueError(f'ClassAwareSampler: {len(empty)} classes have no image, the first is label {empty[0]}')
        self.members = np.split(np.argsort(dataset.labels, kind='stable'), counts.cumsum()[:-1])
        self.samples_per_class = samples_per_class
        self.num_samples = len(dataset) if num_samples is None else num_samples

    @property
    def global_size(self) -> int:
        return math.ceil(self.num_samples / self.world_size) * self.world_size

    def global_indices(self) -> np.ndarray:
        return self.stream(self.epoch * self.global_size, self.global_size)

    def stream(self, start: int, count: int) -> np.ndarray:
        """(``count``,) int64 indices at positions ``start``, ``start + 1``, ... of the endless stream."""
        k, classes = self.samples_per_class, len(self.members)
        first_row, skipped = divmod(start, k)
        rows = math.ceil((skipped + count) / k)
        orders: dict[tuple[int, ...], np.ndarray] = {}
        indices = np.empty((rows, k), dtype=np.int64)
        for number in range(rows):
            cycle, place = divmod(first_row + number, classes)
            label = int(self._order(orders, 0, cycle, classes)[place])
            members = self.members[label]
            for column in range(k):
                turn, position = divmod(cycle * k + column, len(members))
                image = members[self._order(orders, 1 + label, turn, len(members))[position]]
                indices[number, column] = 2 * turn * len(self.dataset) + image
        return indices.ravel()[skipped : skipped + count]

    def _order(self, orders: dict[tuple[int, ...], np.ndarray], what: int, turn: int, size: int) -> np.ndarray:
        """Permutation of pass ``turn``: over classes (``what`` = 0) or over the images of class ``what`` - 1."""
        if (what, turn) not in orders:
            orders[what, turn] = np.random.default_rng((self.seed, what, turn)).permutation(size)
        return orders[what, turn]


@DATA_SAMPLERS.register_module()
class DualStreamBatchSampler(Sampler):
    """Batches of 2 B indices: B of the class-balanced stream, then B of the uniform one (LPT, ICLR 2023).

    Both streams are endless and depend on (seed, position) only, and no batch is incomplete: an epoch has
    ceil(N / (B R)) steps, with N the samples of an epoch (``sampler.global_size``) and R processes, of which process
    r takes positions r, r + R, ... of both streams.  Since indices carry the epoch, workers are kept between epochs
    (``persistent_workers=True``).

    Args:
        sampler: a :class:`ClassAwareSampler`.
        batch_size: B, images of one stream in a batch, per process; a model receives twice as many.

    Raises:
        TypeError: another sampler.
        ValueError: ``batch_size`` below 1.
    """

    def __init__(self, sampler: ClassAwareSampler, batch_size: int) -> None:
        if not isinstance(sampler, ClassAwareSampler):
            raise TypeError(f"DualStreamBatchSampler needs sampler=dict(type='ClassAwareSampler'), got {sampler!r}")
        if batch_size < 1:
            raise ValueError(f'batch_size must be at least 1, got {batch_size}')
        self.sampler = sampler
        self.batch_size = batch_size

    @property
    def images_per_batch(self) -> int:
        """2 B, in every batch."""
        return 2 * self.batch_size

    def __iter__(self) -> Iterator[list[int]]:
        rank, world_size = self.sampler.rank, self.sampler.world_size
        size = len(self) * self.batch_size * world_size
        start = self.sampler.epoch * size
        balanced = self.sampler.stream(start, size)[rank::world_size].reshape(len(self), self.batch_size)
        uniform = self._uniform(start, size)[rank::world_size].reshape(len(self), self.batch_size)
        return iter(np.concatenate([balanced, uniform], axis=1).tolist())

    def __len__(self) -> int:
        """Steps of an epoch."""
        return math.ceil(self.sampler.global_size / (self.batch_size * self.sampler.world_size))

    def _uniform(self, start: int, count: int) -> np.ndarray:
        """(``count``,) indices of the endless stream of shuffled passes over the dataset."""
        images = len(self.sampler.dataset)
        first, last = start // images, (start + count - 1) // images
        passes = [
            (2 * turn + 1) * images + np.random.default_rng((self.sampler.seed, turn)).permutation(images)
            for turn in range(first, last + 1)
        ]
        return np.concatenate(passes)[start - first * images :][:count]
