"""Class weights that start from text: when they start, selective inference, loading."""

import pytest
import torch
import torch.nn.functional as F

from tests.conftest import MICRO
from vlprompt.clip import build_clip
from vlprompt.prompts import ClassWeights, TemplatePrompt

NAMES = ['face', 'sea_lion', 'okapi']


@pytest.fixture
def text():
    torch.manual_seed(0)
    return build_clip(arch=MICRO['rn']).text


def text_features(text, names, templates='a photo of a {}.'):
    features = F.normalize(TemplatePrompt(names, text, templates).encode(text), dim=-1).mean(0)
    return F.normalize(features, dim=-1)


def trained(text, names=NAMES):
    """Weights that have started and moved."""
    prompt = ClassWeights(names, text)
    prompt.encode(text)
    with torch.no_grad():
        prompt.weight.mul_(-2)
    return prompt.eval()


@pytest.mark.parametrize('templates', ['a photo of a {}.', ['a photo of a {}.', 'art of a {}.']])
def test_starts_from_text_in_the_first_training_step(text, templates):
    prompt = ClassWeights(NAMES, text, templates)
    expected = text_features(text, NAMES, templates)[None]
    with torch.no_grad():
        torch.testing.assert_close(prompt.encode(text), expected)
    torch.testing.assert_close(prompt.eval().encode(text).detach(), expected)
    assert not prompt.weight.any(), 'an evaluation does not start it'
    features = prompt.train().encode(text)
    torch.testing.assert_close(features, expected)
    features[0, 1, 0].backward()
    expected_gradient = torch.zeros_like(prompt.weight)
    expected_gradient[1, 0] = 1
    assert torch.equal(prompt.weight.grad, expected_gradient)
    with torch.no_grad():
        prompt.weight.add_(1)
    torch.testing.assert_close(prompt.encode(text), expected + 1, msg='it starts once')


def test_known_classes_have_their_row_and_others_their_text(text):
    prompt = trained(text)
    rows = prompt.weight.detach().clone()
    prompt.set_class_names(['okapi', 'tapir', 'face', 'gerenuk'])
    with torch.no_grad():
        features = prompt.encode(text)[0]
    assert torch.equal(features[[0, 2]], rows[[2, 0]])
    torch.testing.assert_close(features[[1, 3]], text_features(text, ['tapir', 'gerenuk']))
    assert prompt.words.class_names == ('tapir', 'gerenuk')
    prompt.set_class_names(['sea lion'])  # as the prompt sees it
    assert torch.equal(prompt.encode(text)[0], rows[1:2])
    prompt.set_class_names(NAMES)
    assert torch.equal(prompt.encode(text)[0], rows)


def test_equal_names_keep_rows_of_their_own(text):
    """ImageNet has two cranes."""
    prompt = trained(text, ['crane', 'face', 'crane'])
    with torch.no_grad():
        prompt.weight.copy_(torch.arange(3.0)[:, None].expand_as(prompt.weight))
    prompt.set_class_names(['face', 'crane', 'crane', 'crane'])
    assert prompt.encode(text)[0, :, 0].tolist() == [1, 0, 2, 2]


def test_loading_brings_the_classes_along(text):
    prompt = trained(text)
    state = prompt.state_dict()
    other = ClassWeights(['tapir', 'okapi'], text)
    other.meet_checkpoint(state)
    other.load_state_dict(state)
    with torch.no_grad():
        features = other.eval().encode(text)[0]
    assert torch.equal(features[1], prompt.weight[2])
    torch.testing.assert_close(features[:1], text_features(text, ['tapir']))


def test_before_training_the_rows_follow_the_classes(text):
    prompt = ClassWeights(NAMES, text)
    weight = prompt.weight
    prompt.set_class_names(['tapir', 'gerenuk'])
    assert prompt.weight is weight, 'an optimizer may hold it'
    assert weight.shape == (2, 24)
    torch.testing.assert_close(prompt.encode(text)[0], text_features(text, ['tapir', 'gerenuk']))
