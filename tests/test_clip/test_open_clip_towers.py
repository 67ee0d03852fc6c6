"""Towers around timm's and open_clip's modules against open_clip's own forward pass, with the same random weights."""

import json
import re

import pytest
import torch
from safetensors.torch import save_file

from tests.tiny_timm import CONFIGS, CONVOLUTIONAL, PLAIN, SIZE, write_model, write_tokenizer
from vlprompt.clip import CLIP, VisualTokens, build_clip, find_architecture
from vlprompt.clip.open_clip_config import OtherTower
from vlprompt.clip.preprocessing import Preprocessing
from vlprompt.clip.text.encoder import TextEncoder
from vlprompt.clip.text.hub_tokenizer import HubTokenizer
from vlprompt.errors import EnvironmentProblem, ImageSizeError
from vlprompt.prompts import ContextPrompt, IdentityPrompt, TemplatePrompt

NAMES = ['cat', 'sea lion', 'dog']


@pytest.fixture(scope='session')
def tokenizer_folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp('tokenizer')
    write_tokenizer(folder)
    return folder


def towers(family, folder):
    """open_clip's model and ours with its weights."""
    return write_model(family, folder), build_clip(weights=str(folder))


@pytest.fixture(params=CONFIGS)
def pair(request, tmp_path):
    return request.param, *towers(request.param, tmp_path)


def images(family, count=2):
    size = CONFIGS[family]['vision_cfg']['image_size']
    return torch.randn(count, 3, size, size)


def close(ours, theirs):
    """Equal to 1e-5 of the largest number."""
    torch.testing.assert_close(ours, theirs, rtol=0, atol=1e-5 * max(1, float(theirs.detach().abs().max())))


def test_global_image_features(pair):
    family, theirs, ours = pair
    x = images(family)
    close(ours.encode_image(x).cls, theirs.encode_image(x))
    close(ours.encode_image(x, local=False, maps=False).cls, theirs.encode_image(x))


def test_text_features_of_templates(pair):
    _, theirs, ours = pair
    prompt = TemplatePrompt(NAMES, ours.text, 'a photo of a {}.')
    texts = [f'a photo of a {name}.' for name in NAMES]
    ids = ours.text.tokenizer.tokenize(texts, ours.text.context_length)
    close(prompt.encode(ours.text)[0], theirs.encode_text(ids))
    close(ours.encode_text(ids), theirs.encode_text(ids))


@pytest.mark.parametrize('position', ['end', 'middle', 'front'])
@pytest.mark.parametrize('class_specific', [False, True])
def test_features_and_gradients_of_a_learned_context(pair, position, class_specific):
    """open_clip's own forward pass, its token embedding replaced by the vectors of the prompt."""
    _, theirs, ours = pair
    text = ours.text.requires_grad_(False)
    prompt = ContextPrompt(NAMES, text, n_ctx=2, position=position, class_specific=class_specific)
    weight = torch.randn(len(NAMES), 32)
    features = prompt.encode(text)[0]
    (features * weight).sum().backward()

    tokenizer, length = text.tokenizer, text.context_length
    start = list(tokenizer.start)
    rows, learned = [], []
    for name in NAMES:
        words = tokenizer.encode(name, inside=position != 'front')
        ending = tokenizer.encode(f'{name}.', inside=position != 'front')[len(words) :]
        before = {'end': 2, 'middle': 1, 'front': 0}[position]
        row = [*start, *[-1] * before, *words, *[-2] * (2 - before), *ending, tokenizer.end]
        rows.append(row + [tokenizer.pad] * (length - len(row)))
        learned.append([i for i, token in enumerate(row) if token < 0])
    ids = torch.tensor(rows)
    context = prompt.context.detach().clone().requires_grad_()

    class Embedding(torch.nn.Module):
        def forward(self, ids):
            x = text.token_embedding(ids.clamp(min=0)).clone()
            for k, places in enumerate(learned):
                x[k, places] = context[0, k] if class_specific else context[0]
            return x

    theirs.text.token_embedding = Embedding()
    expected = theirs.encode_text(ids)
    (expected * weight).sum().backward()
    close(features, expected)
    close(prompt.context.grad, context.grad)


def test_identity_prompts(pair):
    _, _, ours = pair
    prompt = IdentityPrompt(3, ours.text, n_ctx=2)
    assert prompt.encode(ours.text).shape == (1, 3, 32)


def test_maps_and_grid(pair):
    family, _, ours = pair
    x = images(family)
    features = ours.encode_image(x)
    assert features.local.shape == (2, features.grid[0] * features.grid[1], 32)
    assert [tuple(m.shape[:2]) for m in features.maps] == [(2, c) for c in ours.visual.stage_channels]
    assert tuple(features.maps[-1].shape[2:]) == features.grid


def test_local_features_are_those_of_single_cells(pair):
    """Averaged convolutional cells have the global feature as their mean; a token pool reads a single token alike."""
    family, _, ours = pair
    x = images(family)
    features = ours.encode_image(x)
    if family in ('mobileclip2_s', 'swin'):
        close(features.local.mean(1), features.cls)
    trunk, head = ours.visual.trunk, ours.visual.head
    last = trunk.forward_features(x)
    if last.dim() == 3 and family in ('eva02', 'mobileclip2_l'):
        cell = last[:, trunk.num_prefix_tokens + 3]
        close(features.local[:, 3], head(trunk.head(cell)))
    if family in ('siglip', 'pe_core'):
        pool, cell = trunk.attn_pool, last[:, trunk.num_prefix_tokens + 3]
        value = pool.kv(cell).unflatten(1, (2, -1))[:, 1]
        value = pool.proj(value)
        value = value + pool.mlp(pool.norm(value))
        close(features.local[:, 3], head(trunk.head(trunk.fc_norm(value))))


def test_rows_of_local_features_are_cells_in_reading_order(pair):
    family, _, ours = pair
    x = images(family, 1)
    plain = ours.encode_image(x)
    w = plain.grid[1]
    if family in CONVOLUTIONAL:  # every cell sees the whole image
        last = ours.visual.trunk.forward_features(x)
        close(plain.local[:, w - 1], ours.visual._joint(last[:, :, :1, w - 1 :]))
        return
    cell = x.shape[-1] // w
    brighter = x.clone()
    brighter[:, :, :cell, (w - 1) * cell :] += 3  # the upper right cell
    change = (ours.encode_image(brighter).local - plain.local).norm(dim=-1)[0]
    assert int(change.argmax()) == w - 1


def test_other_sizes_are_refused_or_convolved(pair):
    family, _, ours = pair
    other = torch.randn(1, 3, SIZE * 2, SIZE * 4)
    if family in CONVOLUTIONAL:
        assert ours.encode_image(other).grid == (2, 4)
        return
    side = CONFIGS[family]['vision_cfg']['image_size']
    with pytest.raises(
        ImageSizeError, match=rf'64 x 128 pixels, but a tower of timm .* built for {side} x {side}: set image_size'
    ):
        ours.encode_image(other)


def test_another_image_size_is_built(pair, tmp_path):
    family, _, _ = pair
    ours = build_clip(weights=str(tmp_path), image_size=(SIZE * 2, SIZE))
    features = ours.encode_image(torch.randn(1, 3, SIZE * 2, SIZE))
    cell = {'mobileclip2_s': 32, 'convnext': 32, 'vitamin': 16}.get(family, 8)
    assert features.grid == ours.visual.grid_size == (SIZE * 2 // cell, SIZE // cell)


def test_visual_prompts(pair):
    """Tokens that every block reads, on plain transformers; towers with other blocks refuse them."""
    family, _, ours = pair
    x = images(family)
    if family not in PLAIN:
        with pytest.raises(ValueError, match='visual prompts need a plain vision transformer, which a tower of timm'):
            ours.encode_image(x, maps=False, prompts=VisualTokens((torch.randn(3, 32),)))
        return
    deep = [torch.randn(3, 32, requires_grad=True) for _ in range(2)]
    features = ours.encode_image(x, maps=False, prompts=VisualTokens(tuple(deep)))
    assert features.local.shape == (2, 16, 32)
    features.cls.sum().backward()
    assert all(token.grad.abs().sum() > 0 for token in deep)
    trunk = ours.visual.trunk
    tokens = trunk.norm_pre(trunk._pos_embed(trunk.patch_embed(x)))
    for token, block in zip(deep, trunk.blocks, strict=True):
        tokens = block(torch.cat([tokens, token.expand(2, -1, -1)], 1))[:, :-3]
    close(features.cls, ours.visual.head(trunk.forward_head(trunk.norm(tokens))))
    sets = ours.encode_image(x, maps=False, prompts=VisualTokens((torch.randn(4, 3, 32),), sets=4))
    assert sets.local.shape == (2, 4, 32)
    close(sets.local.mean(1), sets.cls)


def test_text_tower_is_ours_where_it_is_clips(pair):
    family, _, ours = pair
    assert isinstance(ours.text, TextEncoder) == (family in ('pe_core', 'eva02', 'convnext', 'swin', 'vitamin'))


def test_padding_is_read_where_attention_goes_both_ways(pair):
    """What decides whether computing nothing after the end token is exact."""
    family, theirs, ours = pair
    tokenizer = ours.text.tokenizer
    ids = tokenizer.tokenize('a cat', ours.text.context_length)
    other = ids.clone()
    other[:, int(tokenizer.ends(ids)) + 1 :] = tokenizer.encode('a')[0]
    same = torch.allclose(theirs.encode_text(ids), theirs.encode_text(other), atol=1e-6)
    assert same == isinstance(ours.text, TextEncoder), family


def test_a_text_without_end_token_is_refused(tmp_path):
    """It would be read as its first token and padding."""
    text = towers('siglip', tmp_path)[1].text
    ids = torch.full((1, text.context_length), text.tokenizer.encode('a')[0])
    with pytest.raises(ValueError, match=f'must have the end token {text.tokenizer.end}'):
        text.encode_ids(ids)


def test_logit_bias_is_kept(pair):
    family, theirs, ours = pair
    assert (ours.logit_bias is not None) == (family == 'siglip')
    if family == 'siglip':
        close(ours.logit_bias, theirs.logit_bias)
        assert 'logit_bias' in ours.state_dict()


def test_weights_are_those_of_open_clip(pair):
    _, theirs, ours = pair
    assert set(ours.state_dict()) == set(theirs.state_dict())


def test_deep_text_prompts_and_lora_are_refused(tmp_path):
    _, ours = towers('siglip', tmp_path)
    with pytest.raises(ValueError, match="depth=2 needs CLIP's text tower"):
        ContextPrompt(NAMES, ours.text, n_ctx=2, depth=2)
    with pytest.raises(ValueError, match=r'clip\.lora: .* has a tower of timm \(tiny_siglip\)'):
        build_clip(weights=str(tmp_path), lora={})


@pytest.mark.parametrize(
    ('part', 'change', 'message'),
    [
        ('text_cfg', dict(hf_model_name='bert'), "text_cfg.hf_model_name='bert'"),
        ('text_cfg', dict(pool_type='first'), "text_cfg.pool_type='first'"),
        ('text_cfg', dict(embed_cls=True), 'text_cfg.embed_cls=True'),
        ('vision_cfg', dict(ls_init_value=0.1), 'vision_cfg.ls_init_value=0.1'),
    ],
)
def test_other_kinds_are_refused_by_field(part, change, message):
    config = CONFIGS['siglip']
    with pytest.raises(OtherTower, match=re.escape(message)):
        find_architecture(dict(open_clip=config | {part: config[part] | change}))


def test_another_arch_than_the_folder_says(tmp_path):
    towers('eva02', tmp_path)
    with pytest.raises(ValueError, match=r'describes another model than arch .* leave arch out'):
        build_clip(dict(open_clip=CONFIGS['pe_core']), str(tmp_path))


@pytest.mark.parametrize('vision', [dict(local='naclip'), dict(patch_stride=8)])
def test_options_of_our_own_towers_are_refused(vision):
    with pytest.raises(ValueError, match=rf'clip\.vision.*{next(iter(vision))}.*tower of timm'):
        CLIP(dict(open_clip=CONFIGS['eva02']), vision=vision)


def test_names_of_open_clip_in_any_case():
    assert find_architecture('vit-b-16-siglip').name == 'ViT-B-16-SigLIP'
    assert find_architecture('PE-Core-B-16').image_size == 224
    assert find_architecture('ViT-L-16').vision_patch_size == 16  # open_clip's own ViT


@pytest.mark.parametrize('family', ['siglip', 'eva02'])
def test_random_weights_have_the_activation_of_the_config(family, tmp_path):
    config = CONFIGS[family]
    if family == 'siglip':
        config = config | dict(text_cfg=dict(config['text_cfg'], hf_tokenizer_name=None))
        with pytest.raises(ValueError, match=r'quick_gelu and text_cfg.act_kwargs=.* exclude each other'):
            build_clip(dict(open_clip=config), quick_gelu=True)
    assert not build_clip(dict(open_clip=config)).quick_gelu


@pytest.mark.parametrize('family', CONVOLUTIONAL)
def test_the_grid_is_that_of_the_features_at_odd_sizes(family, tmp_path):
    _, ours = towers(family, tmp_path)
    features = ours.encode_image(torch.randn(1, 3, 80, 112))
    assert features.local.shape[1] == features.grid[0] * features.grid[1]
    assert tuple(features.maps[-1].shape[2:]) == features.grid


def test_no_maps(tmp_path):
    write_model('eva02', tmp_path)
    assert build_clip(weights=str(tmp_path), vision=dict(out_indices=())).encode_image(images('eva02')).maps == ()


def test_weights_of_another_size_name_the_tensor(tmp_path):
    theirs = write_model('eva02', tmp_path)
    changed = dict(theirs.state_dict())
    changed['visual.trunk.pos_embed'] = torch.zeros(1, 50, 32)
    (tmp_path / 'open_clip_config.json').unlink()
    save_file(changed, tmp_path / 'open_clip_model.safetensors')
    with pytest.raises(ValueError, match=r"does not fit arch 'custom': size mismatch for visual\.trunk\.pos_embed"):
        build_clip(dict(open_clip=CONFIGS['eva02']), str(tmp_path / 'open_clip_model.safetensors'))


def test_the_tokenizer_of_the_hub_where_the_folder_has_none(tmp_path, monkeypatch):
    write_model('siglip', tmp_path)
    hub = tmp_path / 'hub'
    hub.mkdir()
    for name in ('tokenizer.json', 'tokenizer_config.json'):
        (tmp_path / name).rename(hub / name)
    asked = []
    monkeypatch.setattr(
        'vlprompt.clip.open_clip_towers.hub_folder_file', lambda *names: asked.append(names) or hub / 'tokenizer.json'
    )
    assert build_clip(weights=str(tmp_path)).text.tokenizer.folder == hub
    assert asked == [('org/none', 'tokenizer_config.json', 'tokenizer.json')]


def test_the_same_architecture_in_other_words(tmp_path):
    """Lists, squares, defaults and what is off are no difference; another value is, by its name."""
    towers('siglip', tmp_path)
    config = CONFIGS['siglip']
    vision = dict(config['vision_cfg'], image_size=[SIZE, SIZE], timm_drop=0.0, patch_dropout=0, timm_proj_bias=False)
    text = dict(config['text_cfg'], hf_tokenizer_name='org/other', pad_id=0, proj_type='linear')
    same = config | dict(vision_cfg=vision, text_cfg=text)
    assert build_clip(dict(open_clip=same), str(tmp_path)).arch.image_size == SIZE
    other = same | dict(text_cfg=dict(text, pool_type='argmax'))
    with pytest.raises(ValueError, match=r'describes another model than arch .* \(text_cfg\.pool_type\)'):
        build_clip(dict(open_clip=other), str(tmp_path))
    with pytest.raises(ValueError, match=r'another model than arch .ViT-B/32. \(vision_cfg\.timm_model_name\)'):
        build_clip('ViT-B/32', str(tmp_path))


def test_defaults_that_are_written_out_leave_the_text_tower_clips():
    config = CONFIGS['eva02']
    written = dict(config['text_cfg'], mlp_ratio=4.0, pool_type='argmax', proj_type='linear', no_causal_mask=False)
    assert find_architecture(dict(open_clip=config | dict(text_cfg=written))).plain_text
    assert not find_architecture(dict(open_clip=config | dict(text_cfg=dict(written, mlp_ratio=3.0)))).plain_text
    own = dict(embed_dim=512, vision_cfg=dict(pool_type='tok', attn_pooler_heads=8), text_cfg=dict(mlp_ratio=4.0))
    assert find_architecture(dict(open_clip=own)).is_vit


def test_rectangular_towers_are_refused():
    vision = dict(CONFIGS['eva02']['vision_cfg'], image_size=[SIZE, 2 * SIZE])
    with pytest.raises(OtherTower, match=r'vision_cfg\.image_size=\[32, 64\] is no square'):
        find_architecture(dict(open_clip=CONFIGS['eva02'] | dict(vision_cfg=vision)))


@pytest.mark.parametrize('indices', [(1, 0), (0, 0), (0, 2)])
def test_indices_of_maps_ascend(indices):
    message = re.escape(f'out_indices {indices} must ascend within 0..1')
    with pytest.raises(ValueError, match=message):
        build_clip(dict(open_clip=CONFIGS['eva02']), vision=dict(out_indices=indices))


def test_the_tokenizer_beside_a_file_without_options(tmp_path):
    write_model('siglip', tmp_path)
    (tmp_path / 'open_clip_config.json').unlink()
    file = tmp_path / 'open_clip_model.safetensors'
    assert build_clip(dict(open_clip=CONFIGS['siglip']), str(file)).text.tokenizer.folder == tmp_path


def test_a_file_without_options_is_prepared_as_all_tags_of_its_architecture(tmp_path):
    write_model('siglip', tmp_path)
    (tmp_path / 'open_clip_config.json').unlink()
    file = str(tmp_path / 'open_clip_model.safetensors')
    ways = [
        build_clip(dict(open_clip=CONFIGS['siglip'], name=name), file).preprocessing
        for name in ('custom', 'ViT-B-16-SigLIP')
    ]
    assert ways == [None, Preprocessing(mean=(0.5,) * 3, std=(0.5,) * 3, resize_mode='squash')]


class TestHubTokenizer:
    def test_ids(self, tokenizer_folder):
        tokenizer = HubTokenizer(tokenizer_folder, 'canonicalize')
        assert (tokenizer.start, tokenizer.end, tokenizer.pad) == ((), 1, 0)
        assert tokenizer.encode('A Cat!', inside=True) == [3, 6]
        assert tokenizer.encode('cat') == [12]
        assert tokenizer.tokenize('cat', 4).tolist() == [[12, 1, 0, 0]]
        assert tokenizer.word(6) == 'cat'
        assert tokenizer.word(12) == '…cat'
        assert tokenizer.word(1) == ''

    def test_a_start_token_by_the_options(self, tmp_path):
        write_tokenizer(tmp_path)
        options = dict(eos_token='</s>', pad_token='<pad>', bos_token='<unk>', add_bos_token=True)
        (tmp_path / 'tokenizer_config.json').write_text(json.dumps(options))
        assert HubTokenizer(tmp_path).start == (2,)

    def test_a_missing_special_token(self, tmp_path):
        write_tokenizer(tmp_path)
        (tmp_path / 'tokenizer_config.json').write_text(json.dumps(dict(eos_token='<eos>', pad_token='<pad>')))
        with pytest.raises(ValueError, match=r"tokenizer_config.json: eos_token='<eos>' is no token"):
            HubTokenizer(tmp_path)

    def test_a_damaged_file(self, tmp_path):
        (tmp_path / 'tokenizer.json').write_text('{}')
        (tmp_path / 'tokenizer_config.json').write_text('{}')
        with pytest.raises(ValueError, match=r'tokenizer.json: not a tokenizer'):
            HubTokenizer(tmp_path)

    def test_without_the_library(self, tokenizer_folder, monkeypatch):
        monkeypatch.setitem(__import__('sys').modules, 'tokenizers', None)
        with pytest.raises(EnvironmentProblem, match=r'pip install "vlprompt\[tokenizers\]"'):
            HubTokenizer(tokenizer_folder)
