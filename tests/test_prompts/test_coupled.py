"""MaPLe: against a plain loop over the blocks of both towers, its sizes, its errors."""

from types import SimpleNamespace

import pytest
import torch

from vlprompt.clip import CLIP
from vlprompt.clip.text.tokenizer import CLIP_TOKENIZER, tokenize
from vlprompt.prompts import ContextPrompt, CoupledPrompt, TemplatePrompt

NAMES = ['face', 'sea_lion', '2012 Audi S4 Sedan']
DEPTH = 3


@pytest.fixture
def parts(seeded):
    from tests.conftest import MICRO

    clip = CLIP(MICRO['vit'] | dict(vision_layers=4, transformer_layers=4)).eval().requires_grad_(False)
    prompt = ContextPrompt(NAMES, clip.text, n_ctx=2, init='a photo of a', depth=DEPTH)
    return clip, prompt, CoupledPrompt(64, 4, 16, prompt)


def through_blocks(blocks, x, deep, causal):
    """(L, W) tokens through all blocks; deep[i] replaces some rows in front of block i."""
    for index, block in enumerate(blocks):
        if index in deep:
            rows, tokens = deep[index]
            x = x.clone()
            x[rows] = tokens
        x = block(x[None], causal=causal)[0]
    return x


def plain_text(clip, prompt):
    text, out = clip.text, []
    for row in tokenize([f'a photo of a {name.replace("_", " ")}.' for name in NAMES]):
        tokens = text.token_embedding.weight[row]
        x = torch.cat([tokens[:1], prompt.context[0], tokens[3:]]) + text.positional_embedding
        deep = {i + 1: (slice(1, 3), prompt.deep[i, 0]) for i in range(DEPTH - 1)}
        x = through_blocks(text.transformer.resblocks, x, deep, causal=True)
        out.append(text.ln_final(x[row.argmax()]) @ text.text_projection)
    return torch.stack(out)


def plain_image(clip, prompt, coupled, images):
    visual, out = clip.visual, []
    vectors = [prompt.context[0], *prompt.deep[:, 0]]
    tokens = [v @ layer.weight.T + layer.bias for v, layer in zip(vectors, coupled.projections, strict=True)]
    for image in images:
        x = visual.ln_pre(torch.cat([visual.embed(image[None])[0][0], tokens[0]]))
        deep = {i: (slice(-2, None), tokens[i]) for i in range(1, DEPTH)}
        x = through_blocks(visual.transformer.resblocks, x, deep, causal=False)
        out.append(visual.ln_post(x[0]) @ visual.proj)
    return torch.stack(out)


def test_equals_the_plain_loop(parts):
    clip, prompt, coupled = parts
    images = torch.randn(2, 3, 64, 64)
    parameters = [*prompt.parameters(), *coupled.parameters()]
    text, image = plain_text(clip, prompt), plain_image(clip, prompt, coupled, images)
    wanted = torch.autograd.grad((image @ text.T).sin().sum(), parameters)
    for reference in (False, True):
        fast_text = prompt.encode(clip.text, reference=reference)[0]
        fast_image = clip.encode_image(images, local=False, maps=False, prompts=coupled(prompt)).cls
        assert (fast_text - text).abs().max() < 2e-6 * text.abs().max()
        assert (fast_image - image).abs().max() < 2e-6 * image.abs().max()
        gradients = torch.autograd.grad((fast_image @ fast_text.T).sin().sum(), parameters)
        for ours, theirs in zip(gradients, wanted, strict=True):
            assert (ours - theirs).abs().max() <= 1e-4 * theirs.abs().max()
            assert ours.any()


def test_published_parameter_count():
    blocks = [None] * 12
    wide = SimpleNamespace(
        tokenizer=CLIP_TOKENIZER,
        takes_deep_prompts=True,
        width=512,
        context_length=77,
        transformer=SimpleNamespace(resblocks=blocks),
    )
    prompt = ContextPrompt(NAMES, wide, n_ctx=2, depth=9)
    coupled = CoupledPrompt(768, 12, 16, prompt)
    assert sum(p.numel() for module in (prompt, coupled) for p in module.parameters()) == 3_555_072


def test_deep_projections_start_equal(parts):
    first, second, third = parts[2].projections
    assert second.weight.equal(third.weight)
    assert second.weight is not third.weight
    assert not first.weight.equal(second.weight)


def test_errors(parts):
    clip, prompt, _ = parts
    with pytest.raises(ValueError, match='depth=3, but the image tower has 2 blocks'):
        CoupledPrompt(64, 2, 16, prompt)
    for other in (
        TemplatePrompt(NAMES, clip.text),
        ContextPrompt(NAMES, clip.text, n_prompts=2),
        ContextPrompt(NAMES, clip.text, class_specific=True),
    ):
        with pytest.raises(ValueError, match='n_prompts=1 and class_specific=False'):
            CoupledPrompt(64, 4, 16, other)
