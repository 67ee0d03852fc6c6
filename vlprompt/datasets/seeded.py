"""Reproducible augmentation for data sets of other packages."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
from mmengine.dataset import BaseDataset
from mmengine.dist import get_dist_info, sync_random_seed
from torch.utils.data import Dataset, Sampler

from vlprompt.datasets.seeding import sample_rng
from vlprompt.registry import DATA_SAMPLERS, DATASETS


@DATASETS.register_module()
class SeededDataset(Dataset):
    """A data set of mmseg or mmdet whose samples depend on (seed, epoch, index) only.

    The index carries the epoch: ``dataset[epoch * len(dataset) + i]`` is sample ``i`` as augmented in that epoch, by
    whichever worker, process or resumed run it is loaded.  :class:`InfiniteEpochSampler` (loops that count iterations)
    and :class:`PaddedEpochSampler` (loops that count epochs) yield such indices.

    Args:
        dataset: the data set, or its config.
        seed: of the random numbers of its pipeline.
    """

    def __init__(self, dataset: BaseDataset | Mapping[str, Any], seed: int = 0) -> None:
        self.dataset = DATASETS.build(dataset) if isinstance(dataset, Mapping) else dataset
        self.seed = seed

    @property
    def metainfo(self) -> dict:
        """Of the wrapped data set."""
        return self.dataset.metainfo

    def full_init(self) -> None:
        """Load the annotations of the wrapped data set."""
        self.dataset.full_init()

    def get_data_info(self, index: int) -> dict:
        """Annotation of a sample, whatever the epoch."""
        return self.dataset.get_data_info(index % len(self))

    def __len__(self) -> int:
        return len(self.dataset)

    def __getitem__(self, index: int) -> dict:
        epoch, i = divmod(index, len(self))
        with sample_rng(self.seed, epoch, i):
            return self.dataset[i]


@DATA_SAMPLERS.register_module()
class PaddedEpochSampler(Sampler):
    """One epoch after another, in indices that carry the epoch: ``epoch * len(dataset) + i``.

    As mmengine's ``DefaultSampler`` it repeats the first samples of an epoch where that makes every process take
    equally many, so batch samplers on top of it (by aspect ratio, say) give every process equally many batches.

    Args:
        dataset: a :class:`SeededDataset`.
        shuffle: a new order every epoch, depending on (seed, epoch) only; or the order of the data set.
        seed: of the order; the same in all processes.  None: drawn once and shared.

    Raises:
        TypeError: ``dataset`` does not decode the epoch from the index.
    """

    def __init__(self, dataset: SeededDataset, shuffle: bool = True, seed: int | None = None) -> None:
        self.dataset = _seeded(dataset, self)
        self.rank, self.world_size = get_dist_info()
        self.shuffle = shuffle
        self.seed = sync_random_seed() if seed is None else seed
        self.epoch = 0

    def set_epoch(self, epoch: int) -> None:
        """Called by mmengine before every training epoch."""
        self.epoch = epoch

    def __len__(self) -> int:
        """Samples of this process per epoch."""
        return -(-len(self.dataset) // self.world_size)

    def __iter__(self) -> Iterator[int]:
        size = len(self.dataset)
        order = epoch_order(size, self.epoch, self.seed, self.shuffle)
        padded = np.resize(order, len(self) * self.world_size)
        return iter((self.epoch * size + padded[self.rank :: self.world_size]).tolist())


def epoch_order(size: int, epoch: int, seed: int, shuffle: bool) -> np.ndarray:
    """(size,) the order of an epoch."""
    return np.random.default_rng((seed, epoch)).permutation(size) if shuffle else np.arange(size)


def _seeded(dataset: Dataset, sampler: Sampler) -> SeededDataset:
    if not isinstance(dataset, SeededDataset):
        raise TypeError(
            f'{type(sampler).__name__} needs a SeededDataset, got {type(dataset).__name__}: write '
            "dataset=dict(type='vlprompt.SeededDataset', dataset=...), or take one of mmengine's samplers"
        )
    return dataset


@DATA_SAMPLERS.register_module()
class InfiniteEpochSampler(Sampler):
    """Epoch after epoch without end, in indices that carry the epoch: ``epoch * len(dataset) + i``.

    The order of an epoch depends on (seed, epoch) only.  Process r of R takes positions r, r + R, r + 2R, ... of the
    endless stream, so R processes with batch size b see, step by step, the global batches of one process with R * b.

    Args:
        dataset: a :class:`SeededDataset`.
        shuffle: a new order every epoch, or the order of the data set.
        seed: of the order; the same in all processes.  None: drawn once and shared.

    Raises:
        TypeError: ``dataset`` does not decode the epoch from the index.
    """

    def __init__(self, dataset: SeededDataset, shuffle: bool = True, seed: int | None = None) -> None:
        self.rank, self.world_size = get_dist_info()
        self.size = len(_seeded(dataset, self))
        self.shuffle = shuffle
        self.seed = sync_random_seed() if seed is None else seed
        self.skipped = 0

    def skip(self, num_samples: int) -> None:
        """Start behind the first samples of this process; mmengine calls it when a run is resumed."""
        self.skipped = num_samples

    def __len__(self) -> int:
        """Samples of an epoch."""
        return self.size

    def __iter__(self) -> Iterator[int]:
        position = self.skipped * self.world_size + self.rank
        while True:
            epoch, start = divmod(position, self.size)
            order = epoch_order(self.size, epoch, self.seed, self.shuffle)
            yield from (epoch * self.size + order[start :: self.world_size]).tolist()
            position += -(-(self.size - start) // self.world_size) * self.world_size
