"""Learning rates of the published recipes; the numbers were read from the official scheduler, epoch by epoch."""

import re

import numpy as np
import pytest
import torch
from mmengine.config import Config
from mmengine.registry import OPTIMIZERS
from torch import nn

from tests.conftest import ROOT
from vlprompt.engine import (
    LinearWarmupCosineLR,
    WarmupCosineLR,
    WarmupPolyLR,
    WarmupStepLR,
    follow_training_length,
    schedules,
)
from vlprompt.engine.config_check import accepted_arguments
from vlprompt.registry import PARAM_SCHEDULERS

PINNED = {  # (lr, epochs): {epoch: lr}
    (2e-3, 50): {0: 1e-5, 1: 2e-3, 2: 0.0019980267284282717, 25: 0.001062790519529313, 49: 7.88529868552223e-06},
    (2e-3, 200): {0: 1e-5, 1: 2e-3, 2: 0.0019998766324816606, 101: 0.0009999999999999992, 199: 4.934396342683993e-07},
    (2e-3, 10): {0: 1e-5, 1: 2e-3, 6: 0.001, 9: 0.00019098300562505268},
    (3.5e-3, 5): {0: 1e-5, 1: 0.0035, 2: 0.0031657797401561582, 4: 0.001209220259843842},
}
PINNED_WITHOUT_RECOUNT = {0: 1e-5, 1: 2e-3, 2: 0.0019940821341079412, 48: 7.893086286913818e-06}


def rates(lr, epochs, **options):
    optimizer = torch.optim.SGD([nn.Parameter(torch.zeros(1))], lr=lr)
    schedule = WarmupCosineLR(optimizer, T_max=epochs, **options)
    values = []
    for _ in range(epochs):
        values.append(optimizer.param_groups[0]['lr'])
        optimizer.step()
        schedule.step()
    return values


@pytest.mark.parametrize('recipe', PINNED)
def test_published_rates(recipe):
    values = rates(*recipe)
    for epoch, lr in PINNED[recipe].items():
        assert values[epoch] == pytest.approx(lr, rel=1e-12)


def test_published_rates_without_recount():
    values = rates(2e-3, 50, recount=False)
    for epoch, lr in PINNED_WITHOUT_RECOUNT.items():
        assert values[epoch] == pytest.approx(lr, rel=1e-12)


def test_every_published_rate(golden):
    meta, _ = golden.load('plot/schedule')
    for epochs in (50, 100, 200):
        np.testing.assert_allclose(rates(2e-3, epochs), meta['lr_float64'][f'lr_E{epochs}'], rtol=1e-12)
    np.testing.assert_allclose(rates(2e-3, 50, recount=False), meta['lr_float64']['lr_E50_recount_false'], rtol=1e-12)


def test_three_epochs_of_the_shipped_recipe_move_weights_as_the_official_optimizer(golden):
    """Two steps an epoch on sum (w - (i + 1) a)^2: momentum, weight decay and when the rate changes."""
    _, ref = golden.load('plot/schedule')
    cfg = Config.fromfile(ROOT / 'configs/_base_/schedules/few_shot.py')
    weight = nn.Parameter(torch.linspace(-1, 1, 8))
    optimizer = OPTIMIZERS.build(dict(cfg.optim_wrapper.optimizer, params=[weight]))
    follow_training_length(cfg.param_scheduler, dict(cfg.train_cfg, max_epochs=50))
    schedule = PARAM_SCHEDULERS.build(cfg.param_scheduler[0], default_args=dict(optimizer=optimizer))
    trace = [weight.detach().clone()]
    for _ in range(3):
        for i in range(2):
            optimizer.zero_grad()
            ((weight - (i + 1) * torch.arange(8.0)) ** 2).sum().backward()
            optimizer.step()
            trace.append(weight.detach().clone())
        schedule.step()
    torch.testing.assert_close(torch.stack(trace), torch.from_numpy(ref['sgd_trace']), rtol=1e-6, atol=1e-6)


def test_groups_keep_their_own_rates_after_a_common_warm_up():
    groups = [dict(params=[nn.Parameter(torch.zeros(1))], lr=lr) for lr in (1.0, 0.1)]
    optimizer = torch.optim.SGD(groups)
    schedule = WarmupCosineLR(optimizer, T_max=4, warmup_epochs=1, warmup_lr=0.01)
    assert [g['lr'] for g in optimizer.param_groups] == [0.01, 0.01]
    optimizer.step()
    schedule.step()
    assert [g['lr'] for g in optimizer.param_groups] == [1.0, 0.1]


def test_built_from_a_config_and_converted_to_iterations():
    optimizer = torch.optim.SGD([nn.Parameter(torch.zeros(1))], lr=1.0)
    cfg = dict(type='vlprompt.WarmupCosineLR', T_max=4, convert_to_iter_based=True)
    schedule = PARAM_SCHEDULERS.build(cfg, default_args=dict(optimizer=optimizer, epoch_length=10))
    assert (schedule.T_max, schedule.warmup_epochs, schedule.by_epoch) == (40, 10, False)


def test_resuming_a_shorter_run_follows_the_longer_schedule():
    def fresh(end):
        optimizer = torch.optim.SGD([nn.Parameter(torch.zeros(1))], lr=2e-3)
        return optimizer, WarmupCosineLR(optimizer, T_max=10, end=end)

    optimizer, short = fresh(end=3)
    for _ in range(3):
        optimizer.step()
        short.step()
    optimizer, long = fresh(end=10)
    long.load_state_dict(dict(_global_step=short._global_step, last_step=short.last_step))
    assert optimizer.param_groups[0]['lr'] == pytest.approx(rates(2e-3, 10)[3])


@pytest.mark.parametrize('options', [dict(T_max=0), dict(T_max=5, warmup_epochs=-1)])
def test_impossible_schedules_are_refused(options):
    optimizer = torch.optim.SGD([nn.Parameter(torch.zeros(1))], lr=1.0)
    with pytest.raises(ValueError, match='WarmupCosineLR'):
        WarmupCosineLR(optimizer, **options)


def test_sgd_with_the_schedule_moves_a_parameter_as_published():
    """Two steps per epoch on sum((w - k * (0..7))^2), k = 1, 2: weights after six steps of the official loop."""
    weight = nn.Parameter(torch.linspace(-1, 1, 8))
    optimizer = torch.optim.SGD([weight], lr=2e-3, momentum=0.9, weight_decay=5e-4)
    schedule = WarmupCosineLR(optimizer, T_max=50)
    for _ in range(3):
        for k in (1, 2):
            optimizer.zero_grad()
            ((weight - k * torch.arange(8)) ** 2).sum().backward()
            optimizer.step()
        schedule.step()
    expected = [-0.94071233, -0.58563131, -0.23055023, 0.12453079, 0.47961175, 0.83469278, 1.18977392, 1.54485488]
    torch.testing.assert_close(weight.detach(), torch.tensor(expected), rtol=1e-6, atol=1e-7)


def test_published_poly_rates_with_warm_up():
    """DenseCLIP, 80k iterations: rates of the main group and the backbone, and what leaks into a group of rate 0."""
    groups = [dict(params=[nn.Parameter(torch.zeros(1))], lr=lr) for lr in (1e-4, 1e-5, 0.0)]
    optimizer = torch.optim.AdamW(groups)
    schedule = WarmupPolyLR(optimizer, T_max=80000, power=0.9, eta_min=1e-6, warmup=1500, warmup_ratio=1e-6)

    def rates_at(step):
        schedule.last_step = step
        return schedule._get_value()

    for step, lr in {750: 4.96e-5, 1500: 9.83e-5, 40000: 5.41e-5, 72000: 1.35e-5}.items():
        assert rates_at(step)[0] == pytest.approx(lr, rel=4e-3)  # three digits
    for step, leak in {8000: 9e-8, 40000: 4.6e-7, 80000: 1e-6}.items():
        assert rates_at(step)[2] == pytest.approx(leak, rel=2e-2)
    assert rates_at(80000)[1] == pytest.approx(1e-6)
    assert rates_at(0)[0] == pytest.approx(1e-10)
    assert rates_at(90000) == rates_at(80000)
    with pytest.raises(ValueError, match='T_max'):
        WarmupPolyLR(optimizer, T_max=0)


def test_published_step_rates_with_warm_up():
    """mmdet's 1x schedule as mmcv ran it: milestones in epochs (7,330 iterations each), warm-up in iterations."""
    optimizer = torch.optim.AdamW([dict(params=[nn.Parameter(torch.zeros(1))], lr=lr) for lr in (1e-4, 1e-5, 0.0)])
    recipe = dict(type='WarmupStepLR', milestones=[8, 11], gamma=0.1, warmup=500, warmup_ratio=1e-3)
    build = dict(optimizer=optimizer, epoch_length=7330)
    schedule = PARAM_SCHEDULERS.build(dict(recipe, convert_to_iter_based=True), default_args=build)
    assert schedule.by_epoch is False

    def rates_at(step):
        schedule.last_step = step
        return schedule._get_value()

    assert rates_at(0) == pytest.approx([1e-7, 1e-8, 0])
    assert rates_at(250)[0] == pytest.approx(1e-4 * (1 - 0.5 * 0.999))
    assert rates_at(499)[0] == pytest.approx(1e-4 * (1 - 0.002 * 0.999))
    for step, factor in {500: 1, 8 * 7330 - 1: 1, 8 * 7330: 0.1, 11 * 7330 - 1: 0.1, 11 * 7330: 0.01}.items():
        assert rates_at(step) == pytest.approx([1e-4 * factor, 1e-5 * factor, 0])
    with pytest.raises(ValueError, match='convert_to_iter_based=True'):
        WarmupStepLR(optimizer, milestones=[8], warmup=500)


def warm_cosine(lr, steps, **options):
    optimizer = torch.optim.SGD([nn.Parameter(torch.zeros(1))], lr=lr)
    epoch_length = options.pop('epoch_length', None)
    options = dict(options, warmup_lr=0.0, eta_min=0.0, first=0)
    if epoch_length is None:
        schedule = LinearWarmupCosineLR(optimizer, **options)
    else:
        schedule = LinearWarmupCosineLR.build_iter_from_epoch(optimizer, epoch_length=epoch_length, **options)
    values = []
    for _ in range(steps):
        values.append(optimizer.param_groups[0]['lr'])
        optimizer.step()
        schedule.step()
    return values


def test_warm_up_then_cosine_of_vpt():
    """The first epoch at zero, the full rate after ten, half of it midway between there and the end."""
    values = warm_cosine(0.5, 100, T_max=100, warmup=10, restart=True)
    assert values[:11] == pytest.approx([0.05 * e for e in range(11)])
    assert values[55] == pytest.approx(0.25)
    assert values[99] == pytest.approx(0.25 * (1 + np.cos(np.pi * 89 / 90)))
    with pytest.raises(ValueError, match='to restart'):
        warm_cosine(0.5, 1, T_max=10, warmup=10, restart=True)


def test_warm_up_within_the_first_epoch():
    values = warm_cosine(0.02, 40, T_max=10, warmup=1, epoch_length=4)
    assert values[:4] == pytest.approx([0, 0.005, 0.01, 0.015])
    assert values[4] == pytest.approx(0.01 * (1 + np.cos(np.pi / 10)))
    assert values[20] == pytest.approx(0.01)


@pytest.mark.parametrize(
    'options',
    [
        dict(type='WarmupCosineLR', T_max=9, by_epoch=False),
        dict(type='WarmupPolyLR', T_max=9, warmup=4, by_epoch=False),
        dict(type='WarmupStepLR', milestones=[5], warmup=4, by_epoch=False),
    ],
    ids=lambda o: o['type'],
)
def test_a_run_that_ended_can_be_resumed_to_go_on_longer(options):
    """The rate of the step after the end was never set; resuming with a later end computes it."""

    def run(optimizer, end, steps, state=None):
        schedule = PARAM_SCHEDULERS.build(dict(options, end=end), default_args=dict(optimizer=optimizer))
        if state is not None:
            schedule.load_state_dict(state)
        rates = []
        for _ in range(steps):
            rates.append(optimizer.param_groups[0]['lr'])
            optimizer.step()
            schedule.step()
        return rates, schedule.state_dict()

    def new():
        return torch.optim.SGD([nn.Parameter(torch.zeros(1))], lr=1e-3)

    whole, _ = run(new(), 8, 8)
    optimizer = new()
    first, state = run(optimizer, 3, 3)
    progress = {k: state[k] for k in ('last_step', '_global_step', '_last_value', 'base_values')}
    second, _ = run(optimizer, 8, 5, progress)
    assert first + second == pytest.approx(whole)


# ------------------------------------------------------------------------------------------------ length of training


@pytest.mark.parametrize('wrap', [lambda s: s, lambda s: [s], lambda s: dict(generator=[s])])
def test_a_missing_length_follows_training(wrap):
    schedule = dict(type='vlprompt.WarmupCosineLR')
    follow_training_length(wrap(schedule), dict(max_epochs=7))
    assert schedule['T_max'] == 7
    by_iteration = dict(type='vlprompt.WarmupPolyLR', by_epoch=False)
    follow_training_length(wrap(by_iteration), dict(type='IterBasedTrainLoop', max_iters=300))
    assert by_iteration['T_max'] == 300


def test_the_length_is_counted_between_begin_and_end():
    parts = [
        dict(type='vlprompt.LinearWarmupCosineLR', begin=2, end=6),
        dict(type='vlprompt.LinearWarmupCosineLR', begin=6),
    ]
    follow_training_length(parts, dict(max_epochs=20))
    assert [part['T_max'] for part in parts] == [4, 14]


def test_schedules_without_a_length_are_left_alone():
    for schedule in (dict(type='vlprompt.EpochWarmupStepLR', milestones=[3]), dict(type='ConstantLR', factor=0.5)):
        follow_training_length(schedule, dict(max_epochs=7))
        assert 'T_max' not in schedule
    follow_training_length(None, None)


@pytest.fixture
def warned(monkeypatch):
    """The warnings that the log of a process shows."""
    messages = []
    monkeypatch.setattr(schedules, 'print_log', lambda message, **_: messages.append(message))
    schedules._say_once.cache_clear()
    return messages


@pytest.mark.parametrize(
    ('schedule', 'named'),
    [
        (dict(type='vlprompt.WarmupCosineLR', T_max=50), r'param_scheduler\.0\.T_max=50'),
        (dict(type='CosineAnnealingLR', T_max=50), r'param_scheduler\.0\.T_max=50'),
        (dict(type='MultiStepLR', milestones=[8, 10]), r'param_scheduler\.0\.milestones=\[8, 10\] \(\[10\]'),
        (dict(type='vlprompt.EpochWarmupStepLR', milestones=[8, 11]), r'param_scheduler\.0\.milestones=\[8, 11\]'),
        (dict(type='vlprompt.WarmupCosineLR', warmup_epochs=11), r'param_scheduler\.0\.warmup_epochs=11 \(training'),
        (dict(type='CosineAnnealingLR', T_max=10, end=20), r'param_scheduler\.0\.end=20 \(training ends before'),
    ],
)
def test_lengths_that_do_not_match_training_are_warned_of(schedule, named, warned):
    before = dict(schedule)
    for _ in range(2):
        follow_training_length([schedule], dict(max_epochs=10))
    (message,) = warned
    assert re.search(rf'train_cfg\.max_epochs=10, does not match {named}', message)
    assert schedule.items() >= before.items()


@pytest.mark.parametrize(
    'schedule',
    [
        dict(type='vlprompt.WarmupCosineLR', T_max=10),
        dict(type='CosineAnnealingLR', T_max=8, begin=2),
        dict(type='vlprompt.EpochWarmupStepLR', milestones=[8, 10]),  # counts from 1: the last epoch is 10
        dict(type='vlprompt.WarmupPolyLR', T_max=50, by_epoch=False),  # iterations of an epoch are not known
    ],
)
def test_lengths_that_match_are_not(schedule, warned):
    follow_training_length([schedule], dict(max_epochs=10))
    assert not warned


@pytest.mark.parametrize('length', ['abc', 0, None, 2.5])
def test_mistakes_in_the_length_are_left_to_the_check_of_values(length, warned):
    schedule = dict(type='vlprompt.WarmupCosineLR')
    follow_training_length([schedule], dict(max_epochs=length))
    assert 'T_max' not in schedule
    assert not warned


def test_a_length_that_nothing_gives_is_an_error():
    optimizer = torch.optim.SGD([nn.Parameter(torch.zeros(1))], lr=1.0)
    with pytest.raises(ValueError, match=r'WarmupPolyLR: T_max is not set.*train_cfg\.max_iters'):
        WarmupPolyLR(optimizer, by_epoch=False)


@pytest.mark.parametrize('name', ['WarmupCosineLR', 'LinearWarmupCosineLR', 'WarmupPolyLR', 'WarmupStepLR'])
def test_arguments_are_those_of_the_schedule_and_its_base(name):
    names, takes_more = accepted_arguments(PARAM_SCHEDULERS.get(name))
    assert {'optimizer', 'begin', 'end', 'last_step', 'by_epoch', 'verbose', 'warmup_lr'} - names <= {'warmup_lr'}
    assert not takes_more
