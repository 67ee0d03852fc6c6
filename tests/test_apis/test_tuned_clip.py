"""Weights that are written are loaded by open_clip, by its own functions, and by this package."""

import json

import open_clip
import pytest
import torch
from open_clip import CustomTextCLIP
from open_clip.factory import load_checkpoint

from tests.conftest import MICRO
from tests.tiny_timm import CONFIGS, write_model
from vlprompt.apis.tuned_clip import write_clip
from vlprompt.clip import build_clip
from vlprompt.clip.preprocessing import Preprocessing
from vlprompt.errors import CheckpointError


def close(ours, theirs, images):
    """The same global features of images and of two texts."""
    ids = ours.text.tokenizer.tokenize(['cat', 'a dog'], ours.text.context_length)
    with torch.no_grad():
        torch.testing.assert_close(ours.encode_image(images).cls, theirs.encode_image(images), rtol=1e-4, atol=1e-4)
        torch.testing.assert_close(ours.encode_text(ids), theirs.encode_text(ids), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize('suffix', ['.safetensors', '.pt'])
@pytest.mark.parametrize('family', ['siglip', 'eva02'])
def test_a_file_of_towers_of_timm(family, suffix, tmp_path):
    write_model(family, tmp_path)
    ours = build_clip(weights=str(tmp_path))
    write_clip(ours, tmp_path / f'tuned{suffix}')
    theirs = CustomTextCLIP(**{key: value for key, value in CONFIGS[family].items() if key != 'custom_text'}).eval()
    load_checkpoint(theirs, str(tmp_path / f'tuned{suffix}'))
    close(ours, theirs, torch.randn(2, 3, 32, 32))
    again = build_clip(weights=str(tmp_path / f'tuned{suffix}'))
    assert again.state_dict().keys() == ours.state_dict().keys()


@pytest.mark.parametrize('family', ['siglip', 'eva02'])
def test_a_folder_of_towers_of_timm(family, tmp_path):
    write_model(family, tmp_path)
    way = dict(mean=[0.5] * 3, std=[0.25] * 3, interpolation='bilinear', resize_mode='squash')
    (tmp_path / 'open_clip_config.json').write_text(json.dumps(dict(model_cfg=CONFIGS[family], preprocess_cfg=way)))
    ours = build_clip(weights=str(tmp_path))
    write_clip(ours, tmp_path / 'tuned')
    close(ours, open_clip.create_model(f'local-dir:{tmp_path / "tuned"}').eval(), torch.randn(2, 3, 32, 32))
    again = build_clip(weights=str(tmp_path / 'tuned'))
    assert again.preprocessing == ours.preprocessing == Preprocessing((0.5,) * 3, (0.25,) * 3, 'bilinear', 'squash')
    assert again.arch.first_difference(ours.arch) is None
    if family == 'siglip':
        assert again.text.tokenizer.folder == tmp_path / 'tuned'


@pytest.mark.parametrize('quick_gelu', [True, False])
@pytest.mark.parametrize('tower', MICRO)
def test_a_folder_of_clips_own_towers(tower, quick_gelu, tmp_path):
    arch = dict(MICRO[tower])
    if tower == 'vit':
        arch |= dict(vision_width=52, vision_head_width=26, vision_mlp_width=60)  # 52 * (60 / 52) is below 60
    ours = build_clip(arch, quick_gelu=quick_gelu)
    write_clip(ours, tmp_path / 'tuned')
    close(ours, open_clip.create_model(f'local-dir:{tmp_path / "tuned"}').eval(), torch.randn(2, 3, 64, 64))
    again = build_clip(weights=str(tmp_path / 'tuned'))
    assert (again.arch.first_difference(ours.arch), again.quick_gelu) == (None, quick_gelu)


def test_an_architecture_that_open_clip_does_not_have(tmp_path):
    ours = build_clip(dict(MICRO['rn'], vision_stride=16))
    with pytest.raises(CheckpointError, match=r"open_clip's ResNets have a stride of 32 pixels, not 16: write a file"):
        write_clip(ours, tmp_path / 'tuned')
    assert not (tmp_path / 'tuned').exists()
