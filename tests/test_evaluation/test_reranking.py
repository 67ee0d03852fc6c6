"""Sparse re-ranking against the dense definition and the published implementation's numbers."""

import numpy as np
import pytest
import torch
from retrieval_reference import rerank

from vlprompt.evaluation import RetrievalMetric, ranking
from vlprompt.evaluation.reranking import rerank_rows


def clustered(total, seed, dim=12, dtype=torch.float64):
    generator = torch.Generator().manual_seed(seed)
    centres = torch.randn(total // 8, dim, generator=generator, dtype=torch.float64)
    features = centres.repeat(10, 1)[:total] + 0.6 * torch.randn(total, dim, generator=generator, dtype=torch.float64)
    return torch.nn.functional.normalize(features, dim=1).to(dtype)


@pytest.mark.parametrize(
    ('total', 'k1', 'k2', 'lambda_value'),
    [(150, 20, 6, 0.3), (150, 9, 1, 0.0), (90, 50, 15, 0.3), (150, 25, 4, 0.7), (30, 29, 2, 1.0)],
)
def test_sparse_equals_dense(total, k1, k2, lambda_value, monkeypatch):
    monkeypatch.setattr(ranking, 'CELLS', 1000)
    features, queries = clustered(total, seed=k1), total // 5
    rows = rerank_rows(features[:queries], features[queries:], k1, k2, lambda_value)
    result = torch.cat([rows(0, 4), rows(4, queries)])
    assert np.abs(result.numpy() - rerank(features.numpy(), queries, k1, k2, lambda_value)).max() < 1e-12


@pytest.mark.slow
def test_sparse_equals_dense_for_two_thousand_images():
    features = clustered(2000, seed=1)
    rows = rerank_rows(features[:200], features[200:])
    dense = rerank(features.numpy(), 200, 20, 6, 0.3)
    assert np.abs(rows(0, 200).numpy() - dense).max() < 1e-12
    single = rerank_rows(features[:200].float(), features[200:].float())
    assert np.abs(single(0, 200).numpy() - dense).max() < 1e-5


@pytest.mark.parametrize(('k1', 'k2', 'lambda_value'), [(20, 6, 3), (50, 15, 3), (20, 1, 3), (20, 6, 0)])
def test_published_numbers(golden, k1, k2, lambda_value):
    """Against float64; the published half-precision vectors are up to 5e-3 away."""
    _, stored = golden.load('clipreid/eval')
    features = torch.from_numpy(stored['rr_feat']).double()
    result = rerank_rows(features[:60], features[60:], k1, k2, lambda_value / 10)(0, 60).numpy()
    name = f'rr_{k1}_{k2}_{lambda_value}'
    assert np.abs(result - stored[name]).max() < 6e-3
    if f'{name}_exact' in stored:
        assert np.abs(result - stored[f'{name}_exact']).max() < 1e-6


def test_metric_reports_both_rankings(golden):
    _, stored = golden.load('clipreid/eval')
    data = (torch.from_numpy(stored['rr_feat']), stored['rr_pids'], stored['rr_camids'], np.arange(260) < 60)
    metrics = RetrievalMetric(rerank=dict(), topk=[1]).calculate(*data)
    assert metrics['reranked_mAP'] / 100 == pytest.approx(float(stored['rr_20_6_3_exact_mAP']), abs=1e-6)
    assert metrics['mAP'] < metrics['reranked_mAP']
    published = RetrievalMetric(rerank=dict(k1=50, k2=15), topk=[1]).calculate(*data)
    assert published['reranked_mAP'] / 100 == pytest.approx(float(stored['rr_50_15_3_exact_mAP']), abs=1e-6)


def test_copies_of_one_image():
    """Of more copies than neighbours only the first are in anybody's list; the others share nothing with any image."""
    copies, others = torch.eye(4, dtype=torch.float64)[:1].repeat(30, 1), torch.eye(4, dtype=torch.float64)[1:]
    result = rerank_rows(copies[:4], torch.cat([copies[4:], others]), k1=5, k2=1)(0, 4)
    assert torch.allclose(result, torch.tensor([0.0] * 2 + [0.7] * 24 + [1.0] * 3, dtype=torch.float64).expand(4, -1))
    late = rerank_rows(copies[:8], copies[8:], k1=5, k2=1)(6, 8)
    assert torch.allclose(late, torch.full((2, 22), 0.7, dtype=torch.float64))


@pytest.mark.parametrize('options', [dict(k1=20), dict(k1=0), dict(k1=5, k2=7), dict(k1=5, lambda_value=1.5)])
def test_impossible_arguments(options):
    with pytest.raises(ValueError, match='of 20 images needs 1 <= k1 < 20'):
        rerank_rows(torch.eye(20)[:5], torch.eye(20)[5:], **options)
