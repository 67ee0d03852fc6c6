"""Reproducible augmentation: random numbers depend on the sample, not on the process that loads it."""

from __future__ import annotations

import random
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from mmengine.dataset import BaseDataset
from torch.utils.data import Dataset

from vlprompt.datasets.images import naming_dataset_image
from vlprompt.registry import DATASETS


@contextmanager
def sample_rng(seed: int, epoch: int, index: int) -> Iterator[None]:
    """Seed Python's, NumPy's and torch's CPU generators from (seed, epoch, index), and restore them afterwards.

    Augmentation inside the block depends on nothing else: not on the number of workers or processes, nor on
    what was loaded before, nor on a resume.  CUDA generators are not touched.
    """
    states = random.getstate(), np.random.get_state(), torch.default_generator.get_state()
    words = np.random.SeedSequence((seed, epoch, index)).generate_state(4)
    random.seed(int(words[0]))
    np.random.seed(words[1])
    torch.default_generator.manual_seed(int(words[2]) << 32 | int(words[3]))
    try:
        yield
    finally:
        random.setstate(states[0])
        np.random.set_state(states[1])
        torch.default_generator.set_state(states[2])


class EpochSeeded(Dataset):
    """Mixin: samples depend on (seed, epoch, index) only, and the index carries the epoch.

    ``dataset[epoch * len(dataset) + i]`` is sample ``i`` as augmented in that epoch, whichever worker, process or
    resumed run loads it.  The samplers of :mod:`vlprompt.datasets.samplers` yield such indices; an ordinary
    sampler's indices mean epoch 0.

    Attributes:
        seed: of the random numbers of the pipeline.
    """

    seed: int

    def load_sample(self, index: int) -> dict:
        """Sample ``index`` in 0 .. N-1, augmented by the global random generators."""
        raise NotImplementedError

    def __getitem__(self, index: int) -> dict:
        """Sample ``index % len`` of epoch ``index // len``; a negative index counts from the end in epoch 0."""
        epoch, i = divmod(index, len(self))
        with sample_rng(self.seed, max(epoch, 0), i):
            return self.load_sample(i)

    def __iter__(self) -> Iterator[dict]:
        """The samples of epoch 0 (by default, iteration would continue into later epochs for ever)."""
        return (self[i] for i in range(len(self)))


class EpochSeededDataset(EpochSeeded, BaseDataset):
    """mmengine's ``BaseDataset`` with reproducible augmentation, see :class:`EpochSeeded`.

    A pipeline never returns None here: a broken image is an error, not another image.

    Args:
        seed: of the random numbers of the pipeline.
        **kwargs: those of :class:`mmengine.dataset.BaseDataset`.
    """

    def __init__(self, *, seed: int = 0, **kwargs) -> None:
        self.seed = seed
        super().__init__(**kwargs)

    def __getitem__(self, index: int) -> dict:
        self.full_init()
        return super().__getitem__(index)

    def load_sample(self, index: int) -> dict:
        with naming_dataset_image(lambda: self.get_data_info(index)):
            return self.prepare_data(index)


@DATASETS.register_module()
class SeededDataset(EpochSeeded):
    """A dataset of mmseg or mmdet with reproducible augmentation, see :class:`EpochSeeded`.

    Args:
        dataset: the dataset, or its config.
        seed: of the random numbers of its pipeline.
    """

    def __init__(self, dataset: BaseDataset | Mapping[str, Any], seed: int = 0) -> None:
        self.dataset = DATASETS.build(dataset) if isinstance(dataset, Mapping) else dataset
        self.seed = seed

    @property
    def metainfo(self) -> dict:
        """That of the wrapped dataset."""
        return self.dataset.metainfo

    def full_init(self) -> None:
        """Load the annotations of the wrapped dataset."""
        self.dataset.full_init()

    def get_data_info(self, index: int) -> dict:
        """Annotation of a sample, whatever the epoch."""
        return self.dataset.get_data_info(index % len(self))

    def __len__(self) -> int:
        return len(self.dataset)

    def load_sample(self, index: int) -> dict:
        with naming_dataset_image(lambda: self.dataset.get_data_info(index)):
            return self.dataset[index]
