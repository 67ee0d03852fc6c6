"""Data sets whose augmentation is reproducible."""

from __future__ import annotations

from collections.abc import Iterator

from mmengine.dataset import BaseDataset

from vlprompt.datasets.seeding import sample_rng


class EpochSeededDataset(BaseDataset):
    """A data set whose samples depend on (seed, epoch, index) only.

    The index carries the epoch: ``dataset[epoch * len(dataset) + i]`` is sample ``i`` as augmented in that
    epoch.  :class:`~vlprompt.datasets.samplers.EpochSampler` yields such indices; an ordinary sampler's indices
    mean epoch 0.  A pipeline never returns None here: a broken image is an error, not another image.

    Args:
        seed: of the random numbers of the pipeline.
        **kwargs: those of :class:`mmengine.dataset.BaseDataset`.
    """

    def __init__(self, *, seed: int = 0, **kwargs) -> None:
        self.seed = seed
        super().__init__(**kwargs)

    def __getitem__(self, index: int) -> dict:
        """Sample ``index % len`` of epoch ``index // len``; a negative index counts from the end in epoch 0."""
        self.full_init()
        epoch, i = divmod(index, len(self))
        with sample_rng(self.seed, max(epoch, 0), i):
            return self.prepare_data(i)

    def __iter__(self) -> Iterator[dict]:
        """The samples of epoch 0 (without this, iteration would run on into later epochs for ever)."""
        return (self[i] for i in range(len(self)))
