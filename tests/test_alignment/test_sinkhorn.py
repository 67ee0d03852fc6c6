"""Sinkhorn against closed forms, marginals, an exact linear programme, and permutations of the input."""

import itertools

import numpy as np
import pytest
import torch
from scipy.optimize import linprog
from torch._subclasses.fake_tensor import DataDependentOutputException, FakeTensorMode

from vlprompt.alignment import plan_deviation, plan_entropy, sinkhorn
from vlprompt.alignment.sinkhorn import smallest_eps, unchecked_sinkhorn


def random_cost(*shape, seed=0, dtype=torch.float64):
    generator = torch.Generator().manual_seed(seed)
    return torch.rand(shape, generator=generator, dtype=dtype)


def exact_cost(cost: np.ndarray, mass: np.ndarray | None = None) -> float:
    """Unregularised optimal transport from the ``mass`` of the rows, by default 1 / m, to equal ones of the columns, as
    a linear programme."""
    m, n = cost.shape
    mass = np.full(m, 1 / m) if mass is None else mass
    rows = np.kron(np.eye(m), np.ones((1, n)))
    columns = np.kron(np.ones((1, m)), np.eye(n))
    constraints = np.concatenate([rows, columns])
    marginals = np.concatenate([mass, np.full(n, 1 / n)])
    return linprog(cost.reshape(-1), A_eq=constraints, b_eq=marginals, method='highs').fun


@pytest.mark.parametrize('method', ['fixed', 'log'])
def test_marginals_hold_when_converged(method):
    plan = sinkhorn(random_cost(5, 49, 4), 0.1, method, max_iters=500, dtype=torch.float64).plan
    torch.testing.assert_close(plan.sum(-1), torch.full((5, 49), 1 / 49, dtype=torch.float64), atol=1e-12, rtol=0)
    torch.testing.assert_close(plan.sum(-2), torch.full((5, 4), 1 / 4, dtype=torch.float64), atol=1e-12, rtol=0)


@pytest.mark.parametrize('method', ['fixed', 'log', 'legacy'])
def test_column_marginal_is_exact_after_any_iteration(method):
    plan = sinkhorn(random_cost(3, 7, 4), 0.1, method, max_iters=1, dtype=torch.float64).plan
    torch.testing.assert_close(plan.sum(-2), torch.full((3, 4), 1 / 4, dtype=torch.float64), atol=1e-14, rtol=0)


@pytest.mark.parametrize('method', ['fixed', 'log', 'legacy'])
@pytest.mark.parametrize('shape', [(2, 49, 1), (2, 1, 4)])
def test_one_item_on_a_side_gives_the_uniform_plan(method, shape):
    plan = sinkhorn(random_cost(*shape), 0.1, method, dtype=torch.float64).plan
    torch.testing.assert_close(plan, torch.full_like(plan, 1 / (shape[1] * shape[2])), atol=1e-12, rtol=0)


@pytest.mark.parametrize('method', ['fixed', 'log', 'legacy'])
def test_constant_and_separable_costs_give_the_uniform_plan(method):
    separable = random_cost(2, 6, 1) + random_cost(2, 1, 4, seed=1)
    for cost in (torch.full((2, 6, 4), 0.7, dtype=torch.float64), separable):
        plan = sinkhorn(cost, 0.1, method, max_iters=50, dtype=torch.float64).plan
        torch.testing.assert_close(plan, torch.full_like(plan, 1 / 24), atol=1e-10, rtol=0)


def test_two_by_two_closed_form():
    """For [[a, b], [c, d]] the diagonal mass x solves (x / (1/2 - x))^2 = exp((b + c - a - d) / eps)."""
    cost = torch.tensor([[0.1, 0.5], [0.9, 0.2]], dtype=torch.float64)
    ratio = torch.exp((cost[0, 1] + cost[1, 0] - cost[0, 0] - cost[1, 1]) / 0.3).sqrt()
    diagonal = 0.5 * ratio / (1 + ratio)
    plan = sinkhorn(cost, 0.3, 'fixed', max_iters=200, dtype=torch.float64).plan
    expected = torch.stack([torch.stack([diagonal, 0.5 - diagonal]), torch.stack([0.5 - diagonal, diagonal])])
    torch.testing.assert_close(plan, expected, atol=1e-12, rtol=0)


def test_small_eps_approaches_the_linear_programme():
    cost = random_cost(6, 5, seed=3)
    exact = exact_cost(cost.numpy())
    gaps = []
    for eps in (0.1, 0.02, 0.004):
        plan = sinkhorn(cost, eps, 'log', max_iters=20000, dtype=torch.float64).plan
        gaps.append((plan * cost).sum().item() - exact)
    assert gaps[0] > gaps[1] > gaps[2] > -1e-9
    assert gaps[2] < 1e-3


def test_small_eps_approaches_the_linear_programme_with_given_row_marginals():
    cost, mass = random_cost(6, 5, seed=3), torch.tensor([0.4, 0.3, 0.05, 0.05, 0.2, 0.0], dtype=torch.float64)
    exact = exact_cost(cost.numpy(), mass.numpy())
    assert abs(exact - exact_cost(cost.numpy())) > 0.01
    gaps = []
    for eps in (0.1, 0.02, 0.004):
        plan = sinkhorn(cost, eps, 'log', max_iters=20000, dtype=torch.float64, rows=mass).plan
        torch.testing.assert_close(plan.sum(-1), mass, atol=1e-4, rtol=0)
        gaps.append((plan * cost).sum().item() - exact)
    assert gaps[0] > gaps[1] > gaps[2] > -1e-9
    assert gaps[2] < 1e-3


@pytest.mark.parametrize('method', ['fixed', 'log', 'legacy'])
def test_row_marginals_of_a_batch(method):
    cost, mass = random_cost(3, 4, 7, 5), random_cost(3, 1, 7, seed=1)
    mass = mass / mass.sum(-1, keepdim=True)
    solve = dict(method=method, max_iters=500, tol=1e-12, dtype=torch.float64)
    plan = sinkhorn(cost, 0.1, **solve, rows=mass).plan
    torch.testing.assert_close(plan.sum(-1), mass.expand(3, 4, 7), atol=1e-8, rtol=0)
    torch.testing.assert_close(plan.sum(-2), torch.full((3, 4, 5), 0.2, dtype=torch.float64), atol=1e-12, rtol=0)
    one = sinkhorn(cost[1, 2], 0.1, **solve, rows=mass[1, 0]).plan
    torch.testing.assert_close(plan[1, 2], one, atol=1e-8, rtol=0)
    uniform = sinkhorn(cost, 0.1, **solve, rows=torch.full((7,), 1 / 7, dtype=torch.float64)).plan
    torch.testing.assert_close(uniform, sinkhorn(cost, 0.1, **solve).plan, atol=1e-12, rtol=0)


def test_repeated_rows_with_half_the_mass_are_one_row():
    """A plan does not depend on how the mass of equal tokens is divided."""
    cost = random_cost(3, 4)
    twice = sinkhorn(cost[[0, 0, 1, 2]], 0.1, max_iters=300, rows=torch.tensor([0.1, 0.4, 0.2, 0.3])).plan
    once = sinkhorn(cost, 0.1, max_iters=300, rows=torch.tensor([0.5, 0.2, 0.3])).plan
    torch.testing.assert_close(torch.stack([twice[0] + twice[1], twice[2], twice[3]]), once, atol=1e-6, rtol=0)


def test_row_marginals_of_another_number_are_named():
    with pytest.raises(ValueError, match='rows have 3 marginals, the cost 4 rows'):
        sinkhorn(random_cost(4, 2), rows=torch.full((3,), 1 / 3))


def test_four_by_four_optimum_is_the_best_permutation():
    """For square uniform problems the exact optimum is a permutation (Birkhoff)."""
    cost = random_cost(4, 4, seed=5)
    best = min(sum(cost[i, j].item() for i, j in enumerate(order)) / 4 for order in itertools.permutations(range(4)))
    plan = sinkhorn(cost, 0.002, 'log', max_iters=20000, dtype=torch.float64).plan
    assert (plan * cost).sum().item() == pytest.approx(best, abs=1e-4)


@pytest.mark.parametrize('method', ['fixed', 'log', 'legacy'])
def test_permuting_the_input_permutes_the_plan(method):
    cost = random_cost(2, 9, 4)
    rows, columns = torch.randperm(9), torch.randperm(4)
    plan = sinkhorn(cost, 0.1, method, dtype=torch.float64).plan
    permuted = sinkhorn(cost[:, rows][:, :, columns], 0.1, method, dtype=torch.float64).plan
    torch.testing.assert_close(permuted, plan[:, rows][:, :, columns], atol=1e-12, rtol=0)


def test_fixed_does_not_depend_on_the_batch_and_legacy_does():
    cost = torch.cat([random_cost(1, 9, 4, seed=1), 20 * random_cost(7, 9, 4, seed=2)])
    for method in ('fixed', 'log'):
        alone = sinkhorn(cost[:1], 0.5, method, dtype=torch.float64).plan
        together = sinkhorn(cost, 0.5, method, dtype=torch.float64).plan[:1]
        torch.testing.assert_close(alone, together, atol=1e-14, rtol=0)
    alone = sinkhorn(cost[:1], 0.5, 'legacy', max_iters=100, dtype=torch.float64)
    together = sinkhorn(cost, 0.5, 'legacy', max_iters=100, dtype=torch.float64)
    assert alone.iterations < together.iterations
    assert (alone.plan - together.plan[:1]).abs().max() > 1e-9


def test_legacy_is_the_fixed_iteration_with_an_early_stop():
    cost = random_cost(3, 49, 4)
    legacy = sinkhorn(cost, 0.1, 'legacy', max_iters=100)
    assert 1 < legacy.iterations == len(legacy.errors) < 100
    assert legacy.errors[-1] < 1e-2 <= legacy.errors[-2]
    fixed = sinkhorn(cost, 0.1, 'fixed', max_iters=legacy.iterations)
    torch.testing.assert_close(fixed.plan, legacy.plan, atol=0, rtol=0)


def test_log_domain_equals_scaling_and_survives_where_it_underflows():
    cost = random_cost(2, 9, 4)
    torch.testing.assert_close(
        sinkhorn(cost, 0.1, 'log', max_iters=7, dtype=torch.float64).plan,
        sinkhorn(cost, 0.1, 'fixed', max_iters=7, dtype=torch.float64).plan,
        atol=1e-14,
        rtol=0,
    )
    large = 1000 + random_cost(1, 9, 4)
    with pytest.raises(FloatingPointError, match="method='log'"):
        sinkhorn(large, 0.1, 'fixed')
    assert sinkhorn(large, 0.1, 'log').plan.isfinite().all()


@pytest.mark.parametrize('method', ['fixed', 'legacy', 'log'])
def test_without_the_check_the_plan_is_the_same_and_may_be_nan(method):
    cost = random_cost(2, 7, 4)
    assert torch.equal(unchecked_sinkhorn(cost, 0.1, method).plan, sinkhorn(cost, 0.1, method).plan)
    assert not unchecked_sinkhorn(cost.requires_grad_(), 0.1, method).plan.requires_grad
    assert unchecked_sinkhorn(1000 + cost, 0.1, method).plan.isnan().all() == (method != 'log')


@pytest.mark.parametrize('method', ['fixed', 'log'])
def test_without_the_check_nothing_waits_for_the_device(method):
    """A tensor without numbers cannot be read."""
    with FakeTensorMode():
        cost = torch.rand(2, 7, 4)
        assert unchecked_sinkhorn(cost, 0.1, method).plan.shape == cost.shape
        with pytest.raises(DataDependentOutputException):
            sinkhorn(cost, 0.1, method)


@pytest.mark.parametrize('dtype', [torch.float32, torch.float16])
def test_the_smallest_eps_is_the_one_at_which_the_kernel_underflows(dtype):
    eps = smallest_eps(dtype, 2.0)
    smallest = torch.exp(torch.tensor(-2 / eps, dtype=torch.float64))
    assert smallest.item() == pytest.approx(torch.finfo(dtype).tiny)
    assert unchecked_sinkhorn(2 * random_cost(50, 9, 4), 1.01 * eps, dtype=torch.float32).plan.isfinite().all()


def test_no_gradient_flows_through_the_plan():
    cost = random_cost(1, 4, 4).requires_grad_()
    assert not sinkhorn(cost).plan.requires_grad


@pytest.mark.parametrize('kwargs', [dict(method='newton'), dict(eps=0.0), dict(max_iters=0)])
def test_bad_arguments_are_named(kwargs):
    with pytest.raises(ValueError, match=next(iter(kwargs))):
        sinkhorn(random_cost(2, 2), **kwargs)


def test_plan_entropy_is_one_for_uniform_and_log_ratio_for_a_permutation():
    assert plan_entropy(torch.full((2, 3, 4), 1 / 12)).tolist() == pytest.approx([1, 1])
    assert plan_entropy(torch.eye(4) / 4).item() == pytest.approx(0.5)
    assert plan_entropy(torch.ones(1, 1)).item() == 1


def test_deviation_from_the_uniform_plan():
    """The mass that has to move, and to which place."""
    uniform = torch.full((3, 2), 1 / 6)
    moved = uniform.clone()
    moved[0, 0] += 0.1
    moved[2, 1] -= 0.1
    one_place = torch.zeros(3, 2)
    one_place[1, 1] = 1
    found = plan_deviation(torch.stack([uniform, moved, one_place]))
    assert found.tolist() == pytest.approx([0, 0.1, 5 / 6], abs=1e-6)
