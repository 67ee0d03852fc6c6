"""The context decoder against torch's own attention, and what it must not depend on."""

import pytest
import torch
import torch.nn.functional as F

from vlprompt.models import ContextDecoder


def attention(module, queries, memory):
    """One attention of the decoder by torch's functional multi-head attention."""
    width = module.q_proj.in_features
    return F.multi_head_attention_forward(
        queries.transpose(0, 1),
        memory.transpose(0, 1),
        memory.transpose(0, 1),
        width,
        module.heads,
        None,
        None,
        None,
        None,
        False,
        0.0,
        module.proj.weight,
        module.proj.bias,
        use_separate_proj_weight=True,
        q_proj_weight=module.q_proj.weight,
        k_proj_weight=module.k_proj.weight,
        v_proj_weight=module.v_proj.weight,
    )[0].transpose(0, 1)


def test_equals_the_written_out_decoder(seeded):
    decoder = ContextDecoder(query_dim=12, memory_dim=20, width=16, heads=4, layers=2).eval()
    for parameter in decoder.parameters():
        torch.nn.init.normal_(parameter, std=0.3)
    queries, memory = torch.randn(2, 5, 12), torch.randn(2, 7, 20)
    x, m = decoder.text_proj(queries), decoder.memory_proj(memory)
    for layer in decoder.decoder:
        normed = layer.norm1(x)
        x = x + attention(layer.self_attn, normed, normed)
        x = x + attention(layer.cross_attn, layer.norm2(x), m)
        x = x + layer.mlp(layer.norm3(x))
    torch.testing.assert_close(decoder(queries, memory), decoder.out_proj(x), atol=1e-5, rtol=1e-5)


def test_has_no_order(seeded):
    """No positions: permuting the memory changes nothing, permuting the queries permutes the result."""
    decoder = ContextDecoder(12, width=16, heads=2).eval()
    queries, memory = torch.randn(1, 5, 12), torch.randn(1, 7, 12)
    result = decoder(queries, memory)
    torch.testing.assert_close(decoder(queries, memory.flip(1)), result, atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(decoder(queries.flip(1), memory), result.flip(1), atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize(('dim', 'count'), [(1024, 3_948_800), (512, 3_553_024)])
def test_published_parameter_counts(dim, count):
    with torch.device('meta'):
        assert sum(p.numel() for p in ContextDecoder(dim).parameters()) == count


def test_official_parameter_names():
    names = dict(ContextDecoder(12, width=16, heads=2, layers=1).named_parameters())
    attention = {f'{k}.{p}' for k in ('self_attn', 'cross_attn') for p in ('q_proj.weight', 'proj.weight', 'proj.bias')}
    assert {f'decoder.0.{name}' for name in attention} < set(names)
    for name in ('memory_proj.2.weight', 'text_proj.1.bias', 'decoder.0.norm3.bias', 'decoder.0.mlp.3.weight'):
        assert name in names


def test_bad_arguments_are_named():
    with pytest.raises(ValueError, match='heads=3'):
        ContextDecoder(12, width=16, heads=3)
