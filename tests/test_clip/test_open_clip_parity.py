"""Same weights, same features and gradients as open_clip's towers."""

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
