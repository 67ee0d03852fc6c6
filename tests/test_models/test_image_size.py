"""Images of another size than the tower was built for: taken, with one warning."""

import pytest
import torch

from tests.conftest import MICRO
from vlprompt.models import HeadClassifier, ReIdentifier, TextClassifier, base

VIT = dict(arch=MICRO['vit'])


def text_classifier(tower):
    prompt, alignment = dict(type='vlprompt.ContextPrompt', n_ctx=2), dict(type='vlprompt.CosineAlignment')
    return TextClassifier(dict(arch=MICRO[tower]), prompt, alignment, class_names=['cat', 'dog'])


MODELS = {
    'text-vit': lambda: text_classifier('vit'),
    'text-rn': lambda: text_classifier('rn'),
    'head': lambda: HeadClassifier(
        dict(type='vlprompt.LinearHead'), dict(type='vlprompt.LogitAdjustedLoss'), ['head.*'], 2, clip=VIT
    ),
    'reid': lambda: ReIdentifier(dict(VIT, image_size=(64, 64)), num_ids=2),
}


@pytest.mark.parametrize('name', MODELS)
def test_another_image_size_is_said_once(name, monkeypatch):
    said = []
    monkeypatch.setattr(base, 'print_log', lambda message, **_: said.append(message))
    model = MODELS[name]().eval()
    side = MICRO['rn' if name == 'text-rn' else 'vit']['image_size']
    with torch.no_grad():
        model(torch.zeros(1, 3, side, side))
        assert not said, 'the size that the tower was built for'
        for _ in range(2):
            model(torch.zeros(1, 3, side, 2 * side))
    (message,) = said
    assert f'Images of {side} x {2 * side} pixels, but the image tower was built for {side} x {side}' in message
