"""The order in which samples are seen: the same for any number of processes."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sized

import numpy as np
from mmengine.dist import get_dist_info, sync_random_seed
from torch.utils.data import Sampler

from vlprompt.datasets.base import EpochSeededDataset
from vlprompt.registry import DATA_SAMPLERS


@DATA_SAMPLERS.register_module()
class EpochSampler(Sampler):
    """Yield indices that carry the epoch, ``epoch * len(dataset) + i``.

    The order of an epoch depends on (seed, epoch) only.  Process r of R takes positions r, r + R, r + 2R, ... of
    it, so R processes with batch size b see, step by step, the global batches of one process with R * b.
    With a data set that R does not divide, the last batch of some processes is one sample shorter; for
    :class:`DropRaggedBatchSampler`, which gives all equally many batches, that is right.

    Args:
        dataset: an :class:`~vlprompt.datasets.base.EpochSeededDataset`, which decodes such indices.
        shuffle: a new order every epoch, or the order of the data set.
        seed: of the order; the same in all processes.  None: drawn once and shared.
        pad: let all processes have equally many samples, the first few of an epoch again at its end.  Loaders that
            keep the last batch need it, since processes step together.

    Raises:
        TypeError: ``dataset`` does not decode the epoch from the index.
        ValueError: fewer samples than processes.
    """

    def __init__(self, dataset: Sized, shuffle: bool = True, seed: int | None = None, pad: bool = False) -> None:
        if not isinstance(dataset, EpochSeededDataset):
            raise TypeError(
                f'EpochSampler needs a dataset that derives from EpochSeededDataset, got {type(dataset).__name__}; '
                "use sampler=dict(type='DefaultSampler') for this one"
            )
        self.rank, self.world_size = get_dist_info()
        if len(dataset) < self.world_size:
            raise ValueError(f'{len(dataset)} samples cannot be shared by {self.world_size} processes')
        self.dataset = dataset
        self.shuffle = shuffle
        self.seed = sync_random_seed() if seed is None else seed
        self.pad = pad
        self.epoch = 0

    def __iter__(self) -> Iterator[int]:
        return iter(self.global_indices()[self.rank :: self.world_size].tolist())

    def __len__(self) -> int:
        """Samples of this process per epoch."""
        return math.ceil((self.global_size - self.rank) / self.world_size)

    def global_indices(self) -> np.ndarray:
        """(``global_size``,) the indices of all processes in this epoch, in the order of the samples."""
        size = len(self.dataset)
        if self.shuffle:
            order = np.random.default_rng((self.seed, self.epoch)).permutation(size)
        else:
            order = np.arange(size)
        return self.epoch * size + np.resize(order, self.global_size)  # repeats from the start

    @property
    def global_size(self) -> int:
        """Samples of all processes per epoch."""
        size = len(self.dataset)
        return math.ceil(size / self.world_size) * self.world_size if self.pad else size

    def set_epoch(self, epoch: int) -> None:
        """Called by mmengine before every training epoch."""
        self.epoch = epoch


@DATA_SAMPLERS.register_module()
class DropRaggedBatchSampler(Sampler):
    """Batches without the last incomplete one, unless it is the only one.

    The rule of the CoOp family's loader (``drop_last = len(dataset) >= batch_size``): an epoch always has at
    least one step.  Completeness is judged on the global batch, so all processes take equally many steps.

    Args:
        sampler: an :class:`EpochSampler`.
        batch_size: per process.
    """

    def __init__(self, sampler: EpochSampler, batch_size: int) -> None:
        if not isinstance(sampler, EpochSampler):
            raise TypeError(f"DropRaggedBatchSampler needs sampler=dict(type='EpochSampler'), got {sampler!r}")
        if batch_size < 1:
            raise ValueError(f'batch_size must be at least 1, got {batch_size}')
        self.sampler = sampler
        self.batch_size = batch_size

    def __iter__(self) -> Iterator[list[int]]:
        indices = list(self.sampler)
        for step in range(len(self)):
            yield indices[step * self.batch_size : (step + 1) * self.batch_size]

    def __len__(self) -> int:
        return max(1, self.sampler.global_size // (self.batch_size * self.sampler.world_size))
