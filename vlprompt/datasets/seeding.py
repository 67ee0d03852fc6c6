"""Random numbers that belong to a sample, not to the process that happens to load it."""

from __future__ import annotations

import random
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import torch


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
