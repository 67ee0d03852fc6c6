import pytest
import torch
from torch import nn

from vlprompt.engine import AutocastOptimWrapper, PatternOptimWrapperConstructor

SGD = dict(type='SGD', lr=0.1, weight_decay=0.01)
WB = ('weight', 'bias')


@pytest.fixture
def model():
    model = nn.ModuleDict(
        {'prompt': nn.Linear(3, 2), 'head': nn.Sequential(nn.Linear(2, 4), nn.LayerNorm(4)), 'clip': nn.Linear(2, 2)}
    )
    model['clip'].requires_grad_(False)
    return model


def groups(model, optimizer=SGD, **paramwise):
    """{parameter name: options} as the optimizer holds them."""
    wrapper = PatternOptimWrapperConstructor(dict(optimizer=dict(optimizer)), paramwise)(model)
    names = {id(p): name for name, p in model.named_parameters()}
    return {names[id(p)]: group for group in wrapper.optimizer.param_groups for p in group['params']}


def test_frozen_parameters_are_left_out_without_any_rule(model):
    assert set(groups(model)) == {'prompt.weight', 'prompt.bias', *(f'head.{i}.{n}' for i in '01' for n in WB)}


def test_parameters_with_equal_options_share_a_group(model):
    wrapper = PatternOptimWrapperConstructor(dict(optimizer=SGD), dict(custom_keys={'head': dict(lr_mult=0.5)}))(model)
    assert [len(g['params']) for g in wrapper.optimizer.param_groups] == [2, 4]


def test_longest_pattern_wins_and_rules_do_not_apply_to_it(model):
    options = groups(
        model,
        custom_keys={'head': dict(lr_mult=0.5), 'head.0.*': dict(lr_mult=2.0, decay_mult=0.0, momentum=0.9)},
        bias_decay_mult=0.0,
    )
    assert options['head.1.bias']['lr'] == 0.05
    assert options['head.1.bias']['weight_decay'] == 0.01
    first = options['head.0.bias']
    assert (first['lr'], first['weight_decay'], first['momentum']) == (0.2, 0.0, 0.9)
    assert options['prompt.bias']['weight_decay'] == 0.0
    assert options['prompt.weight']['weight_decay'] == 0.01


def test_rules_for_norms_biases_and_vectors(model):
    options = groups(model, norm_decay_mult=0.5, bias_lr_mult=2.0, flat_decay_mult=3.0)
    assert options['head.1.weight']['weight_decay'] == 0.005
    assert options['head.1.bias']['lr'] == 0.1
    assert options['head.0.bias']['lr'] == 0.2
    assert options['head.0.bias']['weight_decay'] == 0.01


def test_a_tied_parameter_is_optimised_once():
    model = nn.ModuleDict({'a': nn.Linear(2, 2, bias=False), 'b': nn.Linear(2, 2, bias=False)})
    model['b'].weight = model['a'].weight
    assert set(groups(model)) == {'a.weight'}


@pytest.mark.parametrize(
    ('paramwise', 'message'),
    [
        (dict(custom_keys={'promt': dict(lr_mult=2)}), r"'promt' matches no trained parameter"),
        (dict(custom_keys={'clip': dict(lr_mult=2)}), r'Trained are prompt.weight'),
        (dict(nrom_decay_mult=0.0), r"Did you mean 'norm_decay_mult'"),
    ],
)
def test_rules_that_apply_to_nothing_are_errors(model, paramwise, message):
    with pytest.raises(ValueError, match=message):
        groups(model, **paramwise)


def test_scaling_what_is_not_set_is_an_error(model):
    with pytest.raises(ValueError, match="scales 'weight_decay'"):
        groups(model, optimizer=dict(type='SGD', lr=0.1), norm_decay_mult=0.0)


def test_nothing_to_train_is_an_error(model):
    with pytest.raises(ValueError, match='no trained parameter'):
        groups(model.requires_grad_(False))


def test_mixed_precision_on_the_cpu_computes_in_bfloat16_and_updates_in_fp32(monkeypatch):
    monkeypatch.setattr('vlprompt.engine.optimizer.get_device', lambda: 'cpu')
    layer = nn.Linear(4, 4)
    before = layer.weight.detach().clone()
    wrapper = AutocastOptimWrapper(optimizer=torch.optim.SGD(layer.parameters(), lr=0.1))
    with wrapper.optim_context(layer):
        out = layer(torch.ones(2, 4))
    wrapper.update_params(out.float().sum())
    assert out.dtype == torch.bfloat16
    assert layer.weight.dtype == torch.float32
    torch.testing.assert_close(layer.weight.detach(), before - 0.2)
    wrapper.load_state_dict(wrapper.state_dict())


@pytest.mark.parametrize('dtype', ['float32', 'half'])
def test_mixed_precision_is_in_16_bits(dtype):
    with pytest.raises(ValueError, match=f"must be 'float16' or 'bfloat16', got '{dtype}'"):
        AutocastOptimWrapper(dtype, optimizer=torch.optim.SGD([nn.Parameter(torch.zeros(1))], lr=0.1))


def test_float16_leaves_out_what_overflows_and_halves_the_scale(monkeypatch):
    monkeypatch.setattr('vlprompt.engine.optimizer.get_device', lambda: 'cpu')
    weight = nn.Parameter(torch.ones(1))
    scaling = dict(init_scale=2.0**20, growth_interval=2)
    wrapper = AutocastOptimWrapper('float16', scaling, optimizer=torch.optim.SGD([weight], lr=0.25))
    scales = []
    for factor in (2.0**120, 1.0, 1.0, 1.0):  # the first overflows once it is scaled
        wrapper.update_params((weight * factor).sum())
        scales.append((wrapper.scaler.get_scale(), weight.item()))
    assert scales == [(2.0**19, 1.0), (2.0**19, 0.75), (2.0**20, 0.5), (2.0**20, 0.25)]
    again = AutocastOptimWrapper('float16', optimizer=torch.optim.SGD([weight], lr=0.25))
    again.load_state_dict(wrapper.state_dict())
    assert again.scaler.state_dict() == wrapper.scaler.state_dict()
    assert again.scaler.state_dict()['_growth_tracker'] == 1
