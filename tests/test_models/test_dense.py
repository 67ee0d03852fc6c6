"""Pixel-text matching: both kinds of prompting written out, the cache, class names, concatenation, the loss."""

import pytest
import torch
import torch.nn.functional as F

from tests.conftest import MICRO
from vlprompt.clip import ClipFeatures, build_clip
from vlprompt.clip.text.tokenizer import tokenize
from vlprompt.models import PixelTextLoss, PixelTextMatching
from vlprompt.models.dense import ScoreConcat

NAMES = ['wall', 'chest of drawers', 'bed ', 'sky']
PROMPT = dict(type='vlprompt.ContextPrompt', n_ctx=8, ending='', context_length=13, init_std=1.0, init_cut=2.0)
DECODER = dict(type='vlprompt.ContextDecoder', width=16, heads=2, layers=1)


def build(**changes):
    torch.manual_seed(0)
    text = build_clip(arch=MICRO['rn']).text
    kwargs = dict(text=text, class_names=NAMES, prompt=PROMPT, context_decoder=DECODER, gamma=0.5)
    return PixelTextMatching(**{**kwargs, **changes}).eval()


@pytest.fixture
def features():
    generator = torch.Generator().manual_seed(0)
    return ClipFeatures(
        cls=torch.randn(2, 24, generator=generator),
        local=torch.randn(2, 6, 24, generator=generator),
        maps=(),
        grid=(2, 3),
    )


def plain_text(matching, context):
    """(K, C) features of [SOT] context name [EOT] through all positions of the tower, class by class."""
    rows = []
    for name in NAMES:
        ids = tokenize([name], 5)[0]
        embedded = matching.text.token_embedding(ids)
        x = torch.cat([embedded[:1], context, embedded[1:]]) + matching.text.positional_embedding
        x = x[None]
        for block in matching.text.transformer.resblocks:
            x = block(x, causal=True)
        x = matching.text.ln_final(x[0])[int(ids.argmax()) + len(context)]
        rows.append(x @ matching.text.text_projection)
    return torch.stack(rows)


def test_post_model_prompting(features):
    matching = build()
    text = plain_text(matching, matching.prompt.context[0])
    memory = torch.cat([features.cls[:, None], features.local], 1)
    expected = text + 0.5 * matching.context_decoder(text.expand(2, -1, -1), memory)
    matched = matching(features)
    torch.testing.assert_close(matched.text, expected, atol=1e-5, rtol=1e-5)
    pixel = F.cosine_similarity(features.local[1, 4], expected[1, 2], dim=0)
    torch.testing.assert_close(matched.scores[1, 2, 1, 1], pixel, atol=1e-5, rtol=1e-5)


def test_pre_model_prompting(features):
    matching = build(prompting='pre')
    assert not hasattr(matching, 'gamma')
    memory = torch.cat([features.cls[:, None], features.local], 1)
    contexts = matching.context_decoder(matching.prompt.context.expand(2, -1, -1), memory)
    assert contexts.shape == (2, 8, 32)
    assert not torch.allclose(contexts[0], contexts[1])
    expected = torch.stack([plain_text(matching, context) for context in contexts])
    torch.testing.assert_close(matching(features).text, expected, atol=1e-5, rtol=1e-5)


def test_without_a_decoder_the_text_is_shared(features):
    matched = build(context_decoder=None)(features)
    assert matched.text.shape == (1, 4, 24)
    assert matched.scores.shape == (2, 4, 2, 3)


@pytest.mark.parametrize('prompting', ['post', 'pre'])
def test_everything_learned_gets_a_gradient(features, prompting):
    matching = build(prompting=prompting)
    matching.text.requires_grad_(False)
    matching(features).scores.square().sum().backward()
    missing = [n for n, p in matching.named_parameters() if p.requires_grad and p.grad is None]
    assert not missing
    assert matching.prompt.context.grad.abs().sum() > 0


def test_the_text_tower_runs_once_per_evaluation(features, monkeypatch):
    matching = build()
    calls = []
    encode = matching.prompt.encode
    monkeypatch.setattr(matching.prompt, 'encode', lambda text: calls.append(1) or encode(text))
    with torch.no_grad():
        first = matching(features).scores
        torch.testing.assert_close(matching(features).scores, first, atol=0, rtol=0)
        assert len(calls) == 1
        matching.prompt.context.add_(1)
        assert not torch.equal(matching(features).scores, first)
        matching.set_class_names(['tree', 'sea'])
        assert matching(features).scores.shape == (2, 2, 2, 3)
        matching.eval()
        matching(features)
    assert len(calls) == 4


@pytest.mark.parametrize('prompting', ['post', 'pre'])
def test_mixed_precision_in_turns_with_full(features, prompting):
    matching = build(prompting=prompting)
    with torch.no_grad():
        expected = matching(features).scores
        with torch.autocast('cpu', dtype=torch.bfloat16):
            scores = matching(features).scores
        assert scores.dtype == torch.float32
        torch.testing.assert_close(scores, expected, atol=0.02, rtol=0)
        assert not torch.equal(scores, expected)
        assert torch.equal(matching(features).scores, expected)


def test_the_tower_is_cut_to_the_prompt():
    matching = build()
    assert matching.text.context_length == len(matching.text.positional_embedding) == 13


@pytest.mark.parametrize(
    ('changes', 'message'),
    [
        (dict(prompting='mid'), 'mid'),
        (dict(prompting='pre', context_decoder=None), 'context_decoder'),
        (dict(prompting='pre', prompt=dict(PROMPT, class_specific=True)), 'class_specific=False'),
        (dict(prompt=dict(PROMPT, n_prompts=2)), 'one prompt per class'),
        (
            dict(prompt=dict(PROMPT, type='vlprompt.ConditionalPrompt', reduction=1)),
            "prompting='pre' with a ContextPrompt",
        ),
        (dict(class_names=['wall', 'a very long class name']), r"'a very long class name'.*context_length=15"),
    ],
)
def test_bad_arguments_are_named(changes, message):
    with pytest.raises(ValueError, match=message):
        build(**changes)


def test_new_names_must_fit():
    with pytest.raises(ValueError, match="'crosswalk with a traffic island'"):
        build().set_class_names(['wall', 'crosswalk with a traffic island'])


def test_concatenation_and_its_channels():
    maps = tuple(torch.randn(2, c, s, s) for c, s in ((4, 8), (8, 4), (16, 2)))
    scores = torch.rand(2, 3, 2, 2)
    concat = ScoreConcat(stage=2, temperature=0.5)
    result = concat(maps, scores)
    assert concat.channels([4, 8, 16], 3) == [m.shape[1] for m in result] == [4, 8, 19]
    assert torch.equal(result[2], torch.cat([maps[2], scores / 0.5], 1))
    resized = ScoreConcat(stage=1)(maps, scores)[1]
    torch.testing.assert_close(resized[:, 8:], F.interpolate(scores, size=(4, 4), mode='bilinear'))
    with pytest.raises(ValueError, match='maps 0 to 2'):
        ScoreConcat(stage=3).channels([4, 8, 16], 3)


def test_loss_divides_by_all_pixels_unless_told_otherwise():
    scores, labels = torch.rand(1, 3, 4, 4) * 2 - 1, torch.randint(0, 3, (1, 8, 8))
    labels[0, :2] = 255
    logits = F.interpolate(scores / 0.1, size=(8, 8), mode='bilinear')
    mean = F.cross_entropy(logits, labels, ignore_index=255)
    result = PixelTextLoss(temperature=0.1, weight=0.4)(scores, labels)
    torch.testing.assert_close(result['loss_ce'], 0.4 * mean * 48 / 64)
    exact = PixelTextLoss(temperature=0.1, weight=0.4, avg_non_ignore=True)(scores, labels)
    torch.testing.assert_close(exact['loss_ce'], 0.4 * mean)
    accuracy = (logits.argmax(1) == labels)[labels != 255].float().mean() * 100
    torch.testing.assert_close(result['acc_seg'], accuracy)
    blank = PixelTextLoss(avg_non_ignore=True)(scores, torch.full_like(labels, 255))
    assert blank['loss_ce'] == blank['acc_seg'] == 0


def test_no_mmseg_is_needed():
    """The shared half of dense prediction must be usable without importing mmseg or mmdet."""
    import subprocess
    import sys

    code = 'import vlprompt.models, sys; sys.exit(any(m in sys.modules for m in ("mmseg", "mmdet")))'
    assert subprocess.run([sys.executable, '-c', code]).returncode == 0
