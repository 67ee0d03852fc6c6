"""The shared-prefix text tower against the path over all positions."""

import pytest
import torch

from tests.test_clip.conftest import random_prompts
from vlprompt.clip import PromptTokens, TextEncoder
from vlprompt.clip.text.encode_shared import saved_bytes_per_token, working_bytes_per_token
from vlprompt.clip.text.packing import PassCosts, TextLayout

LAYOUTS = {
    'class-specific: start token only': (1, 1, [[5, 9, 5, 2]]),
    'one prompt': (1, 6, [[3, 3, 4, 2, 7]]),
    'four prompts': (4, 6, [[3, 3, 4, 2]] * 4),
    'four class-specific prompts': (4, 1, [[8, 3, 8]] * 4),
    'prompts whose classes have other lengths': (3, 4, [[3, 1, 2], [1, 1, 5], [2, 3, 1]]),
    'end token right after the prefix': (2, 4, [[1, 1, 1]] * 2),
    'a single class': (2, 5, [[4]] * 2),
    'a single class, a single token': (1, 5, [[1]]),
    'the last position': (1, 3, [[17, 2]]),
}


def features_and_gradients(encoder: TextEncoder, tokens: PromptTokens, **kwargs):
    out = encoder(tokens, **kwargs)
    weights = torch.randn(out.shape, generator=torch.Generator().manual_seed(0))
    return out, *torch.autograd.grad((out * weights).sum(), (tokens.prefix, tokens.suffix))


def assert_same(actual, expected):
    for a, e in zip(actual, expected, strict=True):
        assert a.shape == e.shape
        assert (a - e).abs().max() <= 1e-5 * e.abs().max()


PACKINGS = {'exact': None, 'some buckets': PassCosts(1, 3), 'one bucket': PassCosts(0, 1)}


@pytest.mark.parametrize('layout', LAYOUTS)
@pytest.mark.parametrize('packing', PACKINGS)
@pytest.mark.parametrize('tokens_in_budget', [None, 4], ids=['whole', 'chunks recomputed'])
def test_features_and_context_gradients_agree_with_the_reference(text_encoder, layout, packing, tokens_in_budget):
    """On a CPU with exact buckets, and in the way of a GPU: padded buckets, fused attention."""
    prompts, shared, lengths = LAYOUTS[layout]
    text_encoder.costs = PACKINGS[packing]
    tokens = random_prompts(prompts, shared, lengths)
    expected = features_and_gradients(text_encoder, tokens, reference=True)
    if tokens_in_budget:
        text_encoder.memory_budget = tokens_in_budget * saved_bytes_per_token(text_encoder, 20)
    assert_same(features_and_gradients(text_encoder, tokens), expected)


def plain_transformer(encoder: TextEncoder, tokens: PromptTokens) -> torch.Tensor:
    """Every prompt on its own, position by position, deep prompts written into the residual stream."""
    out = []
    for p, k in [(p, k) for p in range(len(tokens.prefix)) for k in range(tokens.num_classes)]:
        x = tokens.embeddings(encoder.context_length)[p, k] + encoder.positional_embedding
        for index, block in enumerate(encoder.transformer.resblocks):
            if 0 < index <= len(tokens.deep):
                prompt = tokens.deep[index - 1][p]
                x = torch.cat([x[:1], prompt, x[1 + len(prompt) :]])
            x = block(x[None], causal=True)[0]
        out.append(encoder.ln_final(x[tokens.eot[p, k]]) @ encoder.text_projection)
    return torch.stack(out).unflatten(0, tokens.eot.shape)


@pytest.mark.parametrize('lengths', [(3,), (3, 1), (4, 4)], ids=str)
@pytest.mark.parametrize('packing', PACKINGS)
@pytest.mark.parametrize('tokens_in_budget', [None, 4], ids=['whole', 'chunks recomputed'])
def test_deep_prompts_stand_in_the_shared_prefix(text_encoder, lengths, packing, tokens_in_budget):
    """Features and gradients of prefix, suffix and every deep prompt; also where deep prompts alone need gradients."""
    text_encoder.costs = PACKINGS[packing]
    plain = random_prompts(3, 5, [[3, 3, 4, 2], [1, 3, 4, 2], [2, 2, 2, 2]])
    deep = tuple(torch.randn(3, n, 24).requires_grad_() for n in lengths)
    tokens = PromptTokens(plain.prefix, plain.suffix, plain.layout, deep)
    weights = torch.randn(3, 4, 8)
    if tokens_in_budget:
        text_encoder.memory_budget = tokens_in_budget * saved_bytes_per_token(text_encoder, 20)
    inputs = (tokens.prefix, tokens.suffix, *deep)
    results = []
    for encode in (
        text_encoder,
        lambda t: text_encoder(t, reference=True),
        lambda t: plain_transformer(text_encoder, t),
    ):
        out = encode(tokens)
        results.append((out, *torch.autograd.grad((out * weights).sum(), inputs)))
    assert all(gradient.any() for gradient in results[0])
    assert_same(results[0], results[2])
    assert_same(results[1], results[2])
    frozen = PromptTokens(tokens.prefix.detach(), tokens.suffix.detach(), tokens.layout, deep)
    assert_same(torch.autograd.grad((text_encoder(frozen) * weights).sum(), deep), results[2][3:])


def test_more_deep_prompts_than_blocks(text_encoder):
    plain = random_prompts(1, 3, [[3, 1]])
    tokens = PromptTokens(plain.prefix, plain.suffix, plain.layout, (torch.randn(1, 2, 24),) * 3)
    for reference in (False, True):
        with pytest.raises(ValueError, match='3 deep prompts need a text tower of 4 blocks, this one has 3'):
            text_encoder(tokens, reference=reference)


def test_coop_layout_with_seventeen_shared_positions(seeded):
    encoder = TextEncoder(embed_dim=8, vocab_size=50, width=32, heads=2, layers=2)
    tokens = random_prompts(1, 17, [[3, 4, 3, 6, 9]], width=32)
    assert_same(features_and_gradients(encoder, tokens), features_and_gradients(encoder, tokens, reference=True))


@pytest.mark.parametrize('packing', PACKINGS)
@pytest.mark.parametrize('tokens_in_budget', [10**6, 7, 1])
def test_chunks_without_gradient(text_encoder, packing, tokens_in_budget):
    text_encoder.costs = PACKINGS[packing]
    tokens = random_prompts(2, 4, [[3, 1, 2, 5, 3, 3]] * 2)
    text_encoder.memory_budget = tokens_in_budget * working_bytes_per_token(text_encoder, 20)
    with torch.no_grad():
        assert_same([text_encoder(tokens)], [text_encoder(tokens, reference=True)])


@pytest.mark.parametrize('packing', PACKINGS)
def test_weight_gradients_agree_too(text_encoder, packing):
    text_encoder.costs = PACKINGS[packing]
    text_encoder.requires_grad_(True)
    tokens = random_prompts(2, 4, [[3, 1, 2]] * 2)
    gradients = []
    for reference in (True, False):
        text_encoder.zero_grad()
        text_encoder(tokens, reference=reference).sin().sum().backward()
        gradients.append({key: p.grad for key, p in text_encoder.named_parameters() if p.grad is not None})
    assert gradients[0].keys() == gradients[1].keys()
    for key, expected in gradients[0].items():
        if key.endswith('positional_embedding'):
            assert not expected[8:].any(), 'positions after the last end token receive no gradient'
        torch.testing.assert_close(gradients[1][key], expected, rtol=1e-4, atol=1e-5 * float(expected.abs().max()))


@pytest.mark.parametrize('packing', PACKINGS)
def test_gradients_of_a_suffix_that_all_prompts_share(text_encoder, packing):
    """It is expanded, and its rows are not copied for every prompt."""
    text_encoder.costs = PACKINGS[packing]
    tokens = random_prompts(3, 4, [[3, 1, 2]] * 3)
    suffix = tokens.suffix[:1].detach().requires_grad_()
    found = []
    for reference in (False, True):
        shared = PromptTokens(tokens.prefix, suffix.expand(3, -1, -1, -1), tokens.layout)
        out = text_encoder(shared, reference=reference)
        weights = torch.randn(out.shape, generator=torch.Generator().manual_seed(0))
        found.append((out, *torch.autograd.grad((out * weights).sum(), (tokens.prefix, suffix))))
    assert_same(found[0], found[1])


def test_prefix_and_suffix_may_be_expanded_views(text_encoder):
    tokens = random_prompts(1, 4, [[3, 1, 2]])
    views = PromptTokens(
        tokens.prefix.expand(3, -1, -1), tokens.suffix.expand(3, -1, -1, -1), TextLayout(tokens.layout.ends * 3)
    )
    with torch.no_grad():
        assert_same([text_encoder(views)[2:]], [text_encoder(tokens)])


@pytest.mark.parametrize('packing', PACKINGS)
def test_rows_after_the_end_token_have_no_effect(text_encoder, packing):
    text_encoder.costs = PACKINGS[packing]
    tokens = random_prompts(1, 4, [[3, 1, 2]])
    expected = features_and_gradients(text_encoder, tokens)
    with torch.no_grad():
        for k, end in enumerate((3, 1, 2)):
            tokens.suffix[:, k, end:] = 100.0
    assert_same(features_and_gradients(text_encoder, tokens), expected)
    assert not any(expected[2][:, k, end:].any() for k, end in enumerate((3, 1, 2)))


@pytest.mark.parametrize('packing', PACKINGS)
def test_estimate_of_kept_bytes(packing):
    """It may not be below what autograd keeps, nor more than half above it."""
    encoder = TextEncoder(embed_dim=32, vocab_size=50, width=128, heads=2, layers=4).requires_grad_(False)
    encoder.costs = PACKINGS[packing]
    tokens = random_prompts(1, 5, [[3, 4, 5] * 30], width=128)
    kept: dict[int, int] = {}
    held = []

    def pack(tensor):
        storage = tensor.untyped_storage()
        held.append(storage)
        kept[storage.data_ptr()] = storage.nbytes()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        encoder(tokens)
    for parameter in encoder.parameters():
        kept.pop(parameter.untyped_storage().data_ptr(), None)
    buckets = tokens.layout.buckets(5, encoder.costs)
    total = 5 + sum(bucket.num_tokens for bucket in buckets)
    copied = 0 if packing == 'exact' else sum(b.num_sequences * (5 + b.length) for b in buckets) / total
    estimate = saved_bytes_per_token(encoder, 10, copied=copied) * total
    assert 2 / 3 * estimate < sum(kept.values()) < estimate


def test_plain_texts(text_encoder):
    ids = torch.tensor([[40, 1, 2, 3, 49, 0, 0], [40, 1, 2, 49, 0, 0, 0], [40, 1, 2, 5, 6, 7, 49]])
    tokens = text_encoder.from_ids(ids[None])
    assert tokens.shared_length == 3
    assert tokens.suffix.shape == (1, 3, 4, 24)
    with torch.no_grad():
        assert_same([text_encoder.encode_ids(ids)], [text_encoder(tokens, reference=True)[0]])


def test_one_text_shares_all_but_its_end_token(text_encoder):
    tokens = text_encoder.from_ids(torch.tensor([[[40, 1, 2, 49, 0]]]))
    assert tokens.shared_length == 3


def test_prompts_share_as_far_as_all_of_them_do(text_encoder):
    ids = torch.tensor([[[40, 1, 2, 49], [40, 1, 3, 49]], [[40, 4, 2, 49], [40, 5, 2, 49]]])
    assert text_encoder.from_ids(ids).shared_length == 1


def test_ids_without_start_token_are_an_error(text_encoder):
    with pytest.raises(ValueError, match='start token'):
        text_encoder.from_ids(torch.tensor([[[1, 2, 49], [2, 2, 49]]]))


@pytest.mark.parametrize(
    ('eot', 'message'),
    [(20, 'class 1: .*position 20, but the text tower has 20'), (9, 'holds positions 4 to 8'), (3, 'position 3')],
)
def test_end_token_must_be_there(text_encoder, eot, message):
    tokens = random_prompts(1, 4, [[3, 3]])
    tokens.layout = TextLayout([[tokens.layout.ends[0][0], eot]])
    for reference in (False, True):
        with pytest.raises(ValueError, match=message):
            text_encoder(tokens, reference=reference)


def test_shortened_tower_gives_the_same_features(text_encoder):
    tokens = random_prompts(1, 4, [[3, 1, 2]])
    with torch.no_grad():
        expected = text_encoder(tokens)
        text_encoder.shorten(7)
        assert_same([text_encoder(tokens)], [expected])
        assert_same([text_encoder(tokens, reference=True)], [expected])
    assert text_encoder.positional_embedding.shape == (7, 24)
    assert not text_encoder.positional_embedding.requires_grad
    with pytest.raises(ValueError, match='has 7 positions, 8 were asked for'):
        text_encoder.shorten(8)


@pytest.mark.parametrize('packing', PACKINGS)
def test_autocast_keeps_norms_in_fp32_and_stays_close(text_encoder, packing):
    text_encoder.costs = PACKINGS[packing]
    tokens = random_prompts(1, 4, [[3, 1, 2]])
    exact = text_encoder(tokens)
    with torch.autocast('cpu', dtype=torch.bfloat16):
        rough = text_encoder(tokens)
    assert (rough - exact).abs().max() < 0.05 * exact.abs().max()
    torch.autograd.grad(rough.sum(), tokens.prefix)
