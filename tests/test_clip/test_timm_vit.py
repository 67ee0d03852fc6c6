"""timm's vision transformers: same weights, same features and gradients; prompts as keys and values only."""

from argparse import Namespace

import numpy as np
import pytest
import timm
import torch
from timm.models.vision_transformer import VisionTransformer as TimmViT

from vlprompt.clip import timm_vit as timm_module
from vlprompt.clip.timm_vit import build_timm_vit, from_timm_names
from vlprompt.clip.visual_prompts import PromptChoice, run_blocks
from vlprompt.errors import CheckpointError

SHAPE = dict(width=64, layers=3, heads=2, patch_size=16, image_size=64)


@pytest.fixture
def theirs(seeded):
    model = TimmViT(img_size=64, patch_size=16, embed_dim=64, depth=3, num_heads=2, num_classes=7).eval()
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter, std=0.2)
    return model


@pytest.fixture
def weights(theirs, tmp_path):
    path = tmp_path / 'vit.pth'
    torch.save({'state_dict': theirs.state_dict()}, path)
    return str(path)


def class_feature(visual, images, **options):
    return visual.ln_post(visual.encode(visual.embed(images)[0], queries=1, **options)[0][:, 0])


def test_features_and_gradients_are_timms(theirs, weights):
    ours, source = build_timm_vit(arch=SHAPE, weights=weights)
    images = torch.randn(2, 3, 64, 64, requires_grad=True)
    expected = theirs.forward_features(images)[:, 0]
    got = class_feature(ours, images)
    assert (got - expected).abs().max() < 1e-5 * expected.abs().max()
    (first,), (second,) = (torch.autograd.grad(f.square().sum(), images) for f in (expected, got))
    assert (first - second).abs().max() < 1e-5 * first.abs().max()
    assert source.name == 'file:vit.pth'
    assert source.sha256 == build_timm_vit(arch=SHAPE, weights=weights)[1].sha256


def test_epsilon_of_the_norms_is_a_choice(theirs, weights):
    images = torch.randn(1, 3, 64, 64)
    ours = [build_timm_vit(arch=SHAPE, weights=weights, norm_eps=eps)[0] for eps in (None, 1e-6, 1e-1)]
    with torch.no_grad():
        default, same, other = (class_feature(visual, images) for visual in ours)
    assert torch.equal(default, same)
    assert not torch.allclose(default, other)


def test_position_embedding_follows_the_image_size(weights):
    larger, _ = build_timm_vit(arch=SHAPE, weights=weights, image_size=96)
    assert larger.grid_size == (6, 6)
    trained, _ = build_timm_vit(arch=SHAPE, weights=weights)
    images = torch.randn(1, 3, 96, 96)
    with torch.no_grad():
        torch.testing.assert_close(class_feature(larger, images), class_feature(trained, images))


class TestPersonPretraining:
    """Checkpoints of self-supervised training on photographs of persons, which are twice as high as wide."""

    SHAPE = dict(SHAPE, image_size=(128, 64))

    @pytest.fixture
    def teacher(self, seeded):
        return TimmViT(img_size=(128, 64), patch_size=16, embed_dim=64, depth=3, num_heads=2, num_classes=0).eval()

    def save(self, path, state, key='teacher'):
        wrapped = {f'module.backbone.{name}': value for name, value in state.items()}
        heads = {'module.head.mlp.0.weight': torch.ones(2, 2), 'module.head.last_layer.weight_g': torch.ones(2)}
        torch.save({'student': {}, key: wrapped | heads, 'epoch': 3, 'args': Namespace(arch='vit_small')}, path)
        return path

    @pytest.mark.parametrize('key', ['teacher', 'module', 'target_encoder', 'model', 'state_dict'])
    def test_features_are_timms(self, teacher, tmp_path, key):
        path = self.save(tmp_path / 'person.pth', teacher.state_dict(), key)
        ours, source = build_timm_vit(arch=self.SHAPE, weights=path, pretrain_ratio=2)
        images = torch.randn(2, 3, 128, 64)
        with torch.no_grad():
            torch.testing.assert_close(class_feature(ours, images), teacher.forward_features(images)[:, 0])
        assert source.name == 'file:person.pth'

    def test_grid_is_resized_from_the_ratio(self, teacher, tmp_path):
        """8 x 4 positions: for 192 x 64 pixels (12 x 4) and 128 x 128 (8 x 8), in the published way, bilinearly."""
        path = self.save(tmp_path / 'person.pth', teacher.state_dict())
        grid = teacher.pos_embed[:, 1:].detach().reshape(1, 8, 4, 64).permute(0, 3, 1, 2)
        for size, patches in (((192, 64), (12, 4)), ((128, 128), (8, 8))):
            ours, _ = build_timm_vit(
                arch=self.SHAPE, weights=path, image_size=size, pretrain_ratio=2, interpolation='bilinear'
            )
            expected = torch.nn.functional.interpolate(grid, size=patches, mode='bilinear')[0].flatten(1).T
            torch.testing.assert_close(ours.positional_embedding[1:], expected)
            assert ours.interpolation == 'bilinear'

    def test_a_ratio_that_the_positions_do_not_have(self, teacher, tmp_path):
        path = self.save(tmp_path / 'person.pth', teacher.state_dict())
        with pytest.raises(ValueError, match=r'32 patches, which are no grid 3 times as high'):
            build_timm_vit(arch=self.SHAPE, weights=path, pretrain_ratio=3)

    @pytest.mark.parametrize('ratio', [0, -2, float('nan'), float('inf')])
    def test_a_ratio_that_is_none(self, ratio):
        with pytest.raises(ValueError, match=rf'pretrain_ratio={ratio} must be a positive number, height / width'):
            build_timm_vit(arch=self.SHAPE, pretrain_ratio=ratio)

    def test_a_ratio_that_is_needed(self, teacher, tmp_path):
        path = self.save(tmp_path / 'person.pth', teacher.state_dict())
        with pytest.raises(
            ValueError,
            match=r'file:person\.pth has positions of 32 patches, .* neither a square nor 4 x 4, .* set pretrain_ratio',
        ):
            build_timm_vit(arch=dict(self.SHAPE, image_size=64), weights=path)

    @pytest.mark.parametrize('prefix', ['base.', 'backbone.', ''])
    def test_other_forms_of_checkpoints(self, teacher, tmp_path, prefix):
        """TransReID's prefix, tokens of masked patches, a classifier, and the suffix of old training code."""
        state = {f'{prefix}{name}': value for name, value in teacher.state_dict().items()}
        others = {'masked_embed': torch.ones(1, 64), 'mask_token': torch.ones(1, 1, 64), 'fc.weight': torch.ones(7, 64)}
        path = tmp_path / 'person.pth.tar'
        torch.save(dict(state_dict=state | {f'{prefix}{name}': value for name, value in others.items()}), path)
        ours, source = build_timm_vit(arch=self.SHAPE, weights=path, pretrain_ratio=2)
        assert torch.equal(ours.conv1.weight, teacher.patch_embed.proj.weight)
        assert source.name == 'file:person.pth.tar'

    def test_convolutional_stem(self, teacher, tmp_path):
        state = teacher.state_dict() | {'patch_embed.conv.0.weight': torch.ones(8, 3, 7, 7)}
        with pytest.raises(ValueError, match=r'convolutional stem \(patch_embed\.conv\.0\.weight\) is not supported'):
            build_timm_vit(arch=self.SHAPE, weights=self.save(tmp_path / 'ics.pth', state))

    def test_swin_is_no_vit(self, tmp_path):
        state = {'patch_embed.projection.weight': torch.ones(1), 'semantic_embed_w.0.weight': torch.ones(1)}
        with pytest.raises(ValueError, match='not a ViT in timm'):
            build_timm_vit(arch=self.SHAPE, weights=self.save(tmp_path / 'solider.pth', state))


def test_names_of_timm_are_read_from_timm():
    visual, source = build_timm_vit('vit_tiny_patch16_224.augreg_in21k')
    assert source is None
    theirs = timm.create_model('vit_tiny_patch16_224', num_classes=0)
    assert {k: v.shape for k, v in from_timm_names(theirs.state_dict()).items()} == {
        k: v.shape for k, v in visual.state_dict().items()
    }
    assert visual.ln_post.eps == theirs.norm.eps == 1e-6
    assert visual.grid_size == (14, 14)


def test_errors_say_what_to_do(weights, tmp_path):
    with pytest.raises(ValueError, match='name of timm or an arch'):
        build_timm_vit()
    with pytest.raises(ValueError, match='arch must give width, layers'):
        build_timm_vit(arch=dict(width=64, depth=3))
    with pytest.raises(ValueError, match='3 heads do not divide a width of 64'):
        build_timm_vit(arch=dict(SHAPE, heads=3))
    with pytest.raises(ValueError, match=r'knows no model .* it has vit_base_patch16_224,'):
        build_timm_vit('vit_bse_patch16_224')
    with pytest.raises(ValueError, match=r'no weights .* it has vit_tiny_patch16_224\.augreg_in21k,'):
        build_timm_vit('vit_tiny_patch16_224.augreg_in12k')
    (tmp_path / 'cut.safetensors').write_bytes(b'\x10\0\0\0\0\0\0\0{"a": broken}   ')
    with pytest.raises(ValueError, match='broken download'):
        build_timm_vit(arch=SHAPE, weights=tmp_path / 'cut.safetensors')
    with pytest.raises(ValueError, match="'openai' must be 'pretrained' or a file"):
        build_timm_vit('vit_tiny_patch16_224', weights='openai')
    with pytest.raises(ValueError, match='not a plain ViT'):
        build_timm_vit('deit3_small_patch16_224')
    with pytest.raises(ValueError, match=r'file:vit\.pth does not fit'):
        build_timm_vit(arch=dict(SHAPE, layers=2), weights=weights)
    with pytest.raises(FileNotFoundError, match='gone'):
        build_timm_vit(arch=SHAPE, weights=tmp_path / 'gone.pth')
    with pytest.raises(ValueError, match='naming'):
        from_timm_names({'visual.proj': torch.zeros(1)})
    with pytest.raises(ValueError, match=r'blocks\.0\.ls1\.gamma'):
        from_timm_names(
            {k: torch.zeros(1, 1, 1) for k in ('cls_token', 'pos_embed', 'patch_embed.proj.weight')}
            | {'blocks.0.ls1.gamma': torch.zeros(1)}
        )


def test_weights_that_cannot_be_downloaded(monkeypatch):
    """Without a network the message says which file to fetch."""

    def unreachable(name, pretrained=False, **options):
        if pretrained:
            raise OSError('no route to host')
        return create_model(name, **options)

    create_model = timm.create_model
    monkeypatch.setattr(timm, 'create_model', unreachable)
    monkeypatch.setattr(timm_module, 'require_hub', lambda: None)
    with pytest.raises(FileNotFoundError, match=r'huggingface.co/timm/vit_tiny_patch16_224.augreg_in21k .*no route'):
        build_timm_vit('vit_tiny_patch16_224.augreg_in21k', weights='pretrained')


def test_a_cached_file_needs_no_network(monkeypatch, tmp_path):
    """Its tensors are given to timm, which treats them as those of a download."""
    name, create_model = 'vit_tiny_patch16_224.augreg_in21k', timm.create_model
    expected = create_model(name, num_classes=0).state_dict()
    torch.save(expected, tmp_path / 'model.bin')
    monkeypatch.setattr(timm_module, 'hub_file', lambda repository, *names: tmp_path / 'model.bin')
    monkeypatch.setattr(timm_module, 'require_hub', lambda: pytest.fail('no network is needed'))
    visual, source = build_timm_vit(name, weights='pretrained')
    assert source.name == f'timm:{name}'
    assert torch.equal(visual.state_dict()['class_embedding'], expected['cls_token'].reshape(-1))


def google_arrays(model):
    """The arrays of a plain ViT of timm as Google's ``.npz`` files name and shape them; as many as timm reads."""
    state = {name: value.double().numpy() for name, value in model.state_dict().items()}
    width, heads = state['cls_token'].shape[-1], model.blocks[0].attn.num_heads
    arrays = {
        'embedding/kernel': state['patch_embed.proj.weight'].transpose(2, 3, 1, 0),
        'embedding/bias': state['patch_embed.proj.bias'],
        'cls': state['cls_token'],
        'Transformer/posembed_input/pos_embedding': state['pos_embed'],
        'Transformer/encoder_norm/scale': state['norm.weight'],
        'Transformer/encoder_norm/bias': state['norm.bias'],
    }
    for i in range(len(model.blocks)):
        ours, theirs = f'blocks.{i}.', f'Transformer/encoderblock_{i}/'
        for norm, number in (('norm1', 0), ('norm2', 2)):
            arrays[f'{theirs}LayerNorm_{number}/scale'] = state[f'{ours}{norm}.weight']
            arrays[f'{theirs}LayerNorm_{number}/bias'] = state[f'{ours}{norm}.bias']
        attention = f'{theirs}MultiHeadDotProductAttention_1/'
        for j, part in enumerate(('query', 'key', 'value')):
            rows = slice(j * width, (j + 1) * width)
            arrays[f'{attention}{part}/kernel'] = state[f'{ours}attn.qkv.weight'][rows].T.reshape(width, heads, -1)
            arrays[f'{attention}{part}/bias'] = state[f'{ours}attn.qkv.bias'][rows].reshape(heads, -1)
        arrays[f'{attention}out/kernel'] = state[f'{ours}attn.proj.weight'].T.reshape(heads, -1, width)
        arrays[f'{attention}out/bias'] = state[f'{ours}attn.proj.bias']
        for j, layer in enumerate(('mlp.fc1', 'mlp.fc2')):
            arrays[f'{theirs}MlpBlock_3/Dense_{j}/kernel'] = state[f'{ours}{layer}.weight'].T
            arrays[f'{theirs}MlpBlock_3/Dense_{j}/bias'] = state[f'{ours}{layer}.bias']
    return arrays


@pytest.mark.parametrize('kind', ['npz', 'cached'])
def test_what_timm_reads_itself_is_sound(monkeypatch, tmp_path, kind):
    """A damaged file is named, and tensors that are not finite are no weights."""
    name = 'vit_tiny_patch16_224.augreg_in21k'
    model = timm.create_model(name, num_classes=0)
    path = tmp_path / ('vit.npz' if kind == 'npz' else 'model.bin')
    monkeypatch.setattr(timm_module, 'hub_file', lambda repository, *names: path)

    def write():
        np.savez(path, **google_arrays(model)) if kind == 'npz' else torch.save(model.state_dict(), path)

    def build():
        return build_timm_vit(name, weights=path if kind == 'npz' else 'pretrained')[0]

    write()
    assert torch.equal(build().state_dict()['class_embedding'], model.cls_token.detach().reshape(-1))
    with torch.no_grad():
        model.blocks[3].mlp.fc1.weight[0, 0] = torch.nan
    write()
    with pytest.raises(
        CheckpointError, match=rf'{path}: 1 tensors hold NaN or infinity \(.*blocks\.3\.mlp\.fc1\.weight'
    ):
        build()
    path.write_bytes(path.read_bytes()[:-5000])
    with pytest.raises(CheckpointError, match=rf'{path}'):
        build()


class TestPromptsAsKeysAndValues:
    """The path that leaves out what deep prompts do not need, against the one that carries all tokens."""

    @pytest.fixture
    def blocks(self, theirs, weights):
        return build_timm_vit(arch=SHAPE, weights=weights)[0].double().transformer.resblocks

    def entries(self, kind):
        torch.manual_seed(1)
        deep = [torch.randn(4, 64, dtype=torch.double, requires_grad=True) for _ in range(3)]
        per_image = [torch.randn(2, 3, 64, dtype=torch.double, requires_grad=True) for _ in range(3)]
        table = torch.randn(5, 3, 64, dtype=torch.double, requires_grad=True)
        choice = PromptChoice(table, torch.tensor([4, 1]))
        return {
            'deep': (deep, deep),
            'per image': (per_image, per_image),
            'choice': ([None, [deep[1], choice], [deep[2], choice]], [deep[1], deep[2], table]),
            'shallow': (deep[:1], deep[:1]),
            'ends': ([deep[0], torch.zeros(0, 64, dtype=torch.double), deep[2]], [deep[0], deep[2]]),
        }[kind]

    @pytest.mark.parametrize('kind', ['deep', 'per image', 'choice', 'shallow', 'ends'])
    @pytest.mark.parametrize('queries', [1, None])
    def test_equals_the_plain_path_with_gradients(self, blocks, kind, queries):
        entries, learned = self.entries(kind)
        x = torch.randn(2, 17, 64, dtype=torch.double, requires_grad=True)
        results = []
        for reference in (False, True):
            out, (middle,) = run_blocks(blocks, x, entries, out_indices=(1,), queries=queries, reference=reference)
            assert out.shape == (2, queries or 17, 64)
            results.append((out, middle, *torch.autograd.grad(out.square().sum() + middle.sum(), [x, *learned])))
        for fast, plain in zip(*results, strict=True):
            assert (fast - plain).abs().max() < 1e-12 * plain.abs().max()

    def test_prompts_are_not_computed_further(self, blocks, monkeypatch):
        seen = []
        forward = type(blocks[0]).feed_forward
        monkeypatch.setattr(
            type(blocks[0]), 'feed_forward', lambda self, x, adapter: seen.append(x.shape[1]) or forward(self, x)
        )
        entries, _ = self.entries('deep')
        run_blocks(blocks, torch.randn(2, 17, 64, dtype=torch.double), entries, queries=1)
        assert seen == [17, 17, 1]
