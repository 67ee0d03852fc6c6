"""Official files of LPT and VPT: fabricated with their keys, converted by the tool, loaded, compared."""

import argparse
import runpy
import sys

import numpy as np
import pytest
import torch
from timm.models.vision_transformer import VisionTransformer

from tests.conftest import ROOT
from vlprompt.apis import init_model
from vlprompt.compat.official import convert, describe
from vlprompt.errors import CheckpointError

ARCH = dict(width=32, layers=3, heads=2, patch_size=16, image_size=32)


@pytest.fixture
def run_tool(tmp_path, monkeypatch):
    """The converter in this process: ``run_tool(method, content)`` gives the official file and ours."""

    def run(method, content):
        source, ours = tmp_path / 'official.pth', tmp_path / 'ours.pth'
        torch.save(content, source)
        tool = ROOT / 'tools/model_converters/official.py'
        monkeypatch.setattr(sys, 'argv', [str(tool), method, str(source), str(ours)])
        runpy.run_path(str(tool), run_name='__main__')
        return source, ours

    return run


def lpt_state(pool=True):
    torch.manual_seed(0)
    trunk = VisionTransformer(img_size=32, patch_size=16, embed_dim=32, depth=3, num_heads=2, num_classes=0)
    learned = {'Prompt_Tokens': torch.randn(3, 2, 32), 'head.weight': torch.randn(32, 5)}
    if pool:
        learned |= {'Prompt_Tokens_pool': torch.randn(4, 2, 2, 32), 'Prompt_Keys': torch.randn(4, 32)}
    state = trunk.state_dict() | {f'prompt_learner.{name}': tensor for name, tensor in learned.items()}
    return {f'module.{name}': tensor for name, tensor in state.items()}, learned


def test_lpt_round_trip(run_tool):
    """The whole official file: prompts through the converter, the trunk from the file itself."""
    state, learned = lpt_state()
    source, ours = run_tool('lpt', dict(state_dict=state, val_acc=50.07, config=argparse.Namespace(lr=0.02)))
    options = {
        'model.num_classes': 5,
        'model.timm': dict(_delete_=True, arch=ARCH, weights=str(source), norm_eps=1e-5),
        'model.data_preprocessor': dict(mean=(0.5,) * 3, std=(0.5,) * 3),
        'model.tuner.prompt.length': 2,
        'phases.groups.model.tuner.pool': dict(size=4, length=2, first_block=1),
    }
    model = init_model(ROOT / 'configs/lpt/lpt_vit-b16-in21k_official.py', ours, options)
    assert torch.load(ours)['meta']['vlprompt']['base']['sha256'] == model.base_source.sha256
    assert torch.equal(model.tuner.prompt.tokens, learned['Prompt_Tokens'])
    assert torch.equal(model.tuner.pool.tokens, learned['Prompt_Tokens_pool'])
    assert torch.equal(model.tuner.pool.keys, learned['Prompt_Keys'])
    assert torch.equal(model.head.weight, learned['head.weight'].T)
    assert torch.equal(model.visual.transformer.resblocks[1].mlp.c_fc.bias, state['module.blocks.1.mlp.fc1.bias'])
    assert model.visual.ln_post.eps == 1e-5
    options['model.timm'].pop('weights')
    with pytest.raises(CheckpointError, match=r'trained on the trunk in the official file .* Set model\.timm\.weights'):
        init_model(ROOT / 'configs/lpt/lpt_vit-b16-in21k_official.py', ours, options)


def test_vpt_round_trip(run_tool):
    shallow, deep = np.random.rand(1, 2, 32).astype('float32'), np.random.rand(2, 2, 32).astype('float32')
    _, ours = run_tool('vpt', dict(shallow_prompt=shallow, deep_prompt=deep))
    state = torch.load(ours)['state_dict']
    assert torch.equal(state['tuner.prompt.tokens'], torch.from_numpy(np.concatenate([shallow, deep])))


def test_vpt_of_a_whole_model():
    state = {
        'enc.transformer.prompt_embeddings': torch.randn(1, 5, 8),
        'enc.transformer.deep_prompt_embeddings': torch.randn(3, 5, 8),
        'head.last_layer.weight': torch.randn(7, 8),
        'head.last_layer.bias': torch.randn(7),
    }
    converted = convert('vpt', state)
    assert converted['tuner.prompt.tokens'].shape == (4, 5, 8)
    assert torch.equal(converted['head.weight'], state['head.last_layer.weight'])
    assert torch.equal(converted['head.bias'], state['head.last_layer.bias'])
    projection = dict(weight=torch.randn(8, 8), bias=torch.randn(8))
    projected = convert('vpt', state | {f'enc.transformer.prompt_proj.{k}': v for k, v in projection.items()})
    assert all(torch.equal(projected[f'tuner.prompt.projection.{k}'], v) for k, v in projection.items())
    shallow = {name: value for name, value in state.items() if 'deep' not in name}
    assert convert('vpt', shallow)['tuner.prompt.tokens'].shape == (1, 5, 8)


def test_files_of_other_methods_are_refused():
    state, _ = lpt_state(pool=False)
    assert set(convert('lpt', state)) == {'tuner.prompt.tokens', 'head.weight'}
    assert describe('lpt', {k: v for k, v in state.items() if 'prompt_learner' in k}) == {}
    wrong = state | {'module.prompt_learner.head.weight': torch.randn(5, 32)}
    with pytest.raises(ValueError, match='transposed'):
        convert('lpt', wrong)
    with pytest.raises(KeyError, match='keys without group prompts'):
        convert('lpt', state | {'module.prompt_learner.Prompt_Keys': torch.randn(4, 32)})
    with pytest.raises(KeyError, match='checkpoint of lpt'):
        convert('lpt', {'ctx': torch.randn(4, 8)})
    with pytest.raises(KeyError, match='checkpoint of VPT'):
        convert('vpt', {'ctx': torch.randn(4, 8)})
    with pytest.raises(ValueError, match=r'\(L - 1, P, D\)'):
        convert('vpt', dict(shallow_prompt=torch.randn(1, 5, 8), deep_prompt=torch.randn(3, 4, 8)))
