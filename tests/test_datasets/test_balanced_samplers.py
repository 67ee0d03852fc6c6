from collections import Counter

import numpy as np
import pytest
import torch
from data_trees import save_image
from mmengine.dataset import pseudo_collate
from torch.utils.data import DataLoader

from vlprompt.datasets import ClassAwareSampler, DualStreamBatchSampler, LongTailedDataset
from vlprompt.datasets.samplers import epoch as samplers_module

COUNTS = (40, 20, 10, 6, 3, 2, 1)


@pytest.fixture
def dataset(tmp_path):
    lines = [f'{label}/{i}.png {label}' for label, count in enumerate(COUNTS) for i in range(count)]
    (tmp_path / 'train.txt').write_text('\n'.join(lines))
    return LongTailedDataset(str(tmp_path), ann_file='train.txt')


@pytest.fixture
def sampler_of(dataset, monkeypatch):
    def build(rank=0, world_size=1, **kwargs):
        monkeypatch.setattr(samplers_module, 'get_dist_info', lambda: (rank, world_size))
        return ClassAwareSampler(dataset, **{'seed': 5} | kwargs)

    return build


def images_of(dataset, indices):
    return [index % len(dataset) for index in indices]


def check_invariants(labels, k):
    """Rows of k images of one class; every C rows a permutation of the classes."""
    rows = np.reshape(labels, (-1, k))
    assert (rows == rows[:, :1]).all()
    for cycle in rows[:, 0].reshape(-1, len(COUNTS)):
        assert sorted(cycle) == list(range(len(COUNTS)))


@pytest.mark.parametrize('k', [1, 4])
def test_invariants_of_the_class_aware_stream(dataset, sampler_of, k):
    indices = np.array(list(sampler_of(samples_per_class=k, num_samples=280)))
    labels = dataset.labels[indices % len(dataset)]
    assert np.bincount(labels).tolist() == [40] * 7
    check_invariants(labels, k)
    for label, count in enumerate(COUNTS):  # every pass shows each image of a class once
        own = (indices % len(dataset))[labels == label]
        for start in range(0, 40 - count + 1, count):
            assert len(set(own[start : start + count])) == count
    assert len(set(indices)) == 280  # so no augmentation is repeated


def test_the_reference_implementation_has_the_same_invariants(golden):
    meta, reference = golden.load('lpt/class_aware_sampler')
    assert tuple(meta['constructor']['counts']) == COUNTS
    for name, invariants in meta['invariants'].items():
        labels = reference['labels'][reference[name]]
        assert np.bincount(labels).tolist() == invariants['per_class'] == [40] * 7
        if name.endswith('epoch0'):
            check_invariants(labels, int(name[1]))


def test_epochs_continue_the_stream_and_need_no_earlier_epoch(dataset, sampler_of):
    sampler = sampler_of()
    assert len(sampler) == sampler.global_size == 82
    epochs = []
    for epoch in range(4):
        sampler.set_epoch(epoch)
        epochs.append(list(sampler))
    assert np.concatenate(epochs).tolist() == sampler.stream(0, 4 * 82).tolist()
    check_invariants(dataset.labels[images_of(dataset, np.concatenate(epochs)[: 11 * 28])], 4)
    later = sampler_of()
    later.set_epoch(3)
    assert list(later) == epochs[3]
    assert list(sampler_of(seed=6)) != epochs[0]


def test_processes_share_the_stream(sampler_of):
    whole = sampler_of().stream(84, 84).tolist()
    parts = []
    for rank in range(4):
        sampler = sampler_of(rank, 4)
        sampler.set_epoch(1)
        parts.append(list(sampler))
        assert len(parts[-1]) == len(sampler) == 21  # 82 / 4 rounded up: all take equally many steps
        assert parts[-1] == whole[rank::4]


def test_dual_batches_are_balanced_then_uniform(dataset, sampler_of):
    batches = DualStreamBatchSampler(sampler_of(), 8)
    assert len(batches) == 11  # ceil(82 / 8)
    epochs = []
    for epoch in range(2):
        batches.sampler.set_epoch(epoch)
        epochs.append(np.array(list(batches)))
        assert epochs[-1].shape == (11, 16)
    halves = np.concatenate(epochs).reshape(22, 2, 8)
    balanced, uniform = halves[:, 0].ravel(), halves[:, 1].ravel()
    assert np.array_equal(balanced, batches.sampler.stream(0, 176))
    for turn in (0, 1):  # the uniform stream shows every image once per pass, across epochs
        assert sorted(images_of(dataset, uniform[82 * turn : 82 * (turn + 1)])) == list(range(82))
    assert not set(balanced) & set(uniform)
    assert len(set(uniform)) == 176


def test_dual_batches_of_two_processes_are_those_of_one(sampler_of):
    whole = np.array(list(DualStreamBatchSampler(sampler_of(), 8))).reshape(11, 2, 8)
    parts = [np.array(list(DualStreamBatchSampler(sampler_of(r, 2), 4))).reshape(11, 2, 4) for r in range(2)]
    assert np.array_equal(whole[..., 0::2], parts[0])
    assert np.array_equal(whole[..., 1::2], parts[1])


def test_workers_are_kept_and_change_nothing(tmp_path):
    lines = []
    for i, label in enumerate((0, 0, 0, 1)):
        save_image(tmp_path / f'{i}.png', seed=i)
        lines.append(f'{i}.png {label}')
    (tmp_path / 'train.txt').write_text('\n'.join(lines))
    pipeline = [
        dict(type='vlprompt.LoadImage'),
        dict(type='vlprompt.RandomResizedCrop', size=8),
        dict(type='vlprompt.PackClassification'),
    ]
    dataset = LongTailedDataset(str(tmp_path), ann_file='train.txt', pipeline=pipeline)

    def load(workers):
        batches = DualStreamBatchSampler(ClassAwareSampler(dataset, seed=1), 4)
        loader = DataLoader(
            dataset,
            batch_sampler=batches,
            num_workers=workers,
            collate_fn=pseudo_collate,
            persistent_workers=workers > 0,
        )
        epochs, processes = [], []
        for epoch in range(2):
            batches.sampler.set_epoch(epoch)
            epochs += [torch.stack(batch['inputs']) for batch in loader]
            processes.append([worker.pid for worker in loader._iterator._workers] if workers else [])
        assert processes[0] == processes[1]
        return torch.stack(epochs)

    images = load(0)
    assert images.shape == (2, 8, 3, 8, 8)
    assert torch.equal(load(1), images)
    first = images.flatten(0, 1).flatten(1)
    assert len(first.unique(dim=0)) == len(first)  # a class of one image: shown eight times, augmented eight times


def test_a_balanced_stream_alone_trains_in_ordinary_batches(sampler_of):
    from vlprompt.datasets import DropRaggedBatchSampler

    batches = list(DropRaggedBatchSampler(sampler_of(), 32))
    assert [len(batch) for batch in batches] == [32, 32]


def test_wrong_combinations_are_errors(dataset, sampler_of):
    with pytest.raises(TypeError, match='ClassAwareSampler'):
        DualStreamBatchSampler([0, 1], 2)
    with pytest.raises(ValueError, match='at least 1, got 0'):
        DualStreamBatchSampler(sampler_of(), 0)
    with pytest.raises(ValueError, match='samples_per_class=0'):
        sampler_of(samples_per_class=0)
    del dataset.labels
    with pytest.raises(TypeError, match='labels of a LongTailedDataset'):
        sampler_of()


def test_a_class_without_images_is_named(tmp_path):
    (tmp_path / 'train.txt').write_text('a.png 0\nb.png 1')
    (tmp_path / 'test.txt').write_text('c.png 0')
    dataset = LongTailedDataset(str(tmp_path), ann_file='{split}.txt', split='test')
    assert Counter(dataset.labels) == {0: 1}
    with pytest.raises(ValueError, match='1 classes have no image, the first is label 1'):
        ClassAwareSampler(dataset, seed=0)
