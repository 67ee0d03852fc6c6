"""Batches of P identities with K images each, for losses that compare images."""

from __future__ import annotations

import random
from bisect import bisect_left
from collections.abc import Iterator, Sequence

import numpy as np
from mmengine.dist import get_dist_info, sync_random_seed
from torch.utils.data import Sampler

from vlprompt.datasets.seeded import EpochSeeded
from vlprompt.registry import DATA_SAMPLERS


def draw_pk(
    ids: Sequence[int], num_ids: int, instances: int, shuffler: random.Random, repeater: np.random.RandomState
) -> list[int]:
    """One epoch of batches of P x K images.

    The images of every identity are shuffled and cut into chunks of K; an identity with fewer than K images first draws
    K of them with replacement, and incomplete chunks are dropped.  A batch takes the next chunk of each of P
    identities, drawn from those that have one left; the epoch ends when fewer than P have.

    Args:
        ids: (N,) identity of every image.
        num_ids: P, identities in a batch.
        instances: K, images of each.
        shuffler: shuffles images and draws identities.
        repeater: repeats the images of small identities.

    Returns:
        Indices of images, P * K a batch, the K images of an identity in a row.
    """
    images: dict[int, list[int]] = {}
    for index, identity in enumerate(ids):
        images.setdefault(identity, []).append(index)
    chunks: list[list[list[int]]] = []
    for own in images.values():
        if len(own) < instances:
            own = repeater.choice(own, size=instances, replace=True).tolist()
        shuffler.shuffle(own)
        chunks.append([own[i : i + instances] for i in range(0, len(own) - instances + 1, instances)])
    left, order = list(range(len(chunks))), []  # sorted, so that one of 100,000 is found at once
    while len(left) >= num_ids:
        for place in shuffler.sample(left, num_ids):
            order += chunks[place].pop(0)
            if not chunks[place]:
                del left[bisect_left(left, place)]
    return order


@DATA_SAMPLERS.register_module()
class PKSampler(Sampler):
    """Yield batches of P identities x K images in indices that carry the epoch, ``epoch * len(dataset) + i``.

    The order of an epoch (:func:`draw_pk`) depends on (seed, epoch) only, so a resumed run continues exactly.
    With R processes a global batch has R * P identities, of which each process takes P with their images: the batches
    of all processes together are, step by step, those of one process with R * b.  A loss that compares images sees only
    those of its process, unless the model gathers them (``gather`` of :class:`~vlprompt.models.ReIdentifier`).  All
    batches are full, and epochs differ slightly in length: ``len`` is that of the current one.

    With ``batches`` an epoch has just so many: it is cut, or goes on with the orders of further rounds, in which the
    images are augmented anew.

    Args:
        dataset: a :class:`~vlprompt.datasets.reid.dataset.ReIDDataset`.
        batch_size: of a process, P * K; the same as the data loader's.
        instances: K.
        batches: of an epoch; None: as many as one round through the images gives.
        seed: of the order; the same in all processes.  None: drawn once and shared.

    Raises:
        TypeError: ``dataset`` has no identities, or does not decode the epoch from the index.
        ValueError: K does not divide the batch size, no batches, or fewer identities than a global batch needs.
    """

    def __init__(
        self,
        dataset: EpochSeeded,
        batch_size: int = 64,
        instances: int = 4,
        batches: int | None = None,
        seed: int | None = None,
    ) -> None:
        if not isinstance(dataset, EpochSeeded) or not hasattr(dataset, 'pids'):
            raise TypeError(f"PKSampler needs dataset=dict(type='vlprompt.ReIDDataset'), got {type(dataset).__name__}")
        if instances < 1 or batch_size < 1 or batch_size % instances:
            raise ValueError(f'batch_size must be a multiple of instances, got {batch_size} and {instances}')
        if batches is not None and batches < 1:
            raise ValueError(f'an epoch needs batches, got {batches}')
        self.rank, self.world_size = get_dist_info()
        self.batch_size = batch_size
        self.instances = instances
        self.batches = batches
        self.ids = dataset.pids
        self.num_ids = self.world_size * batch_size // instances
        if len(set(self.ids)) < self.num_ids:
            raise ValueError(
                f'{len(set(self.ids))} identities cannot fill a batch of {self.num_ids} (batch_size {batch_size} x '
                f'{self.world_size} processes / {instances} instances); lower the batch size of loader and sampler'
            )
        self.seed = sync_random_seed() if seed is None else seed
        self.set_epoch(0)

    def set_epoch(self, epoch: int) -> None:
        """Draw the order of an epoch; called by mmengine before every training epoch."""
        self.epoch = epoch
        if self.batches is None:
            order = self._round(epoch)
        else:  # every round has a batch at least, so the rounds of no two epochs meet
            number = epoch * self.batches
            order = self._round(number)
            while len(order) < self.batches:
                number += 1
                order = np.concatenate([order, self._round(number)])
            order = order[: self.batches]
        self._order = order[:, self.rank].ravel().tolist()

    def _round(self, number: int) -> np.ndarray:
        """(batches, processes, batch size) of indices: one round through the images, augmented as in that epoch."""
        words = np.random.SeedSequence((self.seed, number)).generate_state(2).tolist()
        order = draw_pk(
            self.ids, self.num_ids, self.instances, random.Random(words[0]), np.random.RandomState(words[1])
        )
        return number * len(self.ids) + np.array(order, dtype=np.int64).reshape(-1, self.world_size, self.batch_size)

    def __iter__(self) -> Iterator[int]:
        return iter(self._order)

    def __len__(self) -> int:
        """Samples of this process in the current epoch."""
        return len(self._order)
