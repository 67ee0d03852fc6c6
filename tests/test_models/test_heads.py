"""Linear and cosine heads, and the adapters."""

from types import SimpleNamespace

import pytest
import torch
import torch.nn.functional as F

from vlprompt.models import AdaptFormer, CosineHead, LinearHead
from vlprompt.models.tuners.adaptformer import default_rank


def trunk(width, layers):
    """The sizes that an AdaptFormer asks of its trunk."""
    return SimpleNamespace(width=width, transformer=SimpleNamespace(resblocks=[None] * layers))


def test_cosine_head_is_scale_times_cosine(seeded):
    head = CosineHead(6, 3, scale=25)
    torch.testing.assert_close(head.weight.norm(dim=1), torch.ones(3))
    feature = torch.randn(4, 6)
    expected = 25 * F.cosine_similarity(feature[:, None], head.weight[None], dim=2)
    torch.testing.assert_close(head(feature), expected)
    torch.testing.assert_close(head(7 * feature), expected)
    head.set_directions(5 * torch.eye(3, 6))
    torch.testing.assert_close(head(feature), 25 * F.normalize(feature, dim=1)[:, :3])
    with pytest.raises(ValueError, match='start'):
        CosineHead(6, 3, start='texts')


def test_cosine_head_stays_in_fp32_under_mixed_precision(seeded):
    head, feature = CosineHead(6, 3), torch.randn(2, 6)
    with torch.autocast('cpu', torch.bfloat16):
        assert head(feature.bfloat16()).dtype == torch.float32


def test_linear_head_starts_as_published():
    vpt = LinearHead(768, 100, init='vpt')
    assert vpt.bias.unique().item() == pytest.approx(-4.59512)
    assert vpt.weight.std().item() == pytest.approx((2 / 100) ** 0.5, rel=0.05)
    assert LinearHead(768, 100).weight.std().item() == pytest.approx(0.02, rel=0.05)
    with pytest.raises(ValueError, match='init'):
        LinearHead(4, 2, init='kmnp')


@pytest.mark.parametrize(('classes', 'rank', 'tuned'), [(100, 4, 101436), (365, 8, 175212), (1000, 32, 617868)])
def test_adapters_have_the_published_sizes(classes, rank, tuned):
    with torch.device('meta'):
        adapters = AdaptFormer(trunk(768, 12), classes)
    assert adapters.rank == default_rank(classes, 12) == rank
    assert sum(p.numel() for p in adapters.parameters()) == tuned


def test_more_published_adapter_sizes():
    assert default_rank(8142, 12) == 256
    assert default_rank(10, 12) == 1
    with torch.device('meta'):
        assert sum(p.numel() for p in AdaptFormer(trunk(768, 12), 8142).parameters()) == 4749324


def test_adapter_starts_as_zero_and_adds_beside_the_mlp(seeded):
    (branch,) = AdaptFormer(trunk(8, 1), 100, rank=2).branches
    x = torch.randn(3, 5, 8)
    assert branch(x).abs().max() == 0
    torch.nn.init.normal_(branch.up.weight)
    down = F.linear(F.layer_norm(x, (8,)), branch.down.weight).relu()
    torch.testing.assert_close(branch(x), F.linear(down, branch.up.weight))
