"""Reading weights from files, tags and the package."""

import json
import subprocess
import sys

import open_clip
import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from tests.conftest import MICRO
from vlprompt.clip import CLIP, build_clip, download
from vlprompt.clip import build as build_module
from vlprompt.clip.architectures import architecture_of, describe_image_tower
from vlprompt.clip.builtin import TOKEN_EMBEDDING, pack, seeded_token_embedding, unpack
from vlprompt.clip.preprocessing import Preprocessing
from vlprompt.clip.weights import state_sha256, to_openai_names
from vlprompt.errors import DownloadError

SMALL = {form: dict(arch, vocab_size=100, context_length=16, transformer_heads=1) for form, arch in MICRO.items()}


@pytest.fixture(params=['rn', 'vit'])
def model(request, seeded) -> CLIP:
    """A micro CLIP whose widths follow CLIP's rule of 64 channels a head (1 head below)."""
    return CLIP(SMALL[request.param]).eval()


@pytest.fixture
def openai_state(model) -> dict:
    """What OpenAI's archives hold: fp16, flat names, and three numbers that are no weights."""
    state = {key: value.half() if value.is_floating_point() else value for key, value in model.state_dict().items()}
    extra = dict(input_resolution=64, context_length=16, vocab_size=100)
    return dict(to_openai_names(state), **{key: torch.tensor(value) for key, value in extra.items()})


def torchscript_archive(state: dict, path) -> None:
    """Save a TorchScript module that has exactly these tensors."""

    class Holder(nn.Module):
        def forward(self, x):
            return x

    root = Holder()
    for key, value in state.items():
        module = root
        *parents, name = key.split('.')
        for parent in parents:
            if parent not in dict(module.named_children()):
                module.add_module(parent, Holder())
            module = getattr(module, parent)
        module.register_buffer(name, value)
    with pytest.warns(FutureWarning):
        torch.jit.trace(root, torch.zeros(1)).save(path)


def unreachable(url):
    raise ConnectionError(f'{url} cannot be reached')


def write(form: str, state: dict, folder):
    path = folder / 'weights.pt'
    if form == 'torchscript':
        torchscript_archive(state, path)
    elif form == 'safetensors':
        path = folder / 'weights.safetensors'
        save_file(state, path)
    elif form == 'training checkpoint':
        torch.save({'epoch': 3, 'state_dict': {f'module.{key}': value for key, value in state.items()}}, path)
    elif form == 'text tower apart':
        custom = {
            key if key.split('.')[0] in ('visual', 'logit_scale') else f'text.{key}': v for key, v in state.items()
        }
        torch.save({key: v for key, v in custom.items() if key.removeprefix('text.') not in EXTRA}, path)
    else:
        torch.save(state, path)
    return path


EXTRA = ('input_resolution', 'context_length', 'vocab_size')


@pytest.mark.parametrize(
    'form', ['torchscript', 'state dict', 'safetensors', 'training checkpoint', 'text tower apart']
)
def test_every_form_gives_the_same_model(form, model, openai_state, tmp_path):
    built = build_clip(weights=write(form, openai_state, tmp_path))
    rounded = {k: v.half().float() if v.is_floating_point() else v for k, v in model.state_dict().items()}
    assert built.arch.first_difference(model.arch) is None
    assert not built.training
    assert built.source.sha256 == state_sha256(rounded)
    assert built.source.name.startswith('file:weights.')
    for key, value in built.state_dict().items():
        assert value.equal(rounded[key]), key
        assert value.device.type == 'cpu'
    assert all(p.requires_grad for p in built.parameters())
    assert built.encode_image(torch.randn(1, 3, 64, 64)).cls.isfinite().all()


def test_random_weights_have_no_source(micro_arch):
    model = build_clip(micro_arch)
    assert model.source is None
    assert not model.training


def test_hash_depends_on_values_and_names():
    state = {'a': torch.zeros(2), 'b': torch.ones(2)}
    assert state_sha256(state) == state_sha256(dict(reversed(state.items())))
    assert state_sha256(state) != state_sha256({'a': torch.ones(2), 'b': torch.zeros(2)})
    assert state_sha256(state) == state_sha256(dict(state, **{'bn.num_batches_tracked': torch.tensor(3)}))


def test_image_size_resizes_positions_but_not_the_hash(model, openai_state, tmp_path):
    path = write('state dict', openai_state, tmp_path)
    small, large = build_clip(weights=path), build_clip(weights=path, image_size=(128, 96))
    assert large.source == small.source
    images = torch.randn(1, 3, 128, 96)
    with torch.no_grad():
        torch.testing.assert_close(large.encode_image(images).cls, small.encode_image(images).cls)


@pytest.mark.parametrize(('field', 'value'), [('embed_dim', 32), ('image_size', 128), ('transformer_layers', 3)])
def test_other_architecture_names_the_first_differing_field(model, openai_state, tmp_path, field, value):
    path = write('state dict', openai_state, tmp_path)
    arch = dict(SMALL['vit' if model.arch.is_vit else 'rn'], **{field: value})
    with pytest.raises(ValueError, match=rf'weights.pt: the weights have {field}=.*{field}={value}'):
        build_clip(arch, path)


def test_missing_and_unknown_entries_are_errors(openai_state, tmp_path):
    del openai_state['ln_final.bias']
    openai_state['logit_bias'] = torch.zeros(())
    with pytest.raises(ValueError, match=r"missing entries \['text.ln_final.bias'\], unknown entries \['logit_bias'\]"):
        build_clip(weights=write('state dict', openai_state, tmp_path))


def test_quick_gelu_option(openai_state, tmp_path):
    path = write('state dict', openai_state, tmp_path)
    assert build_clip(weights=path).quick_gelu
    plain = build_clip(weights=path, quick_gelu=False)
    assert isinstance(plain.text.transformer.resblocks[0].mlp.gelu, nn.GELU)


def test_nothing_given():
    with pytest.raises(ValueError, match='arch, weights, or both'):
        build_clip()


def test_missing_file(tmp_path):
    with pytest.raises(FileNotFoundError, match=r'no weight file at .*nothing.pt'):
        build_clip('RN50', tmp_path / 'nothing.pt')


def test_file_without_tensors(tmp_path):
    torch.save({'epoch': 3}, tmp_path / 'x.pt')
    with pytest.raises(ValueError, match='holds no state dict'):
        build_clip('RN50', tmp_path / 'x.pt')


def test_damaged_file(tmp_path):
    torch.save({'a': torch.zeros(1000)}, tmp_path / 'x.pt')
    (tmp_path / 'x.pt').write_bytes((tmp_path / 'x.pt').read_bytes()[:2000])
    with pytest.raises(
        ValueError, match=r'x\.pt cannot be read: it is damaged or incomplete, perhaps a broken download'
    ):
        build_clip('RN50', tmp_path / 'x.pt')


def test_home_folder_is_expanded(monkeypatch, tmp_path):
    monkeypatch.setenv('HOME', str(tmp_path))
    with pytest.raises(FileNotFoundError, match=str(tmp_path)):
        build_clip('RN50', '~/x.pt')


class Bomb:
    def __reduce__(self):
        return (print, ('code ran',))


def test_no_code_of_a_foreign_file_runs(tmp_path, capsys):
    torch.save({'state_dict': Bomb()}, tmp_path / 'x.pt')
    with pytest.raises(ValueError, match=r'x\.pt holds no state dict'):
        build_clip('RN50', tmp_path / 'x.pt')
    assert 'code ran' not in capsys.readouterr().out


class TestTags:
    def test_unknown_tag_lists_the_known_ones(self):
        with pytest.raises(ValueError, match=r"'nonsense' is neither a file nor a tag .* ViT-B-32; its tags: openai"):
            build_clip('ViT-B/32', 'nonsense')

    def test_tag_needs_an_architecture(self):
        with pytest.raises(ValueError, match='also give arch'):
            build_clip(weights='openai')

    def test_failed_download_says_what_to_fetch(self, monkeypatch):
        def fail(config):
            raise FileNotFoundError('no network')

        monkeypatch.setattr(open_clip.pretrained, 'download_pretrained', fail)
        monkeypatch.setattr(download, 'require_hub', lambda: None)
        with pytest.raises(
            FileNotFoundError,
            match=r'fetch https.*openaipublic.*RN50\.pt, or .*give its path.*quick_gelu=True.*no network',
        ):
            build_clip('RN50', 'openai')
        with pytest.raises(
            FileNotFoundError,
            match=r'safetensors or .* of https://huggingface.co/laion/CLIP-ViT-B-32-laion2B-s34B-b79K,.*quick_gelu=False',
        ):
            build_clip('ViT-B/32', 'laion2b_s34b_b79k')

    @pytest.mark.parametrize(
        ('arch', 'tag', 'quick_gelu'),
        [
            ('ViT-B/32', 'openai', True),
            ('ViT-B-32', 'laion2b_s34b_b79k', False),
            ('ViT-B/16', 'laion400m_e31', False),
            ('RN50', 'openai', True),
            ('ViT-B-32-quickgelu', 'laion400m_e32', True),
        ],
    )
    def test_activation_is_open_clips(self, monkeypatch, tmp_path, arch, tag, quick_gelu):
        monkeypatch.setattr(open_clip.pretrained, 'download_pretrained', lambda config: str(tmp_path / 'x.pt'))
        monkeypatch.setattr(download, 'require_hub', lambda: None)
        model_name = build_module.open_clip_name(build_module.find_architecture(arch).name)
        if arch.endswith('quickgelu'):
            model_name = arch
        path, quick = build_module.download(model_name, tag)
        assert path == tmp_path / 'x.pt'
        assert quick is quick_gelu

    def test_file_of_a_tag_is_loaded(self, monkeypatch, model, openai_state, tmp_path):
        path = write('state dict', openai_state, tmp_path)
        monkeypatch.setattr(build_module, 'download', lambda *_: (path, False))
        built = build_clip(model.arch, 'laion2b')
        assert built.source.name == 'custom:laion2b'
        assert not built.quick_gelu


class TestBuiltin:
    def test_unknown_architecture(self):
        with pytest.raises(ValueError, match="not shipped for arch 'RN50'"):
            build_clip('RN50', 'scenes')

    def test_needs_an_architecture(self):
        with pytest.raises(ValueError, match='also give arch'):
            build_clip(weights='scenes')

    def test_pack_and_unpack(self, model, tmp_path):
        state = model.state_dict()
        table = seeded_token_embedding(100, 32, seed=5)
        trained = torch.tensor([7, 3])
        table[trained] = torch.randn(2, 32).half().float()
        state[TOKEN_EMBEDDING] = table
        torch.save(pack(state, trained, seed=5), tmp_path / 'x.pth')
        back = unpack(torch.load(tmp_path / 'x.pth', weights_only=True))
        assert back.keys() == state.keys()
        assert back[TOKEN_EMBEDDING].equal(table)
        torch.testing.assert_close(back['logit_scale'], state['logit_scale'], rtol=1e-3, atol=0)

    def test_an_unlisted_trained_row_is_an_error(self, model):
        with pytest.raises(ValueError, match='are not those of seed 5'):
            pack(model.state_dict(), torch.tensor([1]), seed=5)

    def test_seeded_rows_are_pinned(self):
        torch.testing.assert_close(
            seeded_token_embedding(2, 2, seed=0).flatten(),
            torch.tensor([1.764052, 0.400157, 0.978738, 2.240893]) * 0.02,
        )


@pytest.mark.slow
def test_import_is_plain_torch():
    code = 'import sys, vlprompt.clip; print({"mmengine", "mmcv", "mmseg", "mmdet", "open_clip"} & set(sys.modules))'
    out = subprocess.run([sys.executable, '-c', code], capture_output=True, text=True, check=True)
    assert out.stdout.strip() == 'set()'


class TestWhatShapesDoNotTell:
    """Heads and activation: from ``open_clip_config.json``, the architecture or the kind of file; or assumed aloud."""

    def options(self, folder, **changes):
        vision, text = dict(head_width=32), dict(heads=4)
        model = dict(embed_dim=24, quick_gelu=False, vision_cfg=vision, text_cfg=text) | changes
        (folder / 'open_clip_config.json').write_text(json.dumps(dict(model_cfg=model, preprocess_cfg={})), 'utf-8-sig')

    def test_config_of_open_clip_beside_the_file(self, model, openai_state, tmp_path, caplog):
        self.options(tmp_path)
        built = build_clip(weights=write('state dict', openai_state, tmp_path))
        assert built.arch.vision_head_width == 32
        assert built.arch.vision_heads == built.arch.vision_attention_width // 32
        assert built.text.transformer.resblocks[0].attn.heads == 4
        assert not built.quick_gelu
        assert not caplog.records
        with pytest.raises(
            ValueError, match=r'the weights have transformer_heads=4, but arch .* has transformer_heads=1'
        ):
            build_clip(dict(SMALL['vit' if model.arch.is_vit else 'rn'], vision_head_width=32), tmp_path / 'weights.pt')

    def test_folder_of_open_clip(self, openai_state, tmp_path):
        write('state dict', openai_state, tmp_path).rename(tmp_path / 'open_clip_pytorch_model.bin')
        with pytest.raises(FileNotFoundError, match=r'has no open_clip_config\.json: a folder of a model of'):
            build_clip(weights=tmp_path)
        self.options(tmp_path)
        built = build_clip(weights=str(tmp_path))
        assert built.source.name == f'file:{tmp_path.name}'
        assert not built.quick_gelu
        assert built.arch.vision_head_width == 32
        (tmp_path / 'open_clip_pytorch_model.bin').unlink()
        with pytest.raises(FileNotFoundError, match=r'has no open_clip_model\.safetensors or open_clip_pytorch_model'):
            build_clip(weights=tmp_path)

    def test_repository_of_the_hub(self, openai_state, tmp_path, monkeypatch):
        path = write('state dict', openai_state, tmp_path)
        self.options(tmp_path)
        held = {'open_clip_pytorch_model.bin': path, 'open_clip_config.json': tmp_path / 'open_clip_config.json'}
        held = {name: str(file) for name, file in held.items()}
        monkeypatch.setattr('huggingface_hub.try_to_load_from_cache', lambda repository, name, revision: held.get(name))
        assert build_clip(weights='hf-hub:org/name').source.name == 'hf-hub:org/name'
        held.clear()
        monkeypatch.setattr('vlprompt.clip.download.require_answer', unreachable)
        with pytest.raises(DownloadError, match=r'open_clip_config\.json and .* of https://huggingface\.co/org/name'):
            build_clip(weights='hf-hub:org/name')

    @pytest.mark.parametrize(
        'change',
        [
            dict(init_logit_bias=-10),
            dict(vision_cfg=dict(no_ln_pre=True)),
            dict(vision_cfg=dict(pool_type='avg')),
            dict(text_cfg=dict(heads=4, no_causal_mask=True)),
            dict(text_cfg=dict(hf_model_name='roberta-base')),
        ],
        ids=lambda change: next(iter(change)),
    )
    def test_towers_of_another_kind_are_refused(self, openai_state, tmp_path, change):
        path = write('state dict', openai_state, tmp_path)
        self.options(tmp_path, **change)
        with pytest.raises(ValueError, match=r'open_clip_config\.json: \w+_cfg\.\w+=.* is of another kind of tower'):
            build_clip(weights=path)
        usual = dict(head_width=32, timm_model_name=None, pool_type='tok', patch_dropout=0.5)
        self.options(tmp_path, custom_text=True, vision_cfg=usual)
        assert build_clip(weights=path).arch.vision_head_width == 32

    def test_preprocessing_is_read(self, openai_state, tmp_path):
        path, file = write('state dict', openai_state, tmp_path), tmp_path / 'open_clip_config.json'
        self.options(tmp_path)
        content = json.loads(file.read_text('utf-8-sig'))
        file.write_text(json.dumps(content | dict(preprocess_cfg=dict(mean=[0.5] * 3, resize_mode='squash'))))
        assert build_clip(weights=path).preprocessing == Preprocessing(mean=(0.5, 0.5, 0.5), resize_mode='squash')
        rounded = dict(mean=[0.4815, 0.4578, 0.4082], interpolation='bicubic', resize_mode='shortest')
        file.write_text(json.dumps(content | dict(preprocess_cfg=rounded)))
        assert build_clip(weights=path).preprocessing == Preprocessing()

    def test_a_tag_is_no_folder_of_the_same_name(self, tmp_path, monkeypatch):
        (tmp_path / 'openai').mkdir()
        monkeypatch.chdir(tmp_path)
        monkeypatch.setattr(build_module, 'download', lambda *_: pytest.fail('reached'))
        with pytest.raises(pytest.fail.Exception, match='reached'):
            build_clip('RN50', 'openai')
        with pytest.raises(ValueError, match=r"'hf-hub:nobody' must name a repository: hf-hub:ORG/NAME"):
            build_clip(weights='hf-hub:nobody')

    def test_broken_config_of_open_clip(self, openai_state, tmp_path):
        path = write('state dict', openai_state, tmp_path)
        for text in ('{', '{}', '{"model_cfg": {"vision_cfg": {}}}', '[1]', '[' * 100_000):
            (tmp_path / 'open_clip_config.json').write_text(text)
            with pytest.raises(ValueError, match=r'open_clip_config\.json: not a config of open_clip'):
                build_clip(weights=path)

    def test_assumptions_are_logged(self, model, openai_state, tmp_path, caplog):
        path = write('state dict', openai_state, tmp_path)
        assert build_clip(weights=path).quick_gelu
        heads, activation = (record.getMessage() for record in caplog.records)
        assert 'weights.pt does not say how many attention heads it has: assuming' in heads
        assert "weights.pt does not say its activation: assuming OpenAI's QuickGELU" in activation
        caplog.clear()
        arch = SMALL['vit' if model.arch.is_vit else 'rn']
        build_clip(arch, path, quick_gelu=True)
        assert not caplog.records

    @pytest.mark.filterwarnings('ignore')
    def test_an_archive_of_openai_is_known(self, openai_state, tmp_path, caplog):
        assert build_clip(weights=write('torchscript', openai_state, tmp_path), arch=None).quick_gelu
        assert all('activation' not in record.getMessage() for record in caplog.records)

    def test_the_name_of_an_architecture_tells(self, monkeypatch, tmp_path):
        torch.save({'a': torch.zeros(1)}, tmp_path / 'x.pt')
        for name, expected in (('ViT-B-16-quickgelu', True), ('ViT-B/16', None)):
            wanted = build_module.find_architecture(name)
            assert build_module._read(name, wanted, tmp_path / 'x.pt')[2].quick_gelu is expected
        self.options(tmp_path)
        with pytest.raises(ValueError, match=r'has QuickGELU, but .*open_clip_config\.json says GELU'):
            build_module._read('ViT-B-16-quickgelu', build_module.find_architecture('ViT-B/16'), tmp_path / 'x.pt')

    @pytest.mark.parametrize(('width', 'head'), [(1280, 80), (1408, 88), (1664, 104)])
    def test_wide_towers_have_wide_heads(self, width, head):
        state = {
            'visual.proj': torch.empty(width, 8, device='meta'),
            'visual.conv1.weight': torch.empty(width, 3, 14, 14, device='meta'),
            'visual.positional_embedding': torch.empty(257, width, device='meta'),
            'visual.transformer.resblocks.0.mlp.c_fc.weight': torch.empty(4 * width, width, device='meta'),
            'text.token_embedding.weight': torch.empty(100, 64, device='meta'),
            'text.positional_embedding': torch.empty(77, 64, device='meta'),
            'text.text_projection': torch.empty(64, 8, device='meta'),
        }
        arch = architecture_of(state, 'x.pt')
        assert (arch.vision_head_width, arch.vision_heads) == (head, width // head)
        with pytest.raises(
            ValueError, match=rf'no published ViT of width {width} has heads of 64 channels.* {head} in'
        ):
            architecture_of(state, 'x.pt', vision_head_width=64)
        hidden = 'visual.transformer.resblocks.0.mlp.c_fc.weight'
        assert arch.vision_mlp_width == 4 * width
        state[hidden] = torch.empty(6144, width, device='meta')
        assert architecture_of(state, 'x.pt').vision_mlp_width == 6144

    def test_an_unknown_wide_tower_is_refused(self):
        sizes = dict(SMALL['vit'], vision_width=1152, vision_patch_size=16)
        with pytest.raises(ValueError, match='no published ViT of width 1152 has heads of 64 channels'):
            CLIP(sizes)

    def test_names_of_other_libraries_get_a_hint(self):
        for key, hint in (('text_model.x', 'transformers library'), ('visual.trunk.x', 'one of timm')):
            with pytest.raises(ValueError, match=hint):
                architecture_of({key: torch.zeros(1)})


@pytest.mark.parametrize(
    ('name', 'words'),
    [
        ('RN50', 'a ResNet-50'),
        ('RN101', 'a ResNet-101'),
        ('RN50x4', 'a ResNet-50x4'),
        ('ViT-B/16', 'a ViT-B/16'),
        ('ViT-L/14', 'a ViT-L/14'),
        ('micro-rn', 'a ResNet with (1, 2, 2, 1) blocks, 16 wide'),
        ('micro-vit', 'a ViT with 6 blocks of width 128 and patches of 16 pixels'),
    ],
)
def test_an_image_tower_is_recognised_under_any_prefix(name, words):
    with torch.device('meta'):
        state = CLIP(name).state_dict()
    assert describe_image_tower({f'backbone.{key}': value for key, value in state.items()}) == words
    assert describe_image_tower({'a': torch.zeros(1)}) is None


def test_weights_that_are_not_finite_are_refused(openai_state, tmp_path):
    openai_state['ln_final.bias'][0] = torch.nan
    openai_state['attn_mask'] = torch.full((2, 2), -torch.inf)
    with pytest.raises(ValueError, match=r'weights\.pt: 1 tensors hold NaN or infinity \(ln_final\.bias\)'):
        build_clip(weights=write('state dict', openai_state, tmp_path))
