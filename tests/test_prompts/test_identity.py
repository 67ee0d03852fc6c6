"""Identity prompts: tokens, the short path against all positions, gradients."""

import pytest
import torch

from tests.conftest import MICRO
from vlprompt.clip import build_clip
from vlprompt.clip.text.tokenizer import tokenize
from vlprompt.prompts import IdentityPrompt


@pytest.fixture
def text():
    torch.manual_seed(0)
    return build_clip(MICRO['rn']).text


@pytest.mark.parametrize(('noun', 'word'), [('person', 2533), ('vehicle', 5299)])
def test_words(text, noun, word):
    prompt = IdentityPrompt(3, text, noun)
    full = prompt().embeddings(77)
    ids = [49406, 320, 1125, 539, 320, 343, 343, 343, 343, word, 269, 49407]
    assert tokenize(f'A photo of a X X X X {noun}.')[0, :12].tolist() == ids
    expected = text.token_embedding(torch.tensor(ids)).detach()
    for k in range(3):
        torch.testing.assert_close(full[0, k, :5], expected[:5])
        torch.testing.assert_close(full[0, k, 5:9], prompt.context[k])
        torch.testing.assert_close(full[0, k, 9:12], expected[9:])
    assert prompt().eot.tolist() == [[11] * 3]
    assert prompt().suffix.shape[2] == 7
    assert 0.01 < prompt.context.std() < 0.03


def test_short_path_and_gradients(text):
    prompt = IdentityPrompt(4, text)
    ids = torch.tensor([2, 0])
    weights = torch.randn(2, 24)
    results = []
    for reference in (False, True):
        prompt.context.grad = None
        features = prompt.encode(text, reference=reference, ids=ids)[0]
        (features * weights).sum().backward()
        results.append((features.detach(), prompt.context.grad))
    for short, full in zip(*results, strict=True):
        torch.testing.assert_close(short, full, atol=1e-5, rtol=1e-4)
    assert not results[0][1][[1, 3]].any()  # dense, zero for identities outside of the batch
    torch.testing.assert_close(prompt.encode(text)[0, ids], results[0][0])


def test_errors(text):
    with pytest.raises(ValueError, match='num_ids=0'):
        IdentityPrompt(0, text)
    with pytest.raises(ValueError, match='take 78 positions'):
        IdentityPrompt(1, text, n_ctx=70)
    with pytest.raises(ValueError, match='have no names'):
        IdentityPrompt(1, text).set_class_names(['a'])
