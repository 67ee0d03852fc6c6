"""A gallery: what is found is what the evaluation ranks first; faiss finds the same; files are checked."""

import json
import os
import sys

import numpy as np
import pytest
import torch

from vlprompt.apis import GalleryIndex
from vlprompt.errors import CheckpointError, ConfigError, EnvironmentProblem
from vlprompt.evaluation import ranking

FAKE = """
import numpy as np

class IndexFlatIP:
    def __init__(self, length):
        self.rows, self.ntotal, self.added = np.zeros((0, length), np.float32), 0, []

    def add(self, rows):
        assert rows.dtype == np.float32 and rows.flags.c_contiguous
        self.rows = np.concatenate([self.rows, rows])
        self.ntotal = len(self.rows)
        self.added.append(len(rows))

    def search(self, queries, k):
        products = queries @ self.rows.T
        order = np.argsort(products[:, ::-1], kind='stable')[:, ::-1][:, :k]  # equal ones: the last one first
        order = len(self.rows) - 1 - order
        return np.take_along_axis(products, order, 1), order
"""


@pytest.fixture
def fake_faiss(tmp_path, monkeypatch):
    (tmp_path / 'modules').mkdir()
    (tmp_path / 'modules' / 'faiss.py').write_text(FAKE)
    monkeypatch.syspath_prepend(tmp_path / 'modules')
    monkeypatch.delitem(sys.modules, 'faiss', raising=False)
    yield
    sys.modules.pop('faiss', None)


@pytest.fixture
def drawn():
    generator = torch.Generator().manual_seed(0)
    return 3 * torch.randn(30, 6, generator=generator), torch.randn(7, 6, generator=generator)


def index_of(gallery, backend='exact'):
    index = GalleryIndex(backend)
    index.add(gallery, [f'image {i}' for i in range(len(gallery))])
    return index


def test_search_finds_the_highest_cosines(drawn, monkeypatch):
    monkeypatch.setattr(ranking, 'CELLS', 100)
    gallery, queries = drawn
    index = index_of(gallery)
    found = index.search(queries, k=4)
    expected = torch.nn.functional.cosine_similarity(queries[:, None], gallery[None], dim=2).topk(4)
    assert np.array_equal(found.positions, expected.indices.numpy())
    assert found.similarities.dtype == np.float32
    assert np.allclose(found.similarities, expected.values.numpy(), atol=1e-6)
    assert found.names[2][0] == f'image {int(expected.indices[2, 0])}'
    assert index.search(queries, k=99).positions.shape == (7, 30)
    assert index.search(queries[0].numpy(), k=4).names == found.names[:1]
    assert index.search(queries[:0], k=4).positions.shape == (0, 4)
    assert torch.allclose(index.features.norm(dim=1), torch.ones(30))


def test_the_order_is_that_of_the_metrics(drawn):
    """Average precision of the evaluation, computed from what the index finds."""
    gallery, queries = drawn
    pids = torch.arange(30) % 5
    asked = ranking.Descriptors(queries, torch.arange(7) % 5, torch.zeros(7, dtype=torch.long))
    stored = ranking.Descriptors(gallery, pids, torch.ones(30, dtype=torch.long))
    expected = ranking.score_queries(ranking.euclidean_rows(queries, gallery), asked, stored)
    found = index_of(gallery).search(queries, k=30)
    right = pids.numpy()[found.positions] == asked.pids.numpy()[:, None]
    ranks = [np.flatnonzero(row) + 1 for row in right]
    assert np.allclose([np.mean(np.arange(1, len(r) + 1) / r) for r in ranks], expected.ap)
    assert [r[0] for r in ranks] == expected.first.tolist()


@pytest.mark.parametrize('backend', ['exact', 'faiss'])
def test_equal_descriptors_are_found_in_their_order(fake_faiss, backend):
    rows = torch.eye(3)[[0, 1, 1, 0, 1]]
    found = index_of(rows, backend).search(rows[1], k=5)
    assert found.positions.tolist() == [[1, 2, 4, 0, 3]]


def test_faiss_is_used_where_it_is_installed_and_finds_the_same(drawn, fake_faiss):
    gallery, queries = drawn
    index = GalleryIndex()
    assert index.backend == 'faiss'
    for start in range(0, 30, 10):
        index.add(list(gallery[start : start + 10].numpy()), [f'image {i}' for i in range(start, start + 10)])
        if start < 20:
            index.search(queries, k=1)
    found, expected = index.search(queries, k=4), index_of(gallery).search(queries, k=4)
    assert index._searched.added == [10, 10, 10], 'what is there is not added again'
    assert np.array_equal(found.positions, expected.positions)
    assert np.allclose(found.similarities, expected.similarities, atol=1e-6)
    assert found.names == expected.names


def test_the_real_faiss_finds_the_same(drawn):
    pytest.importorskip('faiss')
    gallery, queries = drawn
    found, expected = (index_of(gallery, backend).search(queries, k=30) for backend in ('faiss', 'exact'))
    assert np.array_equal(found.positions, expected.positions)
    assert np.allclose(found.similarities, expected.similarities, atol=1e-6)


def test_files(drawn, tmp_path):
    gallery, queries = drawn
    index = index_of(gallery)
    index.names[3] = 'M\udce4rz "x".png'
    index.save(tmp_path / 'made' / 'gallery')
    loaded = GalleryIndex.load(tmp_path / 'made' / 'gallery', 'exact')
    assert loaded.names == index.names
    assert torch.allclose(loaded.features, index.features, atol=1e-7)
    assert loaded.search(queries).names == index.search(queries).names
    loaded.add(queries, list('abcdefg'))
    assert loaded.search(queries, k=1).names == [[name] for name in 'abcdefg']


def change(folder, **changed):
    about = json.loads((folder / 'gallery.json').read_text()) | changed
    (folder / 'gallery.json').write_text(json.dumps(about))


@pytest.mark.parametrize(
    ('changed', 'message'),
    [
        (dict(format='other'), r'gallery\.json is not of the format vlprompt-gallery, version 1'),
        (dict(format_version=2), r'not of the format'),
        (dict(names='image'), 'has no list of names'),
        (dict(names=['a', 3]), 'has no list of names'),
        (dict(names=['a']), '2 descriptors and 1 names'),
        (dict(sha256='0'), 'were not written together'),
    ],
)
def test_files_that_are_no_index(changed, message, tmp_path):
    index_of(torch.eye(2)).save(tmp_path)
    change(tmp_path, **changed)
    with pytest.raises(CheckpointError, match=message):
        GalleryIndex.load(tmp_path)


def test_mistakes(tmp_path, monkeypatch):
    monkeypatch.setattr('vlprompt.apis.gallery.find_spec', lambda name: None)
    index = GalleryIndex()
    assert index.backend == 'exact'
    with pytest.raises(EnvironmentProblem, match='pip install faiss-cpu'):
        GalleryIndex('faiss')
    with pytest.raises(ConfigError, match="got 'annoy'"):
        GalleryIndex('annoy')
    for use in (lambda: index.search(torch.ones(1, 2)), lambda: index.save(tmp_path)):
        with pytest.raises(ConfigError, match='the index is empty'):
            use()
    with pytest.raises(ValueError, match='3 descriptors and 2 names'):
        index.add(torch.ones(3, 2), ['a', 'b'])
    with pytest.raises(ValueError, match='1 descriptors and a single name'):
        index.add(torch.ones(1, 2), 'a')
    with pytest.raises(ValueError, match='descriptor 1 has a value that is not finite'):
        index.add(np.array([[1, 2], [np.nan, 1]]), ['a', 'b'])
    with pytest.raises(ValueError, match='descriptor 1 is None: leave images out'):
        index.add([np.ones(2), None], ['a', 'b'])  # of an inferencer that was to skip odd images
    index.add(torch.ones(1, 2), ['a'])
    with pytest.raises(ValueError, match='of length 3, but the index has 2'):
        index.add(torch.ones(1, 3), ['a'])
    with pytest.raises(ValueError, match=r'queries \(1, 3\) do not fit descriptors of length 2'):
        index.search(torch.ones(1, 3))
    with pytest.raises(ValueError, match='k must be at least 1'):
        index.search(torch.ones(1, 2), k=0)
    with pytest.raises(FileNotFoundError, match=r'gallery\.json does not exist'):
        GalleryIndex.load(tmp_path)
    (tmp_path / 'features.npz').touch()
    with pytest.raises(CheckpointError, match='is a file: an index is a folder'):
        GalleryIndex.load(tmp_path / 'features.npz')
    assert os.listdir(tmp_path) == ['features.npz']
