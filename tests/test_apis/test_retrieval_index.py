"""Search among stored descriptors."""

import numpy as np
import pytest
import torch

from vlprompt.apis import RetrievalIndex
from vlprompt.evaluation import ranking


def test_search_finds_the_highest_cosines(monkeypatch, tmp_path):
    monkeypatch.setattr(ranking, 'CELLS', 100)
    generator = torch.Generator().manual_seed(0)
    gallery, queries = torch.randn(30, 6, generator=generator), torch.randn(7, 6, generator=generator)
    names = [f'image {i}' for i in range(30)]
    RetrievalIndex(gallery, names).save(tmp_path / 'made' / 'index.npz')
    index = RetrievalIndex.load(tmp_path / 'made' / 'index.npz')
    found = index.search(queries, k=4)
    cosines = torch.nn.functional.cosine_similarity(queries[:, None], gallery[None], dim=2)
    expected = cosines.topk(4)
    assert np.array_equal(found.positions, expected.indices.numpy())
    assert np.allclose(found.similarities, expected.values.numpy(), atol=1e-6)
    assert found.names(index)[2][0] == names[int(expected.indices[2, 0])]
    assert index.search(queries, k=99).positions.shape == (7, 30)


def test_mistakes(tmp_path):
    with pytest.raises(ValueError, match=r'\(3, 2\) features and 2 names'):
        RetrievalIndex(torch.ones(3, 2), ['a', 'b'])
    with pytest.raises(ValueError, match=r'queries \(1, 3\) do not fit descriptors of length 2'):
        RetrievalIndex(torch.ones(2, 2), ['a', 'b']).search(torch.ones(1, 3))
    np.savez(tmp_path / 'other.npz', weights=np.ones(2))
    with pytest.raises(ValueError, match=r"other.npz holds a dictionary with 'weights'; an index has features"):
        RetrievalIndex.load(tmp_path / 'other.npz')
