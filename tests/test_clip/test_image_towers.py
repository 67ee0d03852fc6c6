"""Local features, stage maps, image sizes and visual prompts of both image towers."""

import pytest
import torch
import torch.nn.functional as F

from tests.conftest import MICRO
from vlprompt.clip import CLIP, ModifiedResNet, VisionTransformer, VisualTokens, find_architecture
from vlprompt.clip.vit import default_out_indices


@pytest.mark.parametrize('size', [(64, 64), (96, 160), (70, 101), (32, 48)])
def test_any_image_size(micro_clip, size):
    visual = micro_clip.visual
    with torch.no_grad():
        out = micro_clip.encode_image(torch.randn(2, 3, *size))
    step = 16 if micro_clip.arch.is_vit else 32
    assert out.grid == (size[0] // step, size[1] // step)
    assert out.cls.shape == (2, 24)
    assert out.local.shape == (2, out.grid[0] * out.grid[1], 24)
    assert tuple(m.shape[1] for m in out.maps) == visual.stage_channels
    assert tuple(out.maps[-1].shape[2:]) == out.grid


def test_resnet_maps_have_strides_4_to_32(micro_rn):
    out = CLIP(micro_rn).eval().encode_image(torch.randn(1, 3, 64, 128))
    assert [tuple(m.shape) for m in out.maps] == [(1, 32, 16, 32), (1, 64, 8, 16), (1, 128, 4, 8), (1, 256, 2, 4)]


def test_what_is_not_asked_for_does_not_change_the_rest(micro_clip):
    images = torch.randn(2, 3, 96, 64)
    with torch.no_grad():
        full = micro_clip.encode_image(images)
        for local in (False, True):
            for maps in (False, True):
                out = micro_clip.encode_image(images, local=local, maps=maps)
                torch.testing.assert_close(out.cls, full.cls, rtol=1e-5, atol=1e-6)
                assert (out.local is None) == (not local)
                assert len(out.maps) == (len(full.maps) if maps else 0)


def test_too_small_image(micro_clip):
    with pytest.raises(ValueError, match='smaller than one'):
        micro_clip.encode_image(torch.randn(1, 3, 8, 200))


def test_resnet_local_features_are_attention_with_every_token_as_query(micro_rn, seeded):
    visual = CLIP(micro_rn).eval().visual
    with torch.no_grad():
        out = visual(torch.randn(2, 3, 64, 64))
        pool = visual.attnpool
        tokens = out.maps[-1].flatten(2).permute(2, 0, 1)
        tokens = torch.cat([tokens.mean(0, keepdim=True), tokens]) + pool.positional_embedding[:, None]
        expected, _ = F.multi_head_attention_forward(
            query=tokens,
            key=tokens,
            value=tokens,
            embed_dim_to_check=256,
            num_heads=pool.heads,
            q_proj_weight=pool.q_proj.weight,
            k_proj_weight=pool.k_proj.weight,
            v_proj_weight=pool.v_proj.weight,
            in_proj_weight=None,
            in_proj_bias=torch.cat([pool.q_proj.bias, pool.k_proj.bias, pool.v_proj.bias]),
            bias_k=None,
            bias_v=None,
            add_zero_attn=False,
            dropout_p=0.0,
            out_proj_weight=pool.c_proj.weight,
            out_proj_bias=pool.c_proj.bias,
            use_separate_proj_weight=True,
            training=False,
            need_weights=False,
        )
    torch.testing.assert_close(out.cls, expected[0], rtol=1e-5, atol=1e-6)
    torch.testing.assert_close(out.local, expected[1:].transpose(0, 1), rtol=1e-5, atol=1e-6)


def test_vit_local_features_are_open_clips_tokens_projected(tower_parity, seeded):
    ours, theirs = tower_parity.twins(find_architecture(MICRO['vit']))
    images = torch.randn(2, 3, 64, 64)
    theirs.visual.output_tokens = True
    with torch.no_grad():
        out = ours.encode_image(images)
        _, tokens = theirs.visual(images)
        torch.testing.assert_close(out.local, tokens @ theirs.visual.proj, rtol=1e-5, atol=1e-6)
        stages = theirs.visual.forward_intermediates(images, indices=[0, 1], intermediates_only=True)
    for ours_map, theirs_map in zip(out.maps, stages['image_intermediates'], strict=True):
        torch.testing.assert_close(ours_map, theirs_map, rtol=1e-5, atol=1e-6)


def test_default_out_indices():
    assert default_out_indices(12) == (3, 5, 7, 11)
    assert default_out_indices(24) == (7, 11, 15, 23)
    assert default_out_indices(2) == (0, 1)


def test_image_size_resizes_the_stored_positions(micro_arch):
    model = CLIP(micro_arch, image_size=(128, 64))
    assert model.visual.grid_size == ((8, 4) if model.arch.is_vit else (4, 2))


def test_resnet_with_last_stride_1():
    visual = ModifiedResNet((1, 1, 1, 1), 8, 24, (64, 32), last_stride=1).eval()
    assert visual.grid_size == (4, 2)
    assert visual(torch.randn(1, 3, 64, 32)).grid == (4, 2)
    with pytest.raises(ValueError, match='last_stride'):
        ModifiedResNet((1, 1, 1, 1), 8, 24, last_stride=4)


def test_vit_with_overlapping_patches():
    visual = VisionTransformer(16, 64, 1, 24, (256, 128), patch_stride=12)
    assert visual.grid_size == (21, 10)


def test_out_indices_must_ascend():
    with pytest.raises(ValueError, match='out_indices'):
        VisionTransformer(16, 64, 2, 24, out_indices=(1, 2))


class TestVisualPrompts:
    """Against a plain loop over open_clip's blocks."""

    @pytest.fixture
    def pair(self, tower_parity, seeded):
        ours, theirs = tower_parity.twins(find_architecture(MICRO['vit'] | dict(vision_layers=3)))
        return ours.visual, theirs.visual

    @staticmethod
    def by_hand(theirs, images, prompts, norm_prompts):
        """Class feature with prompts[i] (B, n, W) in the input of block i, None: those of before."""
        x = theirs.conv1(images).flatten(2).transpose(1, 2)
        x = torch.cat([theirs.class_embedding.expand(len(x), 1, -1), x], 1) + theirs.positional_embedding
        length = x.shape[1]
        if norm_prompts:
            x = theirs.ln_pre(torch.cat([x, prompts[0]], 1))
        else:
            x = torch.cat([theirs.ln_pre(x), prompts[0]], 1)
        for block, prompt in zip(theirs.transformer.resblocks, [None, *prompts[1:]], strict=True):
            if prompt is not None:
                x = torch.cat([x[:, :length], prompt], 1)
            x = block(x)
        return theirs.ln_post(x[:, 0]) @ theirs.proj

    @pytest.mark.parametrize('norm_prompts', [True, False])
    @pytest.mark.parametrize('lengths', [(2, None, None), (2, 3, 1), (2, None, 3), (2, 0, None)])
    def test_shallow_and_deep(self, pair, norm_prompts, lengths):
        ours, theirs = pair
        images = torch.randn(2, 3, 64, 64)
        prompts = [None if n is None else torch.randn(n, 64) for n in lengths]
        batched = [None if p is None else p.expand(2, -1, -1) for p in prompts]
        with torch.no_grad():
            out = ours(images, prompts=VisualTokens(tuple(prompts), not norm_prompts))
            per_image = ours(images, prompts=VisualTokens(tuple(batched), not norm_prompts))
            expected = self.by_hand(theirs, images, batched, norm_prompts)
        torch.testing.assert_close(out.cls, expected, rtol=1e-5, atol=1e-6)
        torch.testing.assert_close(per_image.local, out.local)
        assert out.local.shape == (2, 16, 24)
        assert out.maps[0].shape == (2, 64, 4, 4)

    def test_none_and_short_sequences(self, pair):
        ours, _ = pair
        images, prompt = torch.randn(1, 3, 64, 64), torch.randn(2, 64)
        with torch.no_grad():
            plain = ours(images).cls
            assert ours(images, prompts=VisualTokens((None, None))).cls.equal(plain)
            shallow = ours(images, prompts=VisualTokens((prompt,))).cls
            assert shallow.equal(ours(images, prompts=VisualTokens((prompt, None, None))).cls)
            assert not ours(images, prompts=VisualTokens((None, prompt))).cls.allclose(plain)

    def test_gradient_reaches_every_prompt(self, pair):
        ours, _ = pair
        prompts = [torch.randn(2, 64, requires_grad=True) for _ in range(3)]
        out = ours(torch.randn(1, 3, 64, 64), local=False, maps=False, prompts=VisualTokens(tuple(prompts)))
        out.cls.sum().backward()
        assert all(p.grad.abs().sum() > 0 for p in prompts)

    @pytest.mark.parametrize('after_norm', [True, False])
    @pytest.mark.parametrize('lengths', [(2,), (2, 3, 1), (2, None, 3)], ids=str)
    def test_sets_are_separate_passes(self, pair, after_norm, lengths):
        ours, _ = pair
        images = torch.randn(2, 3, 64, 64)
        blocks = [None if n is None else torch.randn(4, n, 64, requires_grad=True) for n in lengths]
        out = ours(images, maps=False, prompts=VisualTokens(tuple(blocks), after_norm, sets=4))
        passes = []
        for index in range(4):
            tokens = VisualTokens(tuple(None if b is None else b[index] for b in blocks), after_norm)
            passes.append(ours(images, local=False, maps=False, prompts=tokens).cls)
        expected = torch.stack(passes, 1)
        assert out.grid == (1, 4)
        assert (out.local - expected).abs().max() < 4e-7 * expected.abs().max()
        torch.testing.assert_close(out.cls, expected.mean(1))
        learned = [b for b in blocks if b is not None]
        weights = torch.randn_like(expected)
        gradients = (torch.autograd.grad((x * weights).sum(), learned) for x in (out.local, expected))
        for ours_, theirs in zip(*gradients, strict=True):
            torch.testing.assert_close(ours_, theirs, rtol=1e-4, atol=1e-5)

    def test_patches_of_sets_are_embedded_once(self, pair, monkeypatch):
        ours, _ = pair
        seen = []
        monkeypatch.setattr(
            ours, 'embed', lambda images, *a, embed=ours.embed: seen.append(len(images)) or embed(images, *a)
        )
        ours(torch.randn(2, 3, 64, 64), maps=False, prompts=VisualTokens((torch.randn(4, 2, 64),), sets=4))
        assert seen == [2]

    def test_errors_of_sets(self, pair):
        ours, _ = pair
        with pytest.raises(ValueError, match=r'3 sets of visual prompts need entries \(3, n, width\)'):
            VisualTokens((torch.randn(2, 4, 64),), sets=3)
        with pytest.raises(ValueError, match='maps=False'):
            ours(torch.randn(1, 3, 64, 64), prompts=VisualTokens((torch.randn(2, 4, 64),), sets=2))

    def test_class_offset(self, pair):
        ours, _ = pair
        images, offset = torch.randn(2, 3, 64, 64), torch.randn(2, 64)
        with torch.no_grad():
            tokens, _ = ours.embed(images, offset)
            plain, _ = ours.embed(images)
        torch.testing.assert_close(tokens[:, 0] - plain[:, 0], offset)
        assert tokens[:, 1:].equal(plain[:, 1:])

    def test_errors(self, pair):
        ours, _ = pair
        images = torch.randn(1, 3, 64, 64)
        with pytest.raises(ValueError, match='4 entries of visual prompts for 3 blocks'):
            ours(images, prompts=VisualTokens((torch.zeros(1, 64),) * 4))
        with pytest.raises(ValueError, match=r'must be \(n, 64\)'):
            ours(images, prompts=VisualTokens((torch.zeros(1, 32),)))


def test_visual_prompts_for_a_resnet(micro_rn):
    with pytest.raises(ValueError, match='need a vision transformer, not a ResNet'):
        CLIP(micro_rn).encode_image(torch.randn(1, 3, 64, 64), prompts=VisualTokens((torch.randn(2, 64),)))
