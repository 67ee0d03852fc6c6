"""One pass over a dataset: order, mode of the model, processes that share the work."""

import pytest
import torch
from torch import nn
from torch.utils.data import Dataset

from vlprompt.engine import features as module
from vlprompt.engine.features import compute_features


class Numbers(Dataset):
    """Images (1,) that are their own number."""

    def __init__(self, size):
        self.size = size

    def __len__(self):
        return self.size

    def __getitem__(self, index):
        return dict(inputs=torch.tensor([float(index)]), data_samples=index)


class Model(nn.Module):
    def __init__(self):
        super().__init__()
        self.scale = nn.Parameter(torch.tensor(2.0))

    def data_preprocessor(self, batch):
        return dict(inputs=torch.stack(batch['inputs']), data_samples=batch['data_samples'])

    def squares(self, batch):
        assert not self.training
        assert len(batch['inputs']) <= 4
        return dict(value=self.scale * batch['inputs'], label=torch.tensor(batch['data_samples']))


@pytest.mark.parametrize('workers', [0, 1])
def test_features_come_in_the_order_of_the_dataset(workers):
    model = Model()
    found = compute_features(model.squares, model, Numbers(10), batch_size=4, num_workers=workers)
    assert torch.equal(found['value'], 2 * torch.arange(10.0)[:, None])
    assert torch.equal(found['label'], torch.arange(10))
    assert not found['value'].requires_grad
    assert model.training


def test_the_mode_of_the_model_is_restored_after_an_error():
    model = Model().eval()
    with pytest.raises(ZeroDivisionError):
        compute_features(lambda batch: 1 / 0, model, Numbers(3))
    assert not model.training
    with pytest.raises(ValueError, match='dataset is empty'):
        compute_features(model.squares, model, Numbers(0))


@pytest.mark.parametrize(('size', 'processes'), [(10, 1), (10, 3), (2, 4)])
def test_processes_share_the_images_and_get_all(monkeypatch, size, processes):
    model, sent = Model(), {}

    def run(rank, gather):
        monkeypatch.setattr(module, 'get_dist_info', lambda: (rank, processes))
        monkeypatch.setattr(module, 'all_gather', gather)
        return compute_features(model.squares, model, Numbers(size), batch_size=4)

    for rank in range(processes):
        sent[rank] = []
        run(rank, lambda rows, rank=rank: [sent[rank].append(rows), *[rows] * processes][1:])
    if processes > 1:
        assert sum(len(rows[0].unique()) for rows in sent.values()) <= size + processes  # nobody computes all
    for rank in range(processes):
        position = iter(range(2))
        found = run(rank, lambda _, position=position: _at(sent, next(position)))
        assert torch.equal(found['value'], 2 * torch.arange(float(size))[:, None])
        assert torch.equal(found['label'], torch.arange(size))


def _at(sent, position):
    return [sent[rank][position] for rank in sorted(sent)]
