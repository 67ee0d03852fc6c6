"""CoCoOp: against a loop over images, classes and all 77 positions, its sizes, its errors."""

from types import SimpleNamespace

import pytest
import torch
import torch.nn.functional as F

from vlprompt.alignment import CosineAlignment
from vlprompt.clip import CLIP, ClipFeatures
from vlprompt.clip.text.tokenizer import CLIP_TOKENIZER, tokenize
from vlprompt.prompts import ConditionalPrompt

NAMES = ['face', 'sea_lion', '2012 Audi S4 Sedan']


@pytest.fixture
def clip(micro_rn, seeded):
    return CLIP(micro_rn).eval().requires_grad_(False)


def images(count=3):
    return ClipFeatures(torch.randn(count, 24, generator=torch.Generator().manual_seed(1)), None, (), (1, 1))


def per_image_loop(prompt, clip, features):
    """(B, K, D) as the paper writes it: one prompt at a time through a plain causal transformer, all positions."""
    text, out = clip.text, []
    ids = tokenize([f'a photo of a {name.replace("_", " ")}.' for name in NAMES])
    for image in features.cls:
        x = image / image.norm()
        hidden = (prompt.meta_net.linear1.weight @ x + prompt.meta_net.linear1.bias).clamp(min=0)
        shift = prompt.meta_net.linear2.weight @ hidden + prompt.meta_net.linear2.bias
        for row in ids:
            tokens = text.token_embedding.weight[row]
            tokens = torch.cat([tokens[:1], prompt.context[0] + shift, tokens[5:]]) + text.positional_embedding
            tokens = tokens[None]
            for block in text.transformer.resblocks:
                tokens = block(tokens, causal=True)
            out.append(text.ln_final(tokens[0, row.argmax()]) @ text.text_projection)
    return torch.stack(out).unflatten(0, (-1, len(NAMES)))


def test_equals_the_loop_over_images(clip):
    prompt = ConditionalPrompt(NAMES, clip.text, init='a photo of a', reduction=4)
    features = images()
    expected = per_image_loop(prompt, clip, features)
    scale, alignment = clip.logit_scale.exp(), CosineAlignment()
    loop = scale * F.cosine_similarity(expected, features.cls.unsqueeze(1), dim=2)
    parameters = [*prompt.parameters()]
    wanted = torch.autograd.grad(F.cross_entropy(loop, torch.tensor([0, 2, 1])), parameters)
    for reference in (False, True):
        text = prompt.encode(clip.text, features, reference=reference)
        assert text.shape == (3, 1, 3, 24)
        assert (text[:, 0] - expected).abs().max() < 2e-6 * expected.abs().max()
        logits = alignment(features, text, scale).logits
        torch.testing.assert_close(logits, loop)
        gradients = torch.autograd.grad(F.cross_entropy(logits, torch.tensor([0, 2, 1])), parameters)
        for ours, theirs in zip(gradients, wanted, strict=True):
            assert (ours - theirs).abs().max() <= 1e-4 * theirs.abs().max()
            assert ours.any()


@pytest.mark.parametrize('options', [dict(n_prompts=2), dict(class_specific=True), dict(position='middle')], ids=str)
def test_images_do_not_see_each_other(clip, options):
    prompt = ConditionalPrompt(NAMES, clip.text, n_ctx=4, **options)
    features = images()
    text = prompt.encode(clip.text, features)
    for index in range(3):
        alone = prompt.encode(clip.text, ClipFeatures(features.cls[index : index + 1], None, (), (1, 1)))
        torch.testing.assert_close(text[index], alone[0], atol=1e-5, rtol=1e-5)


def test_length_of_the_image_feature_does_not_matter(clip):
    prompt, features = ConditionalPrompt(NAMES, clip.text, n_ctx=4, reduction=4), images()
    longer = ClipFeatures(features.cls * 7, None, (), (1, 1))
    torch.testing.assert_close(prompt.encode(clip.text, features), prompt.encode(clip.text, longer))


@pytest.mark.parametrize(('n_ctx', 'parameters'), [(16, 41_504), (4, 35_360)])
def test_published_parameter_counts(n_ctx, parameters):
    wide = SimpleNamespace(tokenizer=CLIP_TOKENIZER, width=512, context_length=77, embed_dim=512)
    assert sum(p.numel() for p in ConditionalPrompt(NAMES, wide, n_ctx=n_ctx).parameters()) == parameters


def test_errors(clip):
    with pytest.raises(ValueError, match='its features must be given'):
        ConditionalPrompt(NAMES, clip.text).encode(clip.text)
    for reduction in (25, 0, -4, 2.5):
        with pytest.raises(ValueError, match=f'ConditionalPrompt: reduction={reduction} must be .* from 1 to 24'):
            ConditionalPrompt(NAMES, clip.text, reduction=reduction)
    assert ConditionalPrompt(NAMES, clip.text, reduction=24).meta_net.linear1.out_features == 1
