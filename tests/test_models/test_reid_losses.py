"""Losses of CLIP-ReID against hand-computed values and plain loops."""

import math

import pytest
import torch
from torch.nn import functional as F

from vlprompt.models.losses.contrastive import supervised_contrastive
from vlprompt.models.losses.triplet import batch_hard_triplet, hard_distances

A = torch.tensor([[1.0, 0], [0, 1], [1, 1]])
K = torch.tensor([[1.0, 0], [0, 2], [1, 0]])
Y = torch.tensor([0, 1, 0])


def test_contrast_by_hand():
    assert supervised_contrastive(A, K, Y, Y).item() == pytest.approx(0.88432809, rel=1e-6)
    assert supervised_contrastive(K, A, Y, Y).item() == pytest.approx(0.82753776, rel=1e-6)


def test_contrast_loop():
    torch.manual_seed(0)
    anchors, others = torch.randn(5, 4), torch.randn(7, 4)
    ya, yk = torch.tensor([0, 1, 1, 2, 0]), torch.tensor([2, 1, 0, 0, 1, 2, 2])
    total = 0.0
    for a, y in zip(anchors, ya, strict=True):
        scores = torch.stack([a @ k for k in others])
        own = [scores[j] - scores.exp().sum().log() for j in range(7) if yk[j] == y]
        total -= sum(own) / len(own) / 5
    torch.testing.assert_close(supervised_contrastive(anchors, others, ya, yk), total)


def test_contrast_survives_large_logits_and_half_precision_rounds():
    exact = supervised_contrastive(30 * A, 30 * K, Y, Y)
    assert exact.isfinite()
    half = supervised_contrastive(3 * A + 0.01, K, Y, Y, half=True)
    full = supervised_contrastive(3 * A + 0.01, K, Y, Y)
    assert half.dtype == torch.float32
    assert 0 < abs(half - full) < 0.02


@pytest.mark.parametrize('half', [False, True])
def test_contrast_leaves_out_what_is_labelled_minus_one(half):
    """Without selecting rows, whose number would have to be read from the device."""
    torch.manual_seed(0)
    labels = torch.tensor([0, -1, 1, 0, -1])
    real = labels >= 0
    gradients = []
    for chosen in (slice(None), real):
        anchors, others = (torch.randn(5, 4, generator=torch.Generator().manual_seed(i)) for i in (1, 2))
        anchors.requires_grad_(), others.requires_grad_()
        loss = supervised_contrastive(anchors[chosen], others[chosen], labels[chosen], labels[chosen], half=half)
        loss.backward()
        gradients.append((loss.detach(), anchors.grad, others.grad))
    torch.testing.assert_close(*gradients)
    assert not gradients[0][1][~real].any()

    nothing = torch.full((5,), -1)
    anchors = torch.randn(5, 4, requires_grad=True)
    loss = supervised_contrastive(anchors, others.detach(), nothing, nothing, half=half)
    loss.backward()
    assert loss.item() == 0
    assert not anchors.grad.any()


def test_contrast_of_nothing():
    with pytest.raises(ValueError, match='batch is empty'):
        supervised_contrastive(A[:0], K[:0], Y[:0], Y[:0])


def test_losses_stay_in_float32_under_autocast():
    with torch.autocast('cpu', dtype=torch.bfloat16):
        torch.testing.assert_close(supervised_contrastive(A * 3.1, K, Y, Y), supervised_contrastive(A * 3.1, K, Y, Y))
        inside = batch_hard_triplet(A * 17.3, Y)
    torch.testing.assert_close(inside, batch_hard_triplet(A * 17.3, Y), rtol=0, atol=0)


def test_triplet_by_hand():
    features = torch.tensor([[0.0, 0], [1, 0], [0, 2], [3, 4]])
    loss = batch_hard_triplet(features, torch.tensor([0, 0, 1, 1]))
    assert loss.item() == pytest.approx(0.47638782, rel=1e-6)


def test_soft_margin():
    """Corners of a rectangle: the diagonal is the positive, the short side the hardest negative."""
    features, labels = torch.tensor([[0.0, 0], [1, 0], [0, 2], [1, 2]]), torch.tensor([0, 1, 1, 0])
    loss = batch_hard_triplet(features, labels, margin=None)
    assert loss.item() == pytest.approx(math.log1p(math.exp(5**0.5 - 1)), rel=1e-6)


def test_hardest_pairs():
    torch.manual_seed(0)
    features, labels = torch.randn(12, 6), torch.arange(12) % 3
    distances = torch.cdist(features, features)
    far, near = hard_distances(features, labels)
    for i in range(12):
        same = labels == labels[i]
        torch.testing.assert_close(far[i], distances[i][same].max())
        torch.testing.assert_close(near[i], distances[i][~same].min())


def test_half_precision_products_are_noisy():
    torch.manual_seed(0)
    features, labels = torch.randn(16, 64) * 4, torch.arange(16) // 4
    full, half = hard_distances(features, labels)[0], hard_distances(features, labels, half=True)[0]
    assert 0 < (full.square() - half.square()).abs().max() < 2


def test_triplet_without_a_negative_is_no_number():
    for margin in (0.3, None):
        assert batch_hard_triplet(A, torch.zeros(3, dtype=torch.long), margin).isnan()


def test_smoothed_cross_entropy_is_the_published_one():
    loss = F.cross_entropy(torch.tensor([[2.0, 1, 0]]), torch.tensor([0]), label_smoothing=0.1)
    assert loss.item() == pytest.approx(0.50760596, rel=1e-6)
