"""An endless sequence of epochs, for loops that count iterations."""

from __future__ import annotations

from collections.abc import Iterator

from vlprompt.datasets.samplers.epoch import EpochIndices
from vlprompt.datasets.seeded import EpochSeeded
from vlprompt.registry import DATA_SAMPLERS


@DATA_SAMPLERS.register_module()
class InfiniteEpochSampler(EpochIndices):
    """An endless sequence of epochs, in indices that carry the epoch.

    The order of an epoch depends on (seed, epoch) only.  Process r of R takes positions r, r + R, r + 2R, ... of the
    endless stream, so the batches of R processes with batch size b are together, step by step, those of one process
    with R * b.

    Args:
        dataset, shuffle, seed: see :class:`~vlprompt.datasets.samplers.epoch.EpochIndices`.

    Raises:
        TypeError: ``dataset`` does not decode the epoch from the index.
    """

    def __init__(self, dataset: EpochSeeded, shuffle: bool = True, seed: int | None = None) -> None:
        super().__init__(dataset, shuffle, seed)
        self.skipped = 0

    def skip(self, num_samples: int) -> None:
        """Skip the first samples of this process; called by mmengine when a run is resumed."""
        self.skipped = num_samples

    def __len__(self) -> int:
        """Samples of an epoch."""
        return len(self.dataset)

    def __iter__(self) -> Iterator[int]:
        size = len(self)
        position = self.skipped * self.world_size + self.rank
        while True:
            epoch, start = divmod(position, size)
            yield from self.epoch_indices(epoch)[start :: self.world_size].tolist()
            position += -(-(size - start) // self.world_size) * self.world_size
