"""PromptTokens."""

import pytest
import torch

from vlprompt.clip import PromptTokens
from vlprompt.clip.text.packing import TextLayout


def tokens(prompts=2, classes=3, shared=2, rows=4, width=5, eot=4) -> PromptTokens:
    return PromptTokens(
        torch.randn(prompts, shared, width),
        torch.randn(prompts, classes, rows, width),
        TextLayout([[eot] * classes] * prompts),
    )


@pytest.mark.parametrize('length', [5, 6, 9])
def test_embeddings_are_prefix_suffix_and_zeros(length):
    t = tokens()
    full = t.embeddings(length)
    assert full.shape == (2, 3, length, 5)
    assert full[1, 2, :2].equal(t.prefix[1])
    assert full[1, 2, 2:6].equal(t.suffix[1, 2, : length - 2])
    assert not full[:, :, 6:].any()


def test_embeddings_must_hold_the_end_token():
    with pytest.raises(ValueError, match='position 4, outside of 4'):
        tokens().embeddings(4)


def test_select_classes():
    t = tokens(shared=3)
    t.deep = (torch.randn(2, 2, 5),)
    assert t.select_classes(slice(1, None)).deep == t.deep
    assert t.select_classes(slice(1, None)).num_classes == 2
    assert t.select_classes(torch.tensor([2, 0])).suffix[:, 0].equal(t.suffix[:, 2])


@pytest.mark.parametrize(
    ('prefix', 'suffix', 'eot', 'message'),
    [
        ((2, 1, 5), (2, 3, 4), (2, 3), 'expected prefix'),
        ((2, 1, 5), (1, 3, 4, 5), (1, 3), 'must agree'),
        ((2, 1, 5), (2, 3, 4, 6), (2, 3), 'must agree'),
        ((2, 1, 5), (2, 3, 4, 5), (2, 4), 'must agree'),
    ],
)
def test_shapes_are_checked(prefix, suffix, eot, message):
    with pytest.raises(ValueError, match=message):
        PromptTokens(torch.zeros(prefix), torch.zeros(suffix), TextLayout(torch.zeros(eot).tolist()))


@pytest.mark.parametrize('shape', [(2, 2, 5), (1, 1, 5), (2, 1, 4), (2, 5)])
def test_deep_prompts_lie_in_the_prefix(shape):
    t = tokens(shared=2)
    with pytest.raises(ValueError, match=r'deep prompts must be \(P, n, W\) = \(2, n, 5\).*n < 2'):
        PromptTokens(t.prefix, t.suffix, t.layout, (torch.zeros(shape),))
