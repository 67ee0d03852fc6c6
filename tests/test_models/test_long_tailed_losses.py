"""A-GCL against published vectors, logit adjustment against its definition."""

import pytest
import torch
import torch.nn.functional as F

from vlprompt.models import AGCLLoss, LogitAdjustedLoss
from vlprompt.models.losses.long_tailed import cloud_sizes

COUNTS = (100, 50, 10, 5)
COSINE = torch.tensor([[0.3, 0.1, -0.2, 0.05], [0, 0.2, 0.4, -0.1]], dtype=torch.double)
EPSILON = torch.tensor([[0.1, 0.2, 0.3, 0.4], [0.5, 0, 0.25, 1]], dtype=torch.double)
TARGET = torch.tensor([3, 0])
PUBLISHED = {  # (gamma+, gamma-, delta): losses of the two samples
    (0, 4, 0.1): (10.185898381994823, 7.583718658086225),
    (0.5, 8, 0.1): (10.18580197809391, 7.581971849654337),
    (0, 4, 0.0): (11.01148555100258, 8.19661492056498),
}


def agcl(counts=COUNTS, **options):
    loss = AGCLLoss(**options)
    loss.set_class_counts(counts)
    return loss


@pytest.mark.parametrize('recipe', PUBLISHED)
def test_agcl_gives_the_published_values(recipe):
    positive, negative, smooth = recipe
    loss = agcl(gamma_pos=positive, gamma_neg=negative, label_smooth=smooth)
    per_sample = loss.per_sample(COSINE, TARGET, EPSILON)
    assert per_sample.tolist() == pytest.approx(PUBLISHED[recipe], rel=1e-12)
    assert loss(COSINE, TARGET, EPSILON).item() == pytest.approx(sum(PUBLISHED[recipe]) / 2, rel=1e-12)


def test_beta_is_a_factor_of_the_loss():
    one, half = agcl(), agcl(weight=0.5)
    torch.testing.assert_close(half(COSINE, TARGET, EPSILON), 0.5 * one(COSINE, TARGET, EPSILON))


def test_cloud_sizes():
    expected = [0, 0.23137821315975915, 0.7686217868402409, 1]
    assert cloud_sizes(torch.tensor(COUNTS, dtype=torch.double)).tolist() == pytest.approx(expected)
    assert cloud_sizes(torch.full((3,), 7.0)).tolist() == [0, 0, 0], 'equal classes have no cloud'


def test_agcl_without_focus_and_smoothing_is_cross_entropy():
    loss = agcl(gamma_pos=0, gamma_neg=0, label_smooth=0, margin=0, noise=0).eval()
    torch.testing.assert_close(loss(COSINE, TARGET), F.cross_entropy(20 * COSINE, TARGET))


def test_agcl_of_the_paper_weighs_negatives_fully():
    smooth, paper = agcl(gamma_neg=2).eval(), agcl(gamma_neg=2, negatives='paper').eval()
    p = (20 * (COSINE - 0.1 * F.one_hot(TARGET, 4))).softmax(-1)
    own = p.gather(1, TARGET[:, None])[:, 0]
    others = (p**2 * p.log()).sum(1) - own**2 * own.log()
    torch.testing.assert_close(paper.per_sample(COSINE, TARGET), -own.log() - others)
    torch.testing.assert_close(smooth.per_sample(COSINE, TARGET), -(0.9 + 0.1 / 4) * own.log() - 0.1 / 4 * others)


def test_agcl_is_finite_where_a_sample_is_perfect():
    cosine = torch.full((1, 12), -1.0)
    cosine[0, 3] = 1
    cosine.requires_grad_()
    loss = AGCLLoss(gamma_pos=0.5).eval()(cosine, torch.tensor([3]))
    loss.backward()
    assert torch.isfinite(loss)
    assert torch.isfinite(cosine.grad).all()


def test_noise_is_drawn_in_training_only_and_bounded(seeded):
    loss = agcl(COUNTS)
    assert loss(COSINE, TARGET) != loss(COSINE, TARGET)
    cloud = loss._cloud(torch.zeros(4000, 4), None)
    assert cloud[:, 0].abs().max() == 0, 'none for the largest class'
    assert 0.45 < cloud[:, 3].max() <= 0.5, 'nu times at most 1'
    assert cloud[:, 3].mean().item() == pytest.approx(0.5 * 0.266, rel=0.05)
    assert loss.eval()(COSINE, TARGET) == loss(COSINE, TARGET)


def test_class_counts_are_needed_and_checked():
    with pytest.raises(RuntimeError, match='DataHook'):
        AGCLLoss()(COSINE, TARGET)
    with pytest.raises(ValueError, match='3 class counts, 4 logits'):
        agcl((3, 2, 1))(COSINE, TARGET)
    with pytest.raises(ValueError, match='class 1 has 0'):
        agcl((3, 0, 1))
    with pytest.raises(ValueError, match='negatives'):
        AGCLLoss(negatives='full')
    AGCLLoss().eval()(COSINE, TARGET)


def test_logit_adjustment():
    loss = LogitAdjustedLoss(tau=0.5)
    loss.set_class_counts(COUNTS)
    prior = torch.tensor(COUNTS) / 165
    torch.testing.assert_close(loss(COSINE, TARGET), F.cross_entropy(COSINE.float() + 0.5 * prior.log(), TARGET))
    torch.testing.assert_close(LogitAdjustedLoss(tau=0)(COSINE, TARGET), F.cross_entropy(COSINE.float(), TARGET))
