"""Alignments against sums written out by hand."""

import re

import pytest
import torch
import torch.nn.functional as F
from torch._subclasses.fake_tensor import FakeTensorMode

from vlprompt.alignment import CosineAlignment, TransportAlignment, UniformAlignment, sinkhorn
from vlprompt.clip.features import ClipFeatures

B, P, K, D, H, W = 3, 4, 5, 8, 2, 3
SCALE = torch.tensor(10.0)


@pytest.fixture
def features(seeded):
    return ClipFeatures(cls=torch.randn(B, D), local=torch.randn(B, H * W, D), maps=(), grid=(H, W))


@pytest.fixture
def text(features):
    return torch.randn(P, K, D, requires_grad=True)


def cosine(a, b):
    return (a @ b / (a.norm() * b.norm())).item()


def loops(features, text):
    """S[b, k, m, n] one by one."""
    return torch.tensor(
        [
            [[[cosine(features.local[b, m], text[n, k]) for n in range(P)] for m in range(H * W)] for k in range(K)]
            for b in range(B)
        ]
    )


def test_cosine_logits_ensemble_is_a_vote(features, text):
    logits = CosineAlignment('logits')(features, text, SCALE).logits
    expected = [
        [10 * sum(cosine(features.cls[b], text[n, k]) for n in range(P)) / P for k in range(K)] for b in range(B)
    ]
    torch.testing.assert_close(logits, torch.tensor(expected))


def test_cosine_features_ensemble_normalises_the_mean(features, text):
    logits = CosineAlignment('features')(features, text, SCALE).logits
    mean = [sum(F.normalize(text[n, k], dim=0) for n in range(P)) for k in range(K)]
    expected = [[10 * cosine(features.cls[b], mean[k]) for k in range(K)] for b in range(B)]
    torch.testing.assert_close(logits, torch.tensor(expected))


def test_ensembles_agree_for_one_prompt(features, text):
    a, b = (CosineAlignment(e)(features, text[:1], SCALE).logits for e in ('features', 'logits'))
    torch.testing.assert_close(a, b)


def test_uniform_is_the_mean_similarity(features, text):
    aligned = UniformAlignment()(features, text, SCALE)
    similarity = loops(features, text)
    torch.testing.assert_close(aligned.logits, 10 * similarity.mean((2, 3)), atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(aligned.maps, similarity.mean(-1).reshape(B, K, H, W), atol=1e-6, rtol=1e-5)
    assert aligned.log['plan_entropy'].item() == pytest.approx(1)


@pytest.mark.parametrize('global_weight', [0.0, 1.0, 0.5])
def test_transport_is_the_similarity_under_the_plan(features, text, global_weight):
    aligned = TransportAlignment(max_iters=50, global_weight=global_weight)(features, text, SCALE)
    similarity = loops(features, text)
    plan = sinkhorn(1 - similarity, 0.1, 'fixed', 50).plan
    expected = 10 * (plan * similarity).sum((2, 3))
    mean = text.mean(0)
    expected += global_weight * torch.tensor(
        [[10 * cosine(features.cls[b], mean[k]) for k in range(K)] for b in range(B)]
    )
    torch.testing.assert_close(aligned.plan, plan, atol=1e-6, rtol=1e-5)
    torch.testing.assert_close(aligned.logits, expected, atol=1e-5, rtol=1e-5)


def test_gradient_of_the_logits_is_the_plan(features):
    """dz/dS = T: with orthonormal unit prompts and frozen norms, S is linear in the text up to normalisation."""
    text = torch.randn(P, K, D, requires_grad=True)
    aligned = TransportAlignment()(features, text, SCALE)
    (gradient,) = torch.autograd.grad(aligned.logits.sum(), text)
    local, unit = F.normalize(features.local, dim=-1), F.normalize(text.detach(), dim=-1)
    towards = 10 * torch.einsum('bkmp,bmd->pkd', aligned.plan, local)
    tangent = towards - (towards * unit).sum(-1, keepdim=True) * unit
    torch.testing.assert_close(gradient, tangent / text.detach().norm(dim=-1, keepdim=True), atol=1e-5, rtol=1e-4)


def test_one_prompt_under_transport_is_uniform(features, text):
    transport = TransportAlignment()(features, text[:1], SCALE).logits
    torch.testing.assert_close(transport, UniformAlignment()(features, text[:1], SCALE).logits)


def test_transport_under_autocast_stays_in_full_precision(features, text):
    with torch.autocast('cpu', dtype=torch.bfloat16):
        aligned = TransportAlignment()(features, text, SCALE)
    torch.testing.assert_close(aligned.logits, TransportAlignment()(features, text, SCALE).logits)


def test_transport_reads_nothing_from_the_device():
    with FakeTensorMode():
        features = ClipFeatures(cls=torch.randn(B, D), local=torch.randn(B, H * W, D), maps=(), grid=(H, W))
        logits = TransportAlignment()(features, torch.randn(P, K, D), torch.tensor(10.0)).logits
    assert logits.shape == (B, K)


@pytest.mark.parametrize(
    ('arguments', 'message'),
    [
        (dict(), None),
        (dict(eps=0.02), r'eps=0\.02 .* too small for float32: raise model\.alignment\.eps or set .*log'),
        (dict(dtype='float16'), r'eps=0\.1 .* too small for float16'),
        (dict(eps=0.02, method='legacy'), 'float32'),
        (dict(eps=0.02, method='log'), None),
    ],
    ids=str,
)
def test_transport_says_when_its_plan_may_not_be_finite(arguments, message):
    hint = TransportAlignment(**arguments).non_finite_hint
    assert re.search(message, hint) if message else hint is None


def test_missing_local_tokens_and_bad_arguments_are_named(features, text):
    features.local = None
    with pytest.raises(ValueError, match='local=True'):
        UniformAlignment()(features, text, SCALE)
    with pytest.raises(ValueError, match='method'):
        TransportAlignment(method='exact')
    with pytest.raises(ValueError, match='dtype'):
        TransportAlignment(dtype='single')
    with pytest.raises(ValueError, match='ensemble'):
        CosineAlignment('sum')


MARGINALS = {
    'class_token': dict(marginals='class_token'),
    'text': dict(marginals='text', marginal_temperature=0.2),
}


def mass_by_hand(kind, features, similarity):
    """(B, M)."""
    if kind == 'class_token':
        return features.saliency
    best = similarity.detach().amax(dim=(1, 3)) / 0.2
    return best.exp() / best.exp().sum(1, keepdim=True)


@pytest.fixture
def salient(features):
    features.saliency = torch.rand(B, H * W).softmax(1)
    return features


@pytest.mark.parametrize('kind', MARGINALS)
def test_marginals_by_saliency(salient, text, kind):
    similarity = loops(salient, text)
    mass = mass_by_hand(kind, salient, similarity)
    uniform = UniformAlignment(**MARGINALS[kind])(salient, text, SCALE)
    weighted = (mass[:, None, :, None] * similarity).sum((2, 3)) / P
    torch.testing.assert_close(uniform.logits, 10 * weighted, atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(uniform.plan.sum(-1), mass[:, None].expand(B, K, -1))

    transport = TransportAlignment(max_iters=200, **MARGINALS[kind])(salient, text, SCALE)
    torch.testing.assert_close(transport.plan.sum(-1), mass[:, None].expand(B, K, -1), atol=1e-5, rtol=1e-4)
    torch.testing.assert_close(transport.plan.sum(-2), torch.full((B, K, P), 1 / P), atol=1e-6, rtol=1e-5)
    torch.testing.assert_close(transport.logits, 10 * (transport.plan * similarity).sum((2, 3)), atol=1e-5, rtol=1e-5)
    one = TransportAlignment(**MARGINALS[kind])(salient, text[:1], SCALE).logits
    torch.testing.assert_close(one, UniformAlignment(**MARGINALS[kind])(salient, text[:1], SCALE).logits)


@pytest.mark.parametrize('kind', MARGINALS)
def test_marginals_are_constants_for_the_gradient(salient, text, kind):
    """dz/dS = T also with given marginals; nothing flows through the saliency."""
    salient.saliency.requires_grad_()
    salient.local.requires_grad_()
    aligned = TransportAlignment(**MARGINALS[kind])(salient, text, SCALE)
    gradient, local = torch.autograd.grad(aligned.logits.sum(), [text, salient.local])
    lengths = salient.local.detach().norm(dim=-1, keepdim=True)
    image, unit = F.normalize(salient.local.detach(), dim=-1), F.normalize(text.detach(), dim=-1)
    towards = 10 * torch.einsum('bkmp,bmd->pkd', aligned.plan, image)
    tangent = towards - (towards * unit).sum(-1, keepdim=True) * unit
    torch.testing.assert_close(gradient, tangent / text.detach().norm(dim=-1, keepdim=True), atol=1e-5, rtol=1e-4)
    towards = 10 * torch.einsum('bkmp,pkd->bmd', aligned.plan, unit)
    tangent = towards - (towards * image).sum(-1, keepdim=True) * image
    torch.testing.assert_close(local, tangent / lengths, atol=1e-5, rtol=1e-4)
    assert not aligned.plan.requires_grad


@pytest.mark.parametrize(
    ('arguments', 'message'),
    [
        (dict(marginals='saliency'), "marginals must be one of uniform, class_token, text, got 'saliency'"),
        (dict(marginals='text'), 'needs a marginal_temperature > 0, such as 0.1, got None'),
        (dict(marginals='text', marginal_temperature=0.0), 'marginal_temperature > 0'),
        (dict(marginal_temperature=0.1), "no effect on marginals='uniform'"),
        (dict(marginals='class_token', marginal_temperature=0.1), "no effect on marginals='class_token'"),
    ],
    ids=str,
)
@pytest.mark.parametrize('alignment', [UniformAlignment, TransportAlignment])
def test_marginals_that_do_not_exist_or_lack_a_temperature(alignment, arguments, message):
    with pytest.raises(ValueError, match=f'{alignment.__name__}: .*{message}'):
        alignment(**arguments)


def test_marginals_without_saliency_are_named(features, text):
    with pytest.raises(ValueError, match='saliency=True'):
        TransportAlignment(marginals='class_token')(features, text, SCALE)


@pytest.mark.parametrize(
    ('argument', 'message'),
    [
        (dict(eps=-1), 'eps must be > 0, got -1'),
        (dict(eps=0), 'eps must be > 0, got 0'),
        (dict(max_iters=0), 'max_iters must be >= 1, got 0'),
        (dict(tol=-0.1), 'tol must be >= 0, got -0.1'),
    ],
    ids=str,
)
def test_numbers_that_no_solver_takes_are_named(argument, message):
    with pytest.raises(ValueError, match=f'TransportAlignment: {message}'):
        TransportAlignment(**argument)


@pytest.mark.parametrize(
    'alignment',
    [
        CosineAlignment('features'),
        CosineAlignment('logits'),
        UniformAlignment(0.5),
        TransportAlignment(global_weight=1.0),
        TransportAlignment(marginals='class_token'),
        UniformAlignment(marginals='text', marginal_temperature=0.5),
    ],
    ids=['features', 'logits', 'uniform', 'transport', 'class token', 'text'],
)
def test_text_of_each_image_is_the_loop_over_images(salient, alignment):
    features = salient
    text = torch.randn(B, P, K, D)
    aligned = alignment(features, text, SCALE)
    for b in range(B):
        image = ClipFeatures(
            features.cls[b : b + 1], features.local[b : b + 1], (), (H, W), features.saliency[b : b + 1]
        )
        expected = alignment(image, text[b], SCALE)
        torch.testing.assert_close(aligned.logits[b], expected.logits[0], atol=1e-5, rtol=1e-5)
        if expected.plan is not None:
            torch.testing.assert_close(aligned.plan[b], expected.plan[0])
            torch.testing.assert_close(aligned.maps[b], expected.maps[0])
    shared = alignment(features, text[0], SCALE).logits
    per_image = alignment(features, text[:1].expand(B, -1, -1, -1), SCALE).logits
    torch.testing.assert_close(shared, per_image, atol=1e-5, rtol=1e-5)
