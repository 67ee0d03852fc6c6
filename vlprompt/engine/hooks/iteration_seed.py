"""Make the randomness of an iteration a function of the iteration."""

from __future__ import annotations

import random
from typing import Any

import numpy as np
import torch
from mmengine.hooks import Hook
from mmengine.runner import Runner

from vlprompt.registry import HOOKS


@HOOKS.register_module()
class IterationSeedHook(Hook):
    """Seed Python, NumPy and torch from (seed, iteration, process) before every training epoch and iteration.

    The random numbers of an iteration (dropout, noise, the base seed of data-loader workers) then depend neither on a
    validation run in between nor on an interruption: a resumed run continues bit for bit, and no generator state has
    to be stored.  mmengine's runner restores none.
    """

    priority = 'VERY_HIGH'

    def before_train_epoch(self, runner: Runner) -> None:
        seed_everything(runner.seed, runner.iter, runner.rank, stream=0)

    def before_train_iter(self, runner: Runner, batch_idx: int, data_batch: Any = None) -> None:
        seed_everything(runner.seed, runner.iter, runner.rank, stream=1)


def seed_everything(seed: int, iteration: int, rank: int, stream: int) -> None:
    """Seed all generators with values that differ for any two different argument tuples."""
    words = np.random.SeedSequence((seed, iteration, rank, stream)).generate_state(3)
    random.seed(int(words[0]))
    np.random.seed(words[1])
    torch.manual_seed(int(words[2]))
