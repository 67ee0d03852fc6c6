"""Parts of the transformer blocks."""

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from vlprompt.clip.layers import Attention, DropPath, LayerNorm, QuickGELU, Transformer


def test_quick_gelu_is_its_formula():
    x = torch.linspace(-20, 20, 101, dtype=torch.float64)
    torch.testing.assert_close(QuickGELU()(x), x * torch.sigmoid(1.702 * x))


def test_layer_norm_computes_in_fp32(seeded):
    norm = LayerNorm(16)
    x = (torch.randn(3, 16) * 300).half()
    out = norm(x)
    assert out.dtype == torch.float16
    assert out.equal(F.layer_norm(x.float(), (16,)).half())


@pytest.mark.parametrize('causal', [True, False])
def test_attention_is_torchs(seeded, causal):
    ours, theirs = Attention(24, 3), nn.MultiheadAttention(24, 3, batch_first=True)
    ours.load_state_dict(theirs.state_dict())
    x = torch.randn(2, 5, 24)
    mask = torch.full((5, 5), -torch.inf).triu(1) if causal else None
    expected, _ = theirs(x, x, x, attn_mask=mask, need_weights=False)
    torch.testing.assert_close(ours(x, causal=causal), expected)
    if not causal:
        torch.testing.assert_close(ours(x, queries=2), expected[:, :2])


class TestDropPath:
    def test_branches_are_dropped_by_sample_and_kept_in_the_mean(self, seeded):
        out = DropPath(0.25).train()(torch.ones(4000, 2, 3))
        per_sample = out.flatten(1)
        assert ((per_sample == 0).all(1) | (per_sample == 1 / 0.75).all(1)).all()
        assert abs(float(out.mean()) - 1) < 0.05

    def test_evaluation_and_rate_zero_change_nothing(self):
        x = torch.randn(3, 2)
        assert DropPath(0.5).eval()(x) is x
        assert DropPath(0.0).train()(x) is x

    def test_rate_must_be_a_probability_below_one(self):
        with pytest.raises(ValueError, match=r'in \[0, 1\)'):
            DropPath(1.0)

    def test_rates_grow_with_depth(self):
        rates = [block.drop_path.rate for block in Transformer(8, 3, 1, drop_path=0.1).resblocks]
        assert rates == pytest.approx([0, 0.05, 0.1])
