"""Solvers: what their formulas imply, what they refuse, and how hyper-parameters are chosen."""

import inspect
import math
import re
from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F

from vlprompt.arguments import choices
from vlprompt.registry import MODELS
from vlprompt.solvers import (
    CLAP,
    GDA,
    LinearProbe,
    LPPlusPlus,
    PlotAdapter,
    ProKeR,
    Shots,
    Solver,
    TipAdapter,
    TipAdapterF,
    plot_adapter,
    tune,
)
from vlprompt.solvers.base import class_weights, zero_shot
from vlprompt.solvers.clap import loss_and_gradient
from vlprompt.solvers.proker import kernel, upper_kernel
from vlprompt.solvers.tip_adapter import cache_logits

CLASSES, DIM, SCALE = 4, 12, 30.0

BUILD = dict(
    tip=lambda **options: TipAdapter(**dict(search_scale=(3, 3), search_step=(4, 3)) | options),
    tip_f=lambda **options: TipAdapterF(**dict(epochs=2, search_scale=(3, 3), search_step=(2, 2)) | options),
    gda=lambda **options: GDA(**options),
    proker=lambda **options: ProKeR(**dict(betas=(0.5, 3, 3), lambdas=(0.01, 1, 2)) | options),
    lpp=lambda **options: LPPlusPlus(**dict(steps=20) | options),
    clap=lambda **options: CLAP(**dict(epochs=3, batch_size=1000) | options),
    linear=lambda **options: LinearProbe(**options),
)


def features(count, generator, labels=None):
    """(``count``, DIM) around one prototype per class, with norms other than 1, and their labels."""
    prototypes = torch.randn(CLASSES, DIM, generator=torch.Generator().manual_seed(5), dtype=torch.float64)
    labels = torch.arange(count) % CLASSES if labels is None else labels
    noise = torch.randn(count, DIM, generator=generator, dtype=torch.float64)
    return 3 * (prototypes[labels] + 0.8 * noise), labels


@pytest.fixture
def shots():
    generator = torch.Generator().manual_seed(0)
    labels = torch.arange(12) % CLASSES
    views = torch.stack([features(12, generator, labels)[0] for _ in range(3)], 1)
    text = torch.randn(CLASSES, DIM, generator=generator, dtype=torch.float64) + features(CLASSES, generator)[0]
    return Shots(views, labels, F.normalize(text, dim=-1), SCALE)


@pytest.fixture
def queries():
    return features(30, torch.Generator().manual_seed(1))


def fitted(name, shots, **options):
    solver = BUILD[name](**options)
    solver.fit(shots)
    return solver


def logits(solver, shots, queries):
    return solver(queries[0], shots.text, shots.scale)


def test_rows_are_pass_major_and_means_of_unit_norm(shots):
    rows, labels = shots.rows()
    assert torch.equal(rows[:12], shots.features[:, 0])
    assert torch.equal(rows[12:24], shots.features[:, 1])
    assert torch.equal(labels, shots.labels.repeat(3))
    torch.testing.assert_close(shots.averaged().norm(dim=-1), torch.ones(12, dtype=torch.float64))
    torch.testing.assert_close(shots.averaged(1), F.normalize(shots.features[:, 0], dim=-1))


def test_class_weights():
    text = torch.randn(3, CLASSES, DIM)
    torch.testing.assert_close(class_weights(text, raw=True), text.mean(0))
    expected = F.normalize(F.normalize(text, dim=-1).mean(0), dim=-1)
    torch.testing.assert_close(class_weights(text), expected)


@pytest.mark.parametrize('name', BUILD)
def test_order_of_images_and_classes_does_not_matter(name, shots, queries):
    expected = logits(fitted(name, shots), shots, queries)
    order = torch.randperm(12, generator=torch.Generator().manual_seed(3))
    other = replace(shots, features=shots.features[order], labels=shots.labels[order])
    torch.testing.assert_close(logits(fitted(name, other), other, queries), expected, rtol=1e-4, atol=1e-6)
    classes = torch.tensor([2, 0, 3, 1])  # new label of every class
    other = replace(shots, labels=classes[shots.labels], text=shots.text[classes.argsort()])
    torch.testing.assert_close(logits(fitted(name, other), other, queries)[:, classes], expected, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize('name', BUILD)
def test_float32_agrees_with_float64(name, shots, queries):
    single = replace(shots, features=shots.features.float(), text=shots.text.float())
    solver = fitted(name, single)
    ours = solver(queries[0].float(), single.text, SCALE)
    assert ours.dtype == torch.float32
    exact = logits(fitted(name, shots), shots, queries)
    assert (ours - exact).abs().max() < 1e-4 * exact.abs().max()


def test_gda_is_bayes_rule_of_gaussians(shots, queries):
    solver = fitted('gda', shots, alpha=1.0)
    rows, labels = shots.rows()
    rows = F.normalize(rows, dim=-1)
    means = torch.stack([rows[labels == c].mean(0) for c in range(CLASSES)])
    centred = rows - means[labels]
    covariance = centred.t() @ centred / (len(rows) - 1)
    precision = DIM * torch.linalg.inv((len(rows) - 1) * covariance + covariance.trace() * torch.eye(DIM).double())
    x = F.normalize(queries[0], dim=-1)
    gaussian = torch.distributions.MultivariateNormal(means.unsqueeze(1), precision_matrix=precision)
    density = gaussian.log_prob(x).t()
    ours = logits(solver, shots, queries) - SCALE * zero_shot(queries[0], shots.text)
    torch.testing.assert_close(ours.diff(dim=1), density.diff(dim=1))


def test_gda_of_frequent_classes_with_the_empirical_prior(shots):
    kept = torch.arange(12)[3:]  # classes 0, 1 and 2 lose an image
    shots = replace(shots, features=shots.features[kept], labels=shots.labels[kept])
    uniform, empirical = fitted('gda', shots), fitted('gda', shots, prior='empirical')
    difference = empirical.bias - uniform.bias
    torch.testing.assert_close(difference.exp() / CLASSES, shots.per_class.double() / 9)


def test_new_classes_of_gda_lie_near_their_text(shots):
    solver = fitted('gda', shots, keep_rows=True, neighbours=6)
    new = F.normalize(torch.randn(3, DIM, generator=torch.Generator().manual_seed(2)), dim=-1).double()
    other = solver.for_other_classes(new)
    assert torch.equal(other(new, new, SCALE).argmax(1), torch.arange(3))
    assert not fitted('gda', shots).takes_other_classes


@pytest.mark.parametrize('prior', ['uniform', 'empirical'])
def test_known_classes_of_gda_keep_what_their_images_say(shots, queries, prior):
    kept = torch.arange(12)[1:]  # class 0 has lost an image
    shots = replace(shots, features=shots.features[kept], labels=shots.labels[kept])
    solver = fitted('gda', shots, keep_rows=True, neighbours=6, prior=prior)
    new = F.normalize(torch.randn(2, DIM, generator=torch.Generator().manual_seed(2)), dim=-1).double()
    alone = solver.for_other_classes(new)
    text = torch.stack([new[0], shots.text[3], new[1], shots.text[0]])
    mixed = solver.for_other_classes(text, {1: 3, 3: 0})
    x = F.normalize(queries[0], dim=-1)
    ours, theirs = mixed._gaussian(x), solver._gaussian(x)
    torch.testing.assert_close(ours[:, [1, 3]], theirs[:, [3, 0]] + math.log(CLASSES / 4))
    torch.testing.assert_close(ours[:, [0, 2]], alone._gaussian(x) - math.log(4 / 2))
    every = solver.for_other_classes(shots.text, {i: i for i in range(CLASSES)})
    torch.testing.assert_close(every._gaussian(x), theirs)


def test_limits_of_proker(shots, queries):
    zero = zero_shot(queries[0], shots.text)
    torch.testing.assert_close(logits(fitted('proker', shots, lambda_=1e-12), shots, queries), zero)
    constant = logits(fitted('proker', shots, beta=1e-12), shots, queries) - zero
    torch.testing.assert_close(constant, constant[:1].expand_as(constant))
    assert constant.abs().max() > 0.01


def test_proker_with_a_small_lambda_interpolates_up_to_a_factor_lambda(shots):
    solver = fitted('proker', shots, beta=5.0, lambda_=1e-8)
    rows, labels = shots.rows()
    correction = solver(rows, shots.text, SCALE) - zero_shot(rows, shots.text)
    residual = F.one_hot(labels, CLASSES) - zero_shot(rows, shots.text)
    torch.testing.assert_close(correction / 1e-8, residual, rtol=0, atol=1e-4)


def test_proker_keeps_within_its_budget_of_rows(shots, monkeypatch):
    said = []
    monkeypatch.setattr('vlprompt.solvers.proker.print_log', lambda text, *_: said.append(text))
    solver = fitted('proker', shots, max_rows=30)
    assert len(solver.rows) == 24
    assert said == ['ProKeR: 2 of 3 views, since 36 rows are more than model.solver.max_rows=30']
    with pytest.raises(ValueError, match='12 training images are more than max_rows=11'):
        fitted('proker', shots, max_rows=11)


def plain_proker(shots, queries, beta, lambda_):
    """Logits by the formula: the whole kernel and a general solver."""
    rows, labels = shots.rows()
    rows = F.normalize(rows, dim=-1)
    system = kernel(rows, rows, beta) / lambda_ + torch.eye(len(rows), dtype=rows.dtype)
    coefficients = torch.linalg.solve(system, F.one_hot(labels, CLASSES).to(rows) - rows @ shots.text.t())
    return zero_shot(queries[0], shots.text) + kernel(F.normalize(queries[0], dim=-1), rows, beta) @ coefficients


def test_proker_equals_the_plain_formula(shots, queries):
    expected = plain_proker(shots, queries, 2.0, 0.05)
    torch.testing.assert_close(logits(fitted('proker', shots, beta=2.0, lambda_=0.05), shots, queries), expected)
    assert (expected - zero_shot(queries[0], shots.text)).abs().max() > 0.01
    single = replace(shots, features=shots.features.float(), text=shots.text.float())
    found = fitted('proker', single, beta=2.0, lambda_=0.05)(queries[0].float(), single.text, SCALE)
    torch.testing.assert_close(found.double(), expected, atol=1e-5, rtol=0)


@pytest.mark.parametrize('block', [1, 7, 12, 100])
def test_upper_triangle_of_the_kernel(block):
    rows = F.normalize(torch.randn(12, 5, generator=torch.Generator().manual_seed(0)), dim=-1)
    torch.testing.assert_close(upper_kernel(rows, 3.0, block).triu(), kernel(rows, rows, 3.0).triu())


def test_the_search_of_proker_yields_what_plain_fits_give(shots, queries):
    shared, plain = (list(search(BUILD['proker'](), shots, queries[0])) for search in (ProKeR.search, Solver.search))
    assert len(shared) == 6
    for (setting, found), (same, expected) in zip(shared, plain, strict=True):
        assert setting == same
        torch.testing.assert_close(found, expected)


def test_the_cache_of_tip_adapter(shots):
    solver = fitted('tip', shots, alpha=2.0, beta=1e4)
    cached = solver(solver.keys, shots.text, SCALE) - SCALE * solver.keys @ shots.text.t()
    torch.testing.assert_close(cached, 2.0 * F.one_hot(shots.labels, CLASSES).double(), atol=1e-6, rtol=0)
    flat = fitted('tip', shots, alpha=2.0, beta=1e-9)
    cached = flat(solver.keys, shots.text, SCALE) - SCALE * solver.keys @ shots.text.t()
    torch.testing.assert_close(cached, torch.full_like(cached, 2.0 * 3), msg='three shots of every class')


def test_views_of_a_key_have_unit_norm_before_their_mean_and_after_it(shots):
    """As published: the length of a feature, which differs from crop to crop, has no part in it."""
    lengths = torch.tensor([1.0, 5.0, 0.2]).double()[:, None]
    scaled = replace(shots, features=F.normalize(shots.features, dim=-1) * lengths)
    keys = fitted('tip', scaled).keys
    torch.testing.assert_close(keys, F.normalize(F.normalize(shots.features, dim=-1).mean(1), dim=-1))
    assert (keys - F.normalize(scaled.features.mean(1), dim=-1)).abs().max() > 0.05


def test_tip_adapter_f_trains_keys_from_those_of_tip_adapter(shots):
    before, still = fitted('tip', shots), fitted('tip_f', shots, lr=1e-12)
    torch.testing.assert_close(still.keys, before.keys)
    after = fitted('tip_f', shots, epochs=30, lr=1e-2)
    losses = [
        F.cross_entropy(solver(shots.features[:, 0], shots.text, SCALE), shots.labels) for solver in (before, after)
    ]
    assert losses[1] < losses[0] * 0.9


def test_epochs_of_tip_adapter_f_see_views_after_those_of_the_cache(shots):
    own = fitted('tip_f', shots, cache_views=1, epochs=2)
    for view, matters in ((1, True), (2, True)):
        changed = shots.features.clone()
        changed[:, view] = changed[:, view].flip(0)
        other = fitted('tip_f', replace(shots, features=changed), cache_views=1, epochs=2)
        assert torch.equal(own.keys, other.keys) is not matters
    changed = torch.cat([shots.features, shots.features.flip(0)], 1)  # views 3, 4, 5 are those of no epoch
    assert torch.equal(own.keys, fitted('tip_f', replace(shots, features=changed), cache_views=1, epochs=2).keys)


def test_similarities_in_pieces_are_those_at_once(shots, monkeypatch):
    """Of 5 images with 3 local tokens and 12 pairs of keys: in pieces of two images, and their gradient too."""
    generator = torch.Generator().manual_seed(4)
    local = torch.randn(5, 3, DIM, generator=generator).double()
    keys = torch.randn(24, DIM, generator=generator).double()
    sizes, similarity_of = [], plot_adapter._similarity
    monkeypatch.setattr(plot_adapter, '_similarity', lambda x, *a: sizes.append(len(x)) or similarity_of(x, *a))
    found = []
    for at_once in (2**26, 2 * 3 * 24):
        monkeypatch.setattr(plot_adapter, 'AT_ONCE', at_once)
        plot_adapter.key_similarity(local, keys, shots.labels, 2.0, CLASSES)
        found.append([sizes.copy()])
        learned = keys.clone().requires_grad_()
        similarity = plot_adapter.key_similarity(local, learned, shots.labels, 2.0, CLASSES)
        found[-1] += [similarity, *torch.autograd.grad(similarity.square().sum(), learned)]
        sizes.clear()
    assert [sizes for sizes, *_ in found] == [[5], [2, 2, 1]]
    assert found[0][1].shape == (5, CLASSES, 3, 2)
    for whole, pieces in zip(found[0][1:], found[1][1:], strict=True):
        torch.testing.assert_close(pieces, whole)


def scarce(labels):
    """Positions of the images that are left if classes 0 and 2 lose all but one of their three, and the same with this
    one three times."""
    once = [i for i, label in enumerate(labels.tolist()) if label % 2 or i < CLASSES]
    return torch.tensor(once), torch.tensor([i for i in once for _ in range(1 if labels[i] % 2 else 3)])


def of_images(shots, kept):
    return replace(shots, features=shots.features[kept], labels=shots.labels[kept])


def test_an_image_of_a_scarce_class_counts_as_if_it_were_repeated(shots, queries):
    few, repeated = (of_images(shots, kept) for kept in scarce(shots.labels))
    assert few.per_class.tolist() == [1, 3, 1, 3]
    assert repeated.per_class.tolist() == [3] * 4
    torch.testing.assert_close(
        logits(fitted('tip', few), few, queries), logits(fitted('tip', repeated), repeated, queries)
    )
    ours, theirs = (tune(BUILD['tip'](), some, *queries) for some in (few, repeated))
    assert ours == theirs
    ours, theirs = (next(iter(trained_by_steps(some)))[0] for some in (few, repeated))
    torch.testing.assert_close(ours, theirs, msg='in the training of the keys too')


def trained_by_steps(shots):
    solver = BUILD['tip_f']()
    batch = shots.features[-2:, 0], shots.labels[-2:], 0.1
    return solver.descend(shots, solver.start_keys(shots), [batch])


def test_local_features_meet_scarce_classes_as_if_they_were_repeated(shots):
    """With a weighted norm of the affinities: that of more keys is larger."""
    generator = torch.Generator().manual_seed(4)
    local = torch.randn(5, 3, DIM, generator=generator).double()
    keys = torch.randn(2, 12, DIM, generator=generator).double()
    few, repeated = (
        plot_adapter.key_similarity(local, keys[:, kept].flatten(0, 1), shots.labels[kept], 2.0, CLASSES)
        for kept in scarce(shots.labels)
    )
    torch.testing.assert_close(few, repeated)


def test_equally_many_images_have_no_weight(shots, queries):
    """Exactly: the numbers are those of the published formulas, bit for bit."""
    x, keys, labels = queries[0].float(), shots.averaged().float(), shots.labels
    one_hot = F.one_hot(labels, CLASSES).float()
    plain = torch.exp(-2.0 * (1 - F.normalize(x, dim=-1) @ keys.t())) @ one_hot
    assert torch.equal(cache_logits(x, keys, labels, 2.0, CLASSES), plain)
    local, keys = x.view(10, 3, DIM), torch.cat([keys, keys.flip(0)])
    cosine = (F.normalize(local, dim=-1) @ keys.t()).unflatten(-1, (2, 12))
    plain = F.normalize(torch.exp(-2.0 * (1 - cosine)), dim=-1) @ one_hot
    found = plot_adapter.key_similarity(local, keys, labels, 2.0, CLASSES)
    assert torch.equal(found, plain.permute(0, 3, 1, 2))


def test_means_of_views_in_pieces():
    features = torch.randn(600, 2, DIM)
    shots = Shots(features, torch.arange(600) % CLASSES, torch.randn(CLASSES, DIM))
    expected = F.normalize(F.normalize(features, dim=-1).mean(1), dim=-1)
    torch.testing.assert_close(shots.averaged(), expected, rtol=0, atol=0)


@pytest.mark.parametrize(('gradient', 'bias'), [('fresh', 'zero'), ('accumulated', 'zero'), ('fresh', 'random')])
def test_gradients_of_the_bias_of_lpp_sum_to_zero(gradient, bias, shots):
    solver = BUILD['lpp'](alpha_gradient=gradient, bias=bias)
    start = solver._start_bias(shots.text, shots.seed).sum()
    solver.fit(shots)
    assert solver.bias.sum() == pytest.approx(float(start))
    assert solver.bias.abs().max() > 1e-3


def test_lpp_without_bias(shots):
    assert not fitted('lpp', shots, bias='none').bias.any()


def test_lpp_lowers_its_loss_and_moves_alpha(shots):
    solver = BUILD['lpp']()
    losses = list(solver.descend(shots))
    assert losses[-1] < losses[0]
    assert solver.alpha.unique().numel() == CLASSES
    assert fitted('lpp', shots, steps=9).alpha.unique().numel() == 1, 'the first step of alpha is the tenth'


def test_clap_starts_as_zero_shot_and_zs_lp_has_no_penalty(shots, queries):
    raw = replace(shots, text=shots.text * torch.tensor([[7.0], [8.0], [9.0], [10.0]]).double())
    solver = BUILD['clap']()
    (_, penalty), *_ = solver.descend(raw, [(0.0, torch.arange(12))])
    torch.testing.assert_close(solver.prototypes, raw.text)
    torch.testing.assert_close(logits(solver, raw, queries), SCALE * zero_shot(queries[0], shots.text))
    assert penalty == 0
    batches = [(0.1, torch.arange(12))] * 3
    held, free = (
        [penalty for _, penalty in BUILD['clap'](constraint=c).descend(raw, batches)] for c in ('class', 'none')
    )
    assert free == [0, 0, 0]
    assert held[0] == 0 < held[1] < held[2]


@pytest.mark.parametrize('name', ['lpp', 'clap'])
def test_a_step_does_not_wait_for_the_device(name, shots, monkeypatch):
    solver = BUILD[name]()
    steps = solver.descend(shots, *([[(0.1, torch.arange(12))] * 15] if name == 'clap' else []))
    next(steps)
    for method in ('item', 'tolist', '__bool__', '__float__', '__int__'):
        monkeypatch.setattr(torch.Tensor, method, lambda *_, method=method: pytest.fail(f'{method} of a tensor'))
    assert len(list(steps)) >= 14


def test_gradient_of_clap(shots):
    rows, labels = shots.rows()
    rows, multipliers = F.normalize(rows, dim=-1), torch.linspace(0.1, 1, CLASSES).double()
    at = shots.text * 3 + 0.1
    *_, gradient = loss_and_gradient(at, shots.text, rows, labels, multipliers, SCALE)
    for index in ((0, 0), (3, 7)):
        moved = [at.clone(), at.clone()]
        moved[0][index] += 1e-6
        moved[1][index] -= 1e-6
        up, down = (sum(loss_and_gradient(w, shots.text, rows, labels, multipliers, SCALE)[:2]) for w in moved)
        assert (up - down) / 2e-6 == pytest.approx(float(gradient[index]), rel=1e-5)


def test_the_linear_probe_is_at_its_optimum(shots):
    solver = fitted('linear', shots, C=0.3)
    weight, bias = solver.weight.clone().requires_grad_(), solver.bias.clone().requires_grad_()
    rows, labels = shots.rows()
    loss = 0.3 * F.cross_entropy(rows @ weight.t() + bias, labels, reduction='sum') + weight.square().sum() / 2
    gradients = torch.autograd.grad(loss, [weight, bias])
    assert max(float(g.abs().max()) for g in gradients) < 1e-3
    assert fitted('linear', shots, C=1e-9).weight.abs().max() < 1e-6


# ------------------------------------------------------------------------------------------------------------- tuning


@pytest.mark.parametrize('name', [name for name in BUILD if name != 'clap'])
def test_a_tuned_solver_is_the_best_one_of_its_search(name, shots, queries):
    solver = BUILD[name]()
    search, answer, found = BUILD[name]().search(shots, queries[0]), None, []
    while True:
        try:
            setting, scores = search.send(answer)
        except StopIteration:
            break
        answer = (scores.argmax(1) == queries[1]).double().mean().item() * 100
        found.append((answer, setting, scores))
    chosen = tune(solver, shots, *queries)
    best = max(accuracy for accuracy, *_ in found)
    of_best = [row for row in found if row[0] == best]
    _, setting, scores = of_best[-1 if solver.last_of_ties else 0]
    assert (chosen.setting, chosen.accuracy, chosen.tried) == (setting, best, len(found))
    torch.testing.assert_close(logits(solver, shots, queries), scores)


def test_grids(shots, queries):
    assert GDA().grid == dict(alpha=(1e-4, 1e-3, 1e-2, 1e-1, 1.0, 10.0, 100.0))
    betas, alphas = TipAdapter(search_scale=(12, 5)).grid.values()
    assert (len(betas), len(alphas)) == (200, 20)
    assert betas[0] == alphas[0] == 0.1
    assert betas[-1] == pytest.approx(0.1 + 199 * 11.9 / 200)
    grid = ProKeR(betas=(1.5, 3, 10), lambdas=(0.05, 0.25, 10)).grid
    assert (grid['beta'][0], grid['beta'][-1], len(grid['lambda_'])) == (1.5, 3.0, 10)
    tried = tune(LinearProbe(), shots, *queries).tried
    assert tried == 7 + 2 * 8


TRAINED = dict(
    tip=(),
    gda=(),
    proker=(),
    tip_f=('keys',),
    lpp=('weight', 'bias', 'alpha'),
    clap=('prototypes',),
    linear=('weight', 'bias'),
)
"""Fitted tensors that are trained by steps."""


@pytest.mark.parametrize('name', BUILD)
def test_trained_numbers(name, shots):
    solver = fitted(name, shots)
    expected = sum(getattr(solver, tensor).numel() for tensor in TRAINED[name])
    assert solver.trained_numbers(len(shots.labels), CLASSES, DIM) == expected
    assert LPPlusPlus(bias='none').trained_numbers(12, CLASSES, DIM) == CLASSES * (DIM + 1)


def test_nothing_to_tune_is_fitted_all_the_same(shots, queries):
    solver = BUILD['clap']()
    assert tune(solver, shots, *queries) is None
    assert solver.is_fitted


# ----------------------------------------------------------------------------------------------------------- refusals


def test_a_single_row_of_every_class_has_no_covariance(shots):
    single = replace(shots, features=shots.features[:CLASSES, :1], labels=shots.labels[:CLASSES])
    with pytest.raises(ValueError, match=r'single row.*raise the number of shots or model\.solver\.views'):
        fitted('gda', single)
    fitted('gda', replace(single, features=shots.features[:CLASSES]))


def test_the_mean_of_covariances_needs_two_rows_of_every_class(shots):
    kept = [i for i in range(12) if i not in (5, 9)]
    few = replace(shots, features=shots.features[kept, :1], labels=shots.labels[kept])
    with pytest.raises(ValueError, match='class 1 has one'):
        fitted('gda', few, covariance='class_mean')
    fitted('gda', few)


def test_the_published_lpp_needs_equally_many_images(shots):
    few = replace(shots, features=shots.features[1:], labels=shots.labels[1:])
    with pytest.raises(ValueError, match='equally many images of every class, not 2 to 3'):
        fitted('lpp', few, alpha_gradient='accumulated')
    fitted('lpp', few)


@pytest.mark.parametrize(
    ('changes', 'message'),
    [
        (dict(features=torch.zeros(12, DIM)), r'\(N images, A views, D\)'),
        (dict(labels=torch.zeros(11, dtype=torch.int64)), r'labels \(N,\)'),
        (dict(labels=torch.full((12,), CLASSES)), r'labels must be in 0\.\.3'),
        (dict(labels=torch.arange(12) % 3), 'no image of class 3'),
    ],
)
def test_shots_that_fit_nothing(changes, message, shots):
    with pytest.raises(ValueError, match=message):
        replace(shots, **changes)


@pytest.mark.parametrize(
    ('name', 'options'),
    [
        ('gda', dict(alpha=0)),
        ('gda', dict(neighbours=1)),
        ('gda', dict(text_copies=2.5)),
        ('tip', dict(beta=-1)),
        ('tip', dict(search_scale=(0, 1))),
        ('tip', dict(search_step=(2.5, 1))),
        ('tip', dict(cache_views=0)),
        ('tip_f', dict(cache_views=-1)),
        ('tip', dict(cache_views=True)),
        ('tip_f', dict(epochs=0)),
        ('tip_f', dict(batch_size=2.5)),
        ('proker', dict(lambda_=0)),
        ('proker', dict(max_rows=0)),
        ('proker', dict(betas=(1, 2, 0))),
        ('proker', dict(lambdas=(0, 2, 3))),
        ('proker', dict(lambdas=(1, 2))),
        ('lpp', dict(steps=0)),
        ('lpp', dict(alpha_every=0.5)),
        ('clap', dict(lr=0)),
        ('clap', dict(epochs=1.5)),
        ('linear', dict(C=0)),
        ('linear', dict(max_iters=0)),
        ('plot', dict(cache_views=0)),
        ('plot', dict(max_iters=0)),
        ('plot', dict(eps=0)),
        ('plot', dict(prompt_eps=0)),
    ],
)
def test_arguments_out_of_range(name, options):
    build = BUILD.get(name, PlotAdapter)
    with pytest.raises(ValueError, match=rf'^{type(build()).__name__}: {next(iter(options))} must'):
        build(**options)


@pytest.mark.parametrize('build', [*BUILD.values(), PlotAdapter])
@pytest.mark.parametrize('views', [0, -1, 2.5, True])
def test_views_are_counted(build, views):
    with pytest.raises(ValueError, match=rf'^{type(build()).__name__}: views must be a whole number, at least 1'):
        build(views=views)


def choices_of_constructors():
    """Solvers and alignments, and their arguments whose annotation lists all values."""
    for registered in set(MODELS.module_dict.values()):
        if registered.__module__.startswith(('vlprompt.solvers', 'vlprompt.alignment')):
            for name in inspect.signature(registered).parameters:
                try:
                    yield registered, name, choices(registered, name)
                except TypeError:
                    continue


CHOICES = sorted(choices_of_constructors(), key=str)


@pytest.mark.parametrize(('kind', 'name', 'known'), CHOICES, ids=lambda value: getattr(value, '__name__', None))
def test_no_other_value_than_the_annotation_lists(kind, name, known):
    """Before, ``CLAP(constraint='l2')`` was ZS-LP: what is not the one value was taken for the other."""
    message = re.escape(f'{kind.__name__}: {name} must be one of {", ".join(known)}, got ')
    for wrong in (known[0][:-1], known[0].upper(), None, [known[0]]):
        with pytest.raises(ValueError, match=message + re.escape(repr(wrong))):
            kind(**{name: wrong})
    default = inspect.signature(kind).parameters[name].default
    assert getattr(kind(**{name: default}), 'bias_start' if name == 'bias' else name) == default


def test_which_choices_are_checked():
    found = {(kind.__name__, name) for kind, name, _ in CHOICES}
    assert found == {
        ('CLAP', 'constraint'),
        ('GDA', 'prior'),
        ('GDA', 'covariance'),
        ('LPPlusPlus', 'alpha_gradient'),
        ('LPPlusPlus', 'bias'),
        ('PlotAdapter', 'method'),
        ('CosineAlignment', 'ensemble'),
        ('TransportAlignment', 'method'),
        ('TransportAlignment', 'marginals'),
        ('UniformAlignment', 'marginals'),
    }
    with pytest.raises(TypeError, match='CLAP: lr is not annotated as a Literal'):
        choices(CLAP, 'lr')
