"""Adapters of peft: round trips of both layouts, and files that do not fit."""

import json

import pytest
import torch
from safetensors.torch import load_file, save_file

from tests.conftest import MICRO
from vlprompt.clip import build_clip, merge_lora
from vlprompt.clip.low_rank import branches
from vlprompt.engine.peft_adapters import LAYOUTS, load_adapter, merge_adapter, read_adapter, write_adapter
from vlprompt.errors import CheckpointError

EVERYWHERE = ['q', 'k', 'v', 'out', 'fc', 'proj']


@pytest.fixture
def weights(tmp_path):
    torch.manual_seed(0)
    state = build_clip(arch=MICRO['vit']).state_dict()
    torch.save({name.removeprefix('text.'): tensor for name, tensor in state.items()}, tmp_path / 'base.pt')
    return str(tmp_path / 'base.pt')


@pytest.fixture
def build(weights):
    def _build(seed=None, **lora):
        model = build_clip(arch=MICRO['vit'], weights=weights, quick_gelu=True, lora=lora or None)
        if seed is not None:
            torch.manual_seed(seed)
            with torch.no_grad():
                for *_, branch in branches(model):
                    branch.B.normal_(std=0.1)
        return model

    return _build


@pytest.mark.parametrize('layout', LAYOUTS)
@pytest.mark.parametrize(
    'lora',
    [
        dict(rank=2),
        dict(rank=3, alpha=5, scaling='classic', targets=['q', 'v']),
        dict(rank=2, targets=EVERYWHERE, blocks=[1]),
        dict(rank=2, targets=['fc', 'out'], towers=['text']),
        dict(rank=2, targets=['proj']),
    ],
)
def test_round_trip(build, tmp_path, layout, lora):
    model, other, merged = build(0, **lora), build(1, **lora), build()
    write_adapter(model, tmp_path / 'adapter', layout)
    merge_adapter(merged, tmp_path / 'adapter')
    load_adapter(other, tmp_path / 'adapter')
    for each in (model, other):
        merge_lora(each)
    for name, tensor in model.state_dict().items():
        torch.testing.assert_close(merged.state_dict()[name], tensor, atol=1e-6, rtol=1e-5, msg=name)
        torch.testing.assert_close(other.state_dict()[name], tensor, atol=1e-6, rtol=1e-5, msg=name)


def test_a_dense_packed_adapter_can_only_be_merged(build, tmp_path):
    """A rank that three does not divide, or a B that is not block diagonal."""
    model, base = build(), build()
    for rank in (4, 6):
        A, B = torch.randn(rank, 64), torch.randn(192, rank)
        write_adapter(build(0, rank=2), tmp_path / 'a', 'open_clip')
        name = 'base_model.model.visual.transformer.resblocks.1.attn'
        save_file({f'{name}.lora_A.weight': A, f'{name}.lora_B.weight': B}, tmp_path / 'a/adapter_model.safetensors')
        config = json.loads((tmp_path / 'a/adapter_config.json').read_text()) | dict(r=rank, lora_alpha=1)
        (tmp_path / 'a/adapter_config.json').write_text(json.dumps(config))
        model.load_state_dict(base.state_dict())
        merge_adapter(model, tmp_path / 'a')
        changed = [n for n, t in model.state_dict().items() if not torch.equal(t, base.state_dict()[n])]
        assert changed == ['visual.transformer.resblocks.1.attn.in_proj_weight']
        delta = model.state_dict()[changed[0]] - base.state_dict()[changed[0]]
        torch.testing.assert_close(delta, B @ A / rank, atol=1e-5, rtol=1e-4)
        with pytest.raises(CheckpointError, match=r'packed qkv of block 1 of the visual tower .* merged'):
            load_adapter(build(rank=2), tmp_path / 'a')


def test_adapters_of_other_models(build, tmp_path):
    write_adapter(build(0, rank=2), tmp_path / 'a', 'transformers')
    narrow = dict(MICRO['vit'], vision_width=128, vision_layers=2)
    with pytest.raises(
        CheckpointError, match=r'changes a weight \(64, 64\) at . of block . of the visual tower, .* has \(128, 128\)'
    ):
        merge_adapter(build_clip(arch=narrow), tmp_path / 'a')
    with pytest.raises(CheckpointError, match=r'has . of block 1 of the (visual|text) tower, .* has 1 blocks'):
        merge_adapter(build_clip(arch=dict(MICRO['vit'], vision_layers=1, transformer_layers=1)), tmp_path / 'a')
    with pytest.raises(CheckpointError, match=r'has rank 2 at . .* set clip\.lora\.rank=2'):
        load_adapter(build(rank=4), tmp_path / 'a')
    with pytest.raises(CheckpointError, match=r'no branch for .* of block 0 of the text tower.* set clip\.lora'):
        load_adapter(build(rank=2, towers=['visual']), tmp_path / 'a')
    base = json.loads((tmp_path / 'a/base.json').read_text())
    (tmp_path / 'a/base.json').write_text(json.dumps(dict(name='RN50:other', sha256='0' * 64)))
    with pytest.raises(CheckpointError, match=r'trained on RN50:other \(sha256 000000000000\), but'):
        merge_adapter(build(), tmp_path / 'a')
    assert base == dict(name='file:base.pt', sha256=build().source.sha256)


@pytest.mark.parametrize(
    ('change', 'message'),
    [
        (dict(peft_type='LOHA'), "peft_type is 'LOHA'; only LORA"),
        (dict(use_dora=True), 'use_dora=True cannot be read'),
        (dict(rank_pattern={'q_proj': 4}), 'rank_pattern=.* cannot be read'),
        (dict(r=0), 'r=0 and lora_alpha=1'),
    ],
)
def test_other_kinds_of_adapters(build, tmp_path, change, message):
    write_adapter(build(0, rank=2), tmp_path, 'transformers')
    file = tmp_path / 'adapter_config.json'
    file.write_text(json.dumps(json.loads(file.read_text()) | change))
    with pytest.raises(CheckpointError, match=message):
        read_adapter(tmp_path)


def test_tensors_that_do_not_fit_together(build, tmp_path):
    write_adapter(build(0, rank=2), tmp_path, 'transformers')
    file = tmp_path / 'adapter_model.safetensors'
    state = load_file(file)
    name = next(iter(state))
    save_file(state | {'base_model.model.lm_head.lora_A.weight': torch.ones(2, 2)}, file)
    with pytest.raises(CheckpointError, match=r'lm_head.* is no tensor of a CLIP adapter'):
        read_adapter(tmp_path)
    save_file({k: v for k, v in state.items() if k != name}, file)
    with pytest.raises(CheckpointError, match='not A and B'):
        read_adapter(tmp_path)
    save_file(state | {name: torch.full_like(state[name], torch.nan)}, file)
    with pytest.raises(CheckpointError, match='NaN'):
        read_adapter(tmp_path)
    with pytest.raises(ValueError, match='no low-rank branches'):
        write_adapter(build(), tmp_path)
    with pytest.raises(ValueError, match="layout='timm' must be one of open_clip, transformers"):
        write_adapter(build(rank=2), tmp_path, 'timm')
