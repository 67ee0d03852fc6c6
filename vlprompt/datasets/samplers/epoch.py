"""The order of samples, the same for any number of processes."""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np
from mmengine.dist import get_dist_info, sync_random_seed
from torch.utils.data import DataLoader, Sampler

from vlprompt.datasets.seeded import EpochSeeded
from vlprompt.registry import DATA_SAMPLERS


def epoch_order(size: int, epoch: int, seed: int, shuffle: bool = True) -> np.ndarray:
    """(size,) int64 order of an epoch, a permutation that depends on (seed, epoch) only."""
    return np.random.default_rng((seed, epoch)).permutation(size) if shuffle else np.arange(size)


class EpochIndices(Sampler):
    """Base of samplers whose indices carry the epoch, ``epoch * len(dataset) + i``.

    Args:
        dataset: decodes such indices, see :class:`~vlprompt.datasets.seeded.EpochSeeded`.
        shuffle: a new order every epoch that depends on (seed, epoch) only, or the order of the dataset.
        seed: of the order; the same in all processes.  None: drawn once and shared.

    Raises:
        TypeError: ``dataset`` does not decode the epoch from the index.
    """

    def __init__(self, dataset: EpochSeeded, shuffle: bool = True, seed: int | None = None) -> None:
        if not isinstance(dataset, EpochSeeded):
            raise TypeError(
                f'{type(self).__name__} needs a dataset whose indices carry the epoch, got {type(dataset).__name__}: '
                "wrap it, dataset=dict(type='vlprompt.SeededDataset', dataset=...), or use one of mmengine's "
                "samplers, sampler=dict(type='DefaultSampler')"
            )
        self.rank, self.world_size = get_dist_info()
        self.dataset = dataset
        self.shuffle = shuffle
        self.seed = sync_random_seed() if seed is None else seed

    def epoch_indices(self, epoch: int) -> np.ndarray:
        """(N,) int64 indices of all samples in their order in ``epoch``."""
        size = len(self.dataset)
        return epoch * size + epoch_order(size, epoch, self.seed, self.shuffle)


@DATA_SAMPLERS.register_module()
class EpochSampler(EpochIndices):
    """One epoch after another, in indices that carry the epoch.

    The order of an epoch depends on (seed, epoch) only.  Process r of R takes positions r, r + R, r + 2R, ... of
    it, so the batches of R processes with batch size b are together, step by step, those of one process with R * b.
    If R does not divide the size of the dataset, the last batch of some processes is one sample shorter, as
    :class:`DropRaggedBatchSampler` expects, which gives all processes equally many batches.

    Args:
        dataset, shuffle, seed: see :class:`EpochIndices`.
        pad: give all processes equally many samples by repeating the first few of an epoch at its end, as mmengine's
            ``DefaultSampler`` does.  Loaders that keep the last batch need it, since processes step together, and so
            do batch samplers that sort samples, for example by aspect ratio.  The repeats, at most one a process, are
            trained on like all others; metrics leave them out in an evaluation.

    Raises:
        TypeError: ``dataset`` does not decode the epoch from the index.
        ValueError: fewer samples than processes, without ``pad``.
    """

    def __init__(self, dataset: EpochSeeded, shuffle: bool = True, seed: int | None = None, pad: bool = False) -> None:
        super().__init__(dataset, shuffle, seed)
        if len(dataset) < self.world_size and not pad:
            raise ValueError(f'{len(dataset)} samples cannot be shared by {self.world_size} processes; set pad=True')
        self.pad = pad
        self.epoch = 0

    def __iter__(self) -> Iterator[int]:
        return iter(self.global_indices()[self.rank :: self.world_size].tolist())

    def __len__(self) -> int:
        """Samples of this process per epoch."""
        return math.ceil((self.global_size - self.rank) / self.world_size)

    def global_indices(self) -> np.ndarray:
        """(``global_size``,) the indices of all processes in this epoch, in the order of the samples."""
        return np.resize(self.epoch_indices(self.epoch), self.global_size)  # repeats from the start

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
    least one step.  The global batch must be complete, so all processes take equally many steps.

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


def batch_size_of(loader: DataLoader) -> int:
    """Images of a full batch in one process; a loader with a batch sampler leaves the number to it."""
    return getattr(loader.batch_sampler, 'batch_size', None) or loader.batch_size or 1
