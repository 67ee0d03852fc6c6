import pytest
from torch import nn

from vlprompt.models import select_trainable
from vlprompt.models.freezing import describe_trainable, without_report


@pytest.fixture
def model():
    return nn.ModuleDict({'prompt': nn.Linear(3, 2), 'clip': nn.Sequential(nn.Linear(2, 4), nn.LayerNorm(4))})


def trained(model):
    return [name for name, p in model.named_parameters() if p.requires_grad]


@pytest.mark.parametrize(
    ('patterns', 'names'),
    [
        (['prompt.weight'], ['prompt.weight']),
        (['prompt.*'], ['prompt.weight', 'prompt.bias']),
        (['*.bias', 'prompt.weight'], ['prompt.weight', 'prompt.bias', 'clip.0.bias', 'clip.1.bias']),
        (['clip.[01].weight'], ['clip.0.weight', 'clip.1.weight']),
        ([], []),
    ],
)
def test_patterns_choose_and_everything_else_is_frozen(model, patterns, names):
    assert select_trainable(model, patterns) == names
    assert trained(model) == names


def test_frozen_parameters_can_be_trained_again(model):
    select_trainable(model, [])
    select_trainable(model, ['*'])
    assert len(trained(model)) == 6


def test_a_pattern_without_match_names_the_closest_parameters(model):
    with pytest.raises(ValueError, match=r"'promt.weight' matches none of the 6 .*'prompt.weight'"):
        select_trainable(model, ['clip.*', 'promt.weight'])
    with pytest.raises(ValueError, match=r'named clip.0.weight, clip.0.bias'):
        select_trainable(model, ['clip.vision_transformer_blocks.*'])


def test_a_string_is_not_a_sequence_of_patterns(model):
    with pytest.raises(TypeError, match=r"write \['prompt.\*'\]"):
        select_trainable(model, 'prompt.*')


def test_report_counts_numbers_not_tensors(model):
    select_trainable(model, ['prompt.*'])
    report = describe_trainable(model)
    assert 'prompt.weight: (2, 3) = 6' in report
    assert 'trained: 8 in 2 tensors; frozen: 20 in 4 tensors' in report


def test_models_for_predictions_do_not_report(model, monkeypatch):
    shown = []
    monkeypatch.setattr('vlprompt.models.freezing.print_log', lambda text, logger: shown.append(text))
    with without_report():
        select_trainable(model, ['*'])
    assert shown == []
    select_trainable(model, ['*'])
    assert shown[0].startswith('Trained parameters of ')
