"""Local features for open-vocabulary segmentation against outputs of the official implementations (fp32)."""

import pytest
import torch

from vlprompt.clip import VisionTransformer

CASE = 'open_vocabulary/dense_a'
FORMS = {
    'vanilla': 'native',
    'maskclip': 'maskclip',
    'maskclip_full': 'maskclip_full',
    'sclip': 'sclip',
    'clearclip': 'clearclip',
    'kk': 'kk',
    'naclip': 'naclip',
    'naclip_full': dict(attention='kk', sigma=5.0),
}
"""Array of the case -> form."""


@pytest.fixture(scope='module')
def case(golden):
    """Meta data, arrays and the weights of the image tower."""
    meta, ref = golden.load(CASE)
    return meta, ref, {name.removeprefix('visual.'): tensor for name, tensor in golden.weights(CASE).items()}


def tower(weights, local, interpolation='bicubic_legacy') -> VisionTransformer:
    built = VisionTransformer(16, 128, 3, 64, (96, 96), heads=2, local=local, interpolation=interpolation).eval()
    built.load_state_dict(weights)
    return built


@pytest.mark.parametrize('image', ['native', 'wide'])
@pytest.mark.parametrize('method', FORMS)
def test_local_tokens(golden, case, image, method):
    meta, ref, weights = case
    with torch.no_grad():
        features = tower(weights, FORMS[method])(golden.image_input(meta, image))
    assert features.grid == ((6, 6) if image == 'native' else (6, 10))
    assert golden.rel(features.local, ref[f'{image}.{method}']) < 2e-6


def test_local_tokens_with_antialiased_positions(golden, case):
    meta, ref, weights = case
    with torch.no_grad():
        features = tower(weights, 'naclip', 'bicubic')(golden.image_input(meta, 'wide'))
    assert golden.rel(features.local, ref['wide.naclip_antialias']) < 2e-6


def test_tokens_before_the_last_block(golden, case):
    meta, ref, weights = case
    with torch.no_grad():
        visual = tower(weights, 'naclip')
        tokens, _ = visual.embed(golden.image_input(meta, 'native'))
        _, (before,) = visual.encode(tokens, out_indices=(1,), queries=1)
    assert golden.rel(before, ref['native.before_last_block']) < 2e-6
