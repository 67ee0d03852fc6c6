"""The samplers and the wrapper: the same samples for any number of processes, workers and interruptions."""

import random
from itertools import islice

import pytest
import torch
from torch.utils.data import DataLoader, Dataset

from vlprompt.datasets import EpochSampler, InfiniteEpochSampler, SeededDataset


class Draws(Dataset):
    """Sample i with a number that the pipeline draws."""

    metainfo = dict(classes=('a',))

    def __len__(self):
        return 5

    def __getitem__(self, index):
        return index, random.random() + torch.rand(()).item()


def stream(count, skip=0, rank=0, world_size=1, **options):
    sampler = InfiniteEpochSampler(SeededDataset(Draws()), seed=3, **options)
    sampler.rank, sampler.world_size = rank, world_size
    sampler.skip(skip)
    return list(islice(sampler, count))


def test_every_epoch_holds_every_sample_once():
    indices = stream(20)
    for epoch in range(4):
        assert sorted(indices[5 * epoch : 5 * epoch + 5]) == list(range(5 * epoch, 5 * epoch + 5))
    orders = {tuple(i % 5 for i in indices[5 * epoch : 5 * epoch + 5]) for epoch in range(4)}
    assert len(orders) > 1
    assert stream(7, shuffle=False) == list(range(7))


@pytest.mark.parametrize('world_size', [2, 3, 7])
def test_processes_share_the_stream(world_size):
    parts = [stream(6, rank=rank, world_size=world_size) for rank in range(world_size)]
    assert [i for step in zip(*parts, strict=True) for i in step] == stream(6 * world_size)


@pytest.mark.parametrize('world_size', [1, 2])
def test_skipping_continues_the_stream(world_size):
    for skip in (1, 5, 8):
        options = dict(rank=world_size - 1, world_size=world_size)
        assert stream(9, skip=skip, **options) == stream(9 + skip, **options)[skip:]


def test_padded_epochs_give_every_process_equally_many():
    def epoch(number, rank=0, world_size=1):
        sampler = EpochSampler(SeededDataset(Draws()), seed=3, pad=True)
        sampler.rank, sampler.world_size = rank, world_size
        sampler.set_epoch(number)
        assert len(list(sampler)) == len(sampler)
        return list(sampler)

    assert epoch(2) == stream(15)[10:], 'the order of the endless sampler'
    for world_size in (2, 3, 7):
        parts = [epoch(1, rank, world_size) for rank in range(world_size)]
        assert len({len(part) for part in parts}) == 1
        together = [i for step in zip(*parts, strict=True) for i in step]
        assert together[:5] == epoch(1)
        assert set(together) == set(range(5, 10))


def test_augmentation_belongs_to_epoch_and_sample():
    dataset = SeededDataset(Draws(), seed=1)
    assert dataset[7] == dataset[7]
    assert dataset[7][0] == dataset[2][0] == 2
    assert dataset[7] != dataset[2]
    assert SeededDataset(Draws(), seed=2)[7] != dataset[7]
    assert dataset.metainfo == Draws.metainfo


@pytest.mark.slow
def test_workers_do_not_matter():
    batches = []
    for workers in (0, 2):
        dataset = SeededDataset(Draws())
        loader = DataLoader(dataset, batch_size=2, sampler=InfiniteEpochSampler(dataset, seed=0), num_workers=workers)
        batches.append([torch.stack([x.double() for x in batch]) for batch in islice(loader, 4)])
    for one, two in zip(*batches, strict=True):
        assert torch.equal(one, two)


def test_other_datasets_are_refused():
    for sampler in (InfiniteEpochSampler, EpochSampler):
        with pytest.raises(
            TypeError, match=f'{sampler.__name__} needs a dataset whose indices carry the epoch, got Draws'
        ):
            sampler(Draws())
