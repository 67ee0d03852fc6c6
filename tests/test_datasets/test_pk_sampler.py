"""PK sampling: the published order, its invariants, slices of processes, epochs and resuming."""

import random
from collections import Counter

import numpy as np
import pytest

from vlprompt.datasets import EpochSeededDataset, PKSampler
from vlprompt.datasets.samplers import pk as module
from vlprompt.datasets.samplers.pk import draw_pk

COUNTS = (1, 2, 3, 4, 5, 9, 12, 4, 8, 6)
PIDS = [pid for pid, count in enumerate(COUNTS) for _ in range(count)]


class Identities(EpochSeededDataset):
    """No images, only identities."""

    pids = PIDS

    def load_data_list(self):
        return [dict(pid=pid) for pid in self.pids]


@pytest.fixture
def sampler_of(monkeypatch):
    def build(rank=0, world_size=1, epoch=0, **kwargs):
        monkeypatch.setattr(module, 'get_dist_info', lambda: (rank, world_size))
        sampler = PKSampler(Identities(), seed=3, **kwargs)
        sampler.set_epoch(epoch)
        return sampler

    return build


@pytest.mark.parametrize(('num_ids', 'instances', 'seed'), [(4, 4, 0), (4, 4, 1234), (8, 2, 0), (2, 6, 0)])
def test_published_order(golden, num_ids, instances, seed):
    """From the published generators' states: Python's and NumPy's, seeded once, drawn from epoch after epoch."""
    _, stored = golden.load('clipreid/pk_sampler')
    shuffler, repeater = random.Random(seed), np.random.RandomState(seed)
    for epoch in range(3 if (instances, seed) == (4, 0) else 1):
        order = draw_pk(stored['pids'].tolist(), num_ids, instances, shuffler, repeater)
        assert order == stored[f'P{num_ids}K{instances}_seed{seed}_epoch{epoch}'].tolist()


@pytest.mark.parametrize(('batch_size', 'instances'), [(8, 4), (12, 3), (6, 1), (4, 2)])
def test_batches_hold_p_identities_with_k_images(sampler_of, batch_size, instances):
    sampler = sampler_of(batch_size=batch_size, instances=instances)
    order = list(sampler)
    assert len(order) == len(sampler) > 0
    assert len(order) % batch_size == 0
    for start in range(0, len(order), batch_size):
        pids = [PIDS[i] for i in order[start : start + batch_size]]
        assert sorted(Counter(pids).values()) == [instances] * (batch_size // instances)
        assert all(len(set(pids[i : i + instances])) == 1 for i in range(0, batch_size, instances))
    repeated = {PIDS[i] for i, count in Counter(order).items() if count > 1}
    assert all(COUNTS[pid] < instances for pid in repeated)


def test_processes_share_the_batches_of_one(sampler_of):
    alone = np.array(list(sampler_of(batch_size=16, epoch=2))).reshape(-1, 2, 8)
    for rank in range(2):
        assert list(sampler_of(rank, 2, batch_size=8, epoch=2)) == alone[:, rank].ravel().tolist()


def test_epochs_differ_and_can_be_repeated(sampler_of):
    sampler = sampler_of(batch_size=8)
    first = list(sampler)
    sampler.set_epoch(5)
    fifth = list(sampler)
    assert {index // len(PIDS) for index in fifth} == {5}
    assert [index % len(PIDS) for index in fifth] != first
    assert list(sampler_of(batch_size=8, epoch=5)) == fifth


def test_epochs_of_a_number_of_batches(sampler_of):
    """Longer than a round, in which further rounds show the images with other augmentations; or shorter."""
    rounds = len(sampler_of(batch_size=8)) // 8
    batches, size = 2 * rounds + 1, len(PIDS)
    first, second = (list(sampler_of(batch_size=8, batches=batches, epoch=epoch)) for epoch in (0, 1))
    assert len(first) == len(second) == 8 * batches
    assert first[: 8 * rounds] == list(sampler_of(batch_size=8))
    assert {index // size for index in first} >= {0, 1, 2}
    assert not {index // size for index in first} & {index // size for index in second}
    assert list(sampler_of(batch_size=8, batches=1)) == first[:8]
    alone = np.array(list(sampler_of(batch_size=16, batches=5))).reshape(-1, 2, 8)
    assert list(sampler_of(1, 2, batch_size=8, batches=5)) == alone[:, 1].ravel().tolist()
    with pytest.raises(ValueError, match='an epoch needs batches, got 0'):
        sampler_of(batch_size=8, batches=0)


def test_impossible_batches_are_errors(sampler_of):
    with pytest.raises(ValueError, match='10 identities cannot fill a batch of 16'):
        sampler_of()
    with pytest.raises(ValueError, match='10 identities cannot fill a batch of 12'):
        sampler_of(0, 3, batch_size=16)
    with pytest.raises(ValueError, match='multiple of instances, got 10 and 4'):
        sampler_of(batch_size=10)
    with pytest.raises(TypeError, match=r'vlprompt.ReIDDataset.*got list'):
        PKSampler([1, 2])
