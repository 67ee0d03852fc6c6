import itertools
import math

import numpy as np
import pytest
import scipy.spatial.distance as distance
import torch

from vlprompt.evaluation.feature_analysis import class_spread, knn_predict, lda_projection, prompt_usage


@pytest.fixture
def clusters():
    """(90, 6) features of three classes of 50, 30 and 10, and their labels, shuffled."""
    rng = np.random.default_rng(0)
    labels = rng.permutation(np.repeat([0, 1, 2], [50, 30, 10]))
    features = rng.normal(size=(90, 6)) * 1.3 + rng.normal(size=(3, 6))[labels] * 1.5 + 2
    return features, labels


def vote(ranked):
    """Majority of labels sorted from the nearest on, ties to the nearest."""
    return max(ranked, key=lambda label: (ranked.count(label), -ranked.index(label)))


@pytest.mark.parametrize('metric', ['cosine', 'euclidean'])
def test_neighbours_against_a_loop(clusters, metric):
    features, labels = clusters
    bank, queries = features[:60], features[60:]
    order = distance.cdist(queries, bank, metric).argsort(1)
    found = knn_predict(
        torch.from_numpy(queries), torch.from_numpy(bank), torch.from_numpy(labels[:60]), (1, 2, 5, 60), metric, block=7
    )
    for k, predicted in found.items():
        expected = [vote(labels[row[:k]].tolist()) for row in order]
        assert predicted.tolist() == expected, k


def test_of_tied_classes_the_nearest_wins():
    bank = torch.tensor([[0.0], [1.0], [2.0], [3.0]])
    labels = torch.tensor([7, 3, 3, 7])
    found = knn_predict(torch.tensor([[0.9], [0.1]]), bank, labels, (2, 4), 'euclidean')
    assert {k: v.tolist() for k, v in found.items()} == {2: [3, 7], 4: [3, 7]}


def test_impossible_neighbours():
    one = torch.ones(1, 2)
    with pytest.raises(ValueError, match=r'in 1\.\.1, the size of the bank; got \[2\]'):
        knn_predict(one, one, torch.zeros(1).long(), (2,))
    with pytest.raises(ValueError, match="'cosine' or 'euclidean', got 'dot'"):
        knn_predict(one, one, torch.zeros(1).long(), (1,), 'dot')


def test_spread_against_the_formulas(clusters):
    features, labels = clusters
    labels = labels * 2  # class 1 and 3 have no features
    spread = class_spread(torch.from_numpy(features), torch.from_numpy(labels))
    centres = {c: features[labels == c].mean(0) for c in (0, 2, 4)}
    inner = {c: np.mean([math.dist(f, centres[c]) for f in features[labels == c]]) for c in centres}
    pairs = list(itertools.combinations(centres, 2))
    between = [math.dist(centres[a], centres[b]) for a, b in pairs]
    assert spread.inner.numpy() == pytest.approx(list(inner.values()), rel=1e-6)
    assert spread.inner_mean == pytest.approx(np.mean(list(inner.values())))
    assert spread.inner_std == pytest.approx(np.std(list(inner.values()), ddof=1))
    assert spread.ratio == pytest.approx(spread.inner_mean / np.mean(between))
    expected = np.mean([(inner[a] + inner[b]) / d for (a, b), d in zip(pairs, between, strict=True)])
    assert spread.ratio_pairs == pytest.approx(expected)
    assert spread.norm == pytest.approx(np.linalg.norm(features, axis=1).mean())


def test_spread_needs_two_classes():
    with pytest.raises(ValueError, match='at least two of them, got 1'):
        class_spread(torch.ones(3, 2), torch.zeros(3).long())


def test_two_groups_are_separated_along_fishers_direction(clusters):
    features, labels = clusters
    features, labels = features[labels < 2], labels[labels < 2]
    first, second = features[labels == 0], features[labels == 1]
    scatter = (len(first) * np.cov(first.T, bias=True) + len(second) * np.cov(second.T, bias=True)) / len(features)
    fisher = np.linalg.solve(scatter, second.mean(0) - first.mean(0))
    (direction,) = lda_projection(features, labels, 1, ridge=0).T
    assert abs(direction @ fisher) / np.linalg.norm(direction) / np.linalg.norm(fisher) == pytest.approx(1)
    assert direction @ scatter @ direction == pytest.approx(1)


def test_directions_maximise_the_ratio_of_scatters_in_falling_order(clusters):
    features, labels = clusters
    directions = lda_projection(features, labels, 2)
    assert directions.shape == (6, 2)

    def quality(w):
        projected = features @ w
        means = np.array([projected[labels == c].mean() for c in range(3)])[labels]
        return np.var(means) / np.mean((projected - means) ** 2)

    first, second = (quality(w) for w in directions.T)
    assert first > second
    rng = np.random.default_rng(1)
    assert all(quality(rng.normal(size=6)) < first for _ in range(200))
    with pytest.raises(ValueError, match='3 groups are separated by at most 2 directions, not 3'):
        lda_projection(features, labels, 3)


def test_all_directions_against_whitening(clusters):
    """After whitening within groups they are the principal ones of the group means: scikit-learn's way."""
    features, labels = clusters
    means = np.stack([features[labels == c].mean(0) for c in range(3)])[labels]
    within = np.cov((features - means).T, bias=True)
    within += 1e-4 * np.trace(within) / 6 * np.eye(6)
    values, vectors = np.linalg.eigh(within)
    whiten = vectors / np.sqrt(values)
    _, _, principal = np.linalg.svd((means - features.mean(0)) @ whiten, full_matrices=False)
    expected = features @ whiten @ principal[:2].T
    found = features @ lda_projection(features, labels, 2)
    np.testing.assert_allclose(found * np.sign(found[0] * expected[0]), expected, rtol=1e-9, atol=1e-9)


def test_more_dimensions_than_features():
    features = np.random.default_rng(0).normal(size=(10, 40))
    assert np.isfinite(lda_projection(features, np.arange(10) % 3)).all()


def test_usage_of_prompts():
    matched = torch.tensor([[0, 1], [1, 0], [0, 3], [1, 0]])
    usage = prompt_usage(matched, 5)
    assert usage.counts.tolist() == [4, 3, 0, 1, 0]
    assert usage.used == 3
    shares = np.array([4, 3, 1]) / 8
    assert usage.entropy == pytest.approx(-(shares * np.log(shares)).sum() / np.log(5))
    assert usage.top_set == 0.75
    even = prompt_usage(torch.arange(6)[:, None], 6)
    assert (even.used, even.entropy, even.top_set) == (6, pytest.approx(1), pytest.approx(1 / 6))
    assert prompt_usage(torch.zeros(3, 1).long(), 4).entropy == 0
