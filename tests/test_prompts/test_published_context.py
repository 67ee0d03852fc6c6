"""The published contexts of PLOT++ on ImageNet: a template that is a word short."""

import pytest
import torch

from tests.conftest import MICRO
from vlprompt.clip import build_clip
from vlprompt.clip.text.tokenizer import encode
from vlprompt.prompts import ContextPrompt, PublishedContextPrompt

NAMES = ['face', 'sea lion', 'tea']
WORDS = ['a photo of a', 'this is a']


@pytest.fixture(scope='module')
def text():
    torch.manual_seed(0)
    return build_clip(arch=MICRO['vit']).text.requires_grad_(False)


def test_the_short_template_takes_the_end_token_and_a_word_of_the_name(text):
    prompt = PublishedContextPrompt(NAMES, text, WORDS, 4)
    table, end = text.token_embedding.weight, int(prompt.name_ids.max())
    expected = torch.tensor([encode(WORDS[0]), [*encode(WORDS[1]), end]])
    assert torch.equal(prompt.context, table[expected])
    tokens = prompt(text)
    for name, suffix, stop in zip(NAMES, tokens.suffix[1], tokens.eot[1], strict=True):
        ids = [*encode(name)[1:], *encode('.'), end]
        assert torch.equal(suffix[: len(ids)], table[torch.tensor(ids)])
        assert stop == 5 + len(ids) - 1
    torch.testing.assert_close(prompt.encode(text), prompt.encode(text, reference=True), atol=1e-5, rtol=1e-5)
    plain = ContextPrompt(NAMES, text, init=WORDS[0]).encode(text)[0]
    torch.testing.assert_close(prompt.encode(text)[0], plain)


def test_what_was_not_published(text):
    for init, options in ((['a photo'], {}), (WORDS, dict(position='front'))):
        with pytest.raises(ValueError, match='at most one token short, before the name'):
            PublishedContextPrompt(NAMES, text, init, 4, **options)
