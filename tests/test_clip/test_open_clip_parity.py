"""Same weights, same features and gradients as open_clip's towers."""

from dataclasses import replace

import pytest
import torch

from vlprompt.clip import ARCHITECTURES, CLIP, find_architecture, tokenize
from vlprompt.clip.architectures import RESNET_STRIDE
from vlprompt.clip.weights import to_openai_names

TOLERANCE = 1e-5


@pytest.mark.parametrize('quick_gelu', [True, False])
def test_features_and_all_gradients_of_micro_models(tower_parity, micro_arch, quick_gelu):
    errors = tower_parity.compare(find_architecture(micro_arch), quick_gelu, batch=2)
    assert max(errors.image, errors.text, errors.text_reference, errors.gradients) < TOLERANCE


@pytest.mark.parametrize('name', ['ViT-H/14', 'ViT-g/14', 'ViT-bigG/14'])
def test_features_of_wide_models_with_few_blocks(tower_parity, name):
    """Of the published widths, heads and MLPs: 2 blocks of each tower, small text width and images."""
    arch = replace(
        ARCHITECTURES[name],
        vision_layers=2,
        image_size=28,
        transformer_layers=1,
        transformer_width=64,
        transformer_heads=1,
        vocab_size=600,
    )
    ours, theirs = tower_parity.twins(arch)
    images, ids = torch.randn(1, 3, 28, 28), torch.tensor([[598, 5, 7, 599] + [0] * 73])
    with torch.no_grad():
        assert tower_parity.relative_error(ours.encode_image(images).cls, theirs.encode_image(images)) < TOLERANCE
        assert tower_parity.relative_error(ours.encode_text(ids), theirs.encode_text(ids)) < TOLERANCE


@pytest.mark.parametrize('name', [name for name, arch in ARCHITECTURES.items() if arch.vision_stride == RESNET_STRIDE])
def test_every_architecture_of_its_strides_has_open_clips_tensors(tower_parity, name):
    arch = ARCHITECTURES[name]
    with torch.device('meta'):
        ours = to_openai_names(CLIP(arch).state_dict())
    theirs = tower_parity.open_clip_model(arch, quick_gelu=True).state_dict()
    assert {key: value.shape for key, value in ours.items()} == {key: value.shape for key, value in theirs.items()}


@pytest.mark.slow
@pytest.mark.parametrize('name', ['RN50', 'ViT-B/32'])
def test_features_of_full_size_models(tower_parity, name):
    """The other architectures: ``python dev/benchmarks/tower_parity.py``."""
    arch = ARCHITECTURES[name]
    ours, theirs = tower_parity.twins(arch)
    images, ids = torch.randn(1, 3, 224, 224), tokenize(tower_parity.TEXTS)
    with torch.no_grad():
        image, text = ours.encode_image(images), ours.encode_text(ids)
        assert tower_parity.relative_error(image.cls, theirs.encode_image(images)) < TOLERANCE
        assert tower_parity.relative_error(text, theirs.encode_text(ids)) < TOLERANCE
    assert image.local.shape == (1, 49, arch.embed_dim)


def test_training_mode_batch_statistics_agree_too(tower_parity, micro_rn):
    ours, theirs = tower_parity.twins(find_architecture(micro_rn))
    images = torch.randn(4, 3, 64, 64)
    with torch.no_grad():
        expected = theirs.train().encode_image(images)
        torch.testing.assert_close(ours.train().encode_image(images).cls, expected, rtol=1e-5, atol=1e-5)
