import pytest
import torch
from data_trees import make_split_json
from mmengine.dataset import pseudo_collate
from torch.utils.data import DataLoader

from vlprompt.datasets import DropRaggedBatchSampler, EpochSampler, FewShotDataset
from vlprompt.datasets.samplers import epoch as samplers_module

TRAIN_PIPELINE = [
    dict(type='vlprompt.LoadImage'),
    dict(type='vlprompt.RandomResizedCrop', size=8),
    dict(type='vlprompt.RandomHorizontalFlip'),
    dict(type='vlprompt.PackClassification'),
]


@pytest.fixture
def dataset(tmp_path):
    make_split_json(tmp_path / 'split.json', tmp_path)
    return FewShotDataset(str(tmp_path), ann_file='split.json', pipeline=TRAIN_PIPELINE)


@pytest.fixture
def sampler_of(dataset, monkeypatch):
    def build(rank=0, world_size=1, **kwargs):
        monkeypatch.setattr(samplers_module, 'get_dist_info', lambda: (rank, world_size))
        return EpochSampler(dataset, seed=5, **kwargs)

    return build


def epoch_of(dataset, batches, workers, epoch):
    """Images (steps, B, 3, H, W) as a loader yields them."""
    loader = DataLoader(dataset, batch_sampler=batches, num_workers=workers, collate_fn=pseudo_collate)
    batches.sampler.set_epoch(epoch)
    return [torch.stack(batch['inputs']) for batch in loader]


@pytest.mark.parametrize('workers', [0, 2])
def test_two_processes_see_the_global_batches_of_one(dataset, sampler_of, workers):
    """12 images; batches of 4 in one process or of 2 in each of two; with and without worker processes."""
    alone = epoch_of(dataset, DropRaggedBatchSampler(sampler_of(), 4), 0, epoch=3)
    ranks = [epoch_of(dataset, DropRaggedBatchSampler(sampler_of(r, 2), 2), workers, epoch=3) for r in range(2)]
    assert len(alone) == len(ranks[0]) == len(ranks[1]) == 3
    for whole, *parts in zip(alone, *ranks, strict=True):
        assert torch.equal(whole[0::2], parts[0])
        assert torch.equal(whole[1::2], parts[1])


def test_epochs_differ_in_order_and_augmentation_and_can_be_repeated(dataset, sampler_of):
    batches = DropRaggedBatchSampler(sampler_of(), 12)
    (first,), (second,) = (epoch_of(dataset, batches, 0, epoch) for epoch in (0, 1))
    assert not torch.equal(first, second)
    assert torch.equal(epoch_of(dataset, batches, 2, 1)[0], second)
    orders = []
    for epoch in (0, 1):
        batches.sampler.set_epoch(epoch)
        (indices,) = batches
        assert {index // 12 for index in indices} == {epoch}
        orders.append([index % 12 for index in indices])
        assert sorted(orders[-1]) == list(range(12))
    assert orders[0] != orders[1]
    assert not torch.equal(dataset[3]['inputs'], dataset[12 + 3]['inputs'])
    assert torch.equal(dataset[-1]['inputs'], dataset[11]['inputs'])


def test_loading_does_not_disturb_the_process(dataset):
    torch.manual_seed(0)
    expected = torch.rand(3)
    torch.manual_seed(0)
    dataset[0]
    assert torch.equal(torch.rand(3), expected)


def test_without_shuffling_the_order_is_that_of_the_data(sampler_of):
    assert list(sampler_of(shuffle=False)) == list(range(12))
    assert list(sampler_of(1, 5, shuffle=False)) == [1, 6, 11]
    assert [len(sampler_of(rank, 5)) for rank in range(5)] == [3, 3, 2, 2, 2]


@pytest.mark.parametrize(
    ('world_size', 'batch_size', 'sizes'),
    [
        (1, 5, [[5, 5]]),
        (1, 12, [[12]]),
        (1, 32, [[12]]),
        (2, 4, [[4], [4]]),
        (5, 2, [[2], [2], [2], [2], [2]]),
        (5, 4, [[3], [3], [2], [2], [2]]),
    ],
)
def test_ragged_batches_are_dropped_unless_alone(sampler_of, world_size, batch_size, sizes):
    for rank in range(world_size):
        batches = DropRaggedBatchSampler(sampler_of(rank, world_size), batch_size)
        assert [len(batch) for batch in batches] == sizes[rank]
        assert len(batches) == len(sizes[rank])


def test_wrong_combinations_are_errors(dataset, sampler_of):
    with pytest.raises(
        TypeError, match=r'EpochSampler needs a dataset whose indices carry the epoch, got list: .*SeededDataset'
    ):
        EpochSampler([1, 2, 3])
    with pytest.raises(ValueError, match='12 samples cannot be shared by 13'):
        sampler_of(0, 13)
    with pytest.raises(TypeError, match='EpochSampler'):
        DropRaggedBatchSampler([0, 1], 2)
    with pytest.raises(ValueError, match='at least 1, got 0'):
        DropRaggedBatchSampler(sampler_of(), 0)


def test_padded_epochs_give_all_processes_as_many(sampler_of, dataset):
    size = len(dataset)
    world = size - 1  # does not divide the size
    own = [list(sampler_of(rank, world, pad=True)) for rank in range(world)]
    assert {len(indices) for indices in own} == {2} == {len(sampler_of(0, world, pad=True))}
    assert {index for indices in own for index in indices} == set(range(size))
    assert list(sampler_of(pad=True)) == list(sampler_of())
