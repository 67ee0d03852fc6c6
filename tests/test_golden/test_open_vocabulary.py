"""Segmentation by words against outputs of the official implementations (fp32): local features, windows, labels."""

import pytest
import torch
import torch.nn.functional as F
from mmengine.config import ConfigDict
from mmseg.structures import SegDataSample

from vlprompt.clip import VisionTransformer
from vlprompt.clip.proxy_tokens import proxy_tokens
from vlprompt.models.segmentors import ClipSegmentor
from vlprompt.models.segmentors.pamr import refine_by_pixels

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


def test_tokens_of_a_proxy(golden, case):
    """The published mean couples the images of a batch; ours is taken for each."""
    meta, ref, weights = case
    features = golden.mosaic(meta['proxy']['name'], (2, 48, 9, 9), meta['proxy']['block'], meta['proxy']['amp'])
    images = golden.image_input(meta, 'native')
    rows = F.normalize(features.flatten(2), dim=1)
    means = (rows.transpose(1, 2) @ rows).mean((1, 2))
    assert means.max() / means.min() > 1.001
    with torch.no_grad():
        for number in range(2):
            beta = float(1.2 * means.mean() / means[number])
            one = slice(number, number + 1)
            found = proxy_tokens(tower(weights, 'native'), images[one], features[one], beta, 3.0)
            assert golden.rel(found[0].flatten(1).T, ref['native.proxyclip'][number]) < 5e-6


def test_tokens_before_the_last_block(golden, case):
    meta, ref, weights = case
    with torch.no_grad():
        visual = tower(weights, 'naclip')
        tokens, _ = visual.embed(golden.image_input(meta, 'native'))
        _, (before,) = visual.encode(tokens, out_indices=(1,), queries=1)
    assert golden.rel(before, ref['native.before_last_block']) < 2e-6


POST = 'open_vocabulary/post_a'


@pytest.fixture(scope='module')
def post(golden):
    return golden.load(POST)


def segmentor(golden, case, post, **options) -> ClipSegmentor:
    """With the tower of :data:`CASE` and the text features of :data:`POST`."""
    meta, ref = post
    arch = dict(
        embed_dim=64,
        image_size=96,
        vision_layers=3,
        vision_width=128,
        vision_patch_size=16,
        context_length=16,
        vocab_size=49408,
        transformer_width=64,
        transformer_heads=1,
        transformer_layers=1,
    )
    names = meta['names']
    built = ClipSegmentor(
        clip=dict(arch=arch, vision=dict(local='naclip')),
        class_names=names,
        templates='{}',
        logit_scale=meta['logit_scale'],
        background=names[0].split(',')[0],
        test_cfg=ConfigDict(mode='slide', crop_size=(meta['crop'],) * 2, stride=(meta['stride'],) * 2),
        **options,
    ).eval()
    assert built.class_of_word.tolist() == meta['query_to_class']
    built.clip.visual.load_state_dict(case[2])
    built.text_features = lambda: torch.from_numpy(ref['text'])
    return built


@pytest.mark.parametrize('kind', ['naclip', 'naclip_pamr', 'sclip_area'])
def test_labels_and_probabilities_of_words(golden, case, post, kind):
    meta, ref = post
    options = dict(threshold=meta['prob_threshold'])
    if kind == 'naclip_pamr':
        options['refine'] = dict(meta['pamr'])
    if kind == 'sclip_area':
        options = dict(least_share=meta['area_threshold'], threshold=meta['prob_threshold'])
    model = segmentor(golden, case, post, **options)
    image = golden.mosaic(*(meta['image'][key] for key in ('name', 'shape', 'block', 'amp')))
    shape = tuple(meta['original_shape'])
    sample = SegDataSample(metainfo=dict(ori_shape=shape, img_shape=tuple(image.shape[-2:])))
    with torch.no_grad():
        scores = model.inference(image, [sample.metainfo])
        (found,) = model.predict(image, [sample])
    assert golden.rel(scores[..., ::3, ::3], ref['slide_logits']) < 5e-6
    label = torch.from_numpy(ref[f'{kind}.label'])
    assert (found.pred_sem_seg.data[0] != label).float().mean() < 1e-3
    expected = torch.from_numpy(ref[f'{kind}.prob'])
    expected = expected / expected.sum(0)
    assert golden.rel(found.seg_logits.data[:, ::3, ::3], expected) < 2e-5


def test_refinement_by_pixels(golden, post):
    meta, ref = post
    masks = golden.synth_input('post_a.pm', (1, 3, 24, 31)).softmax(1)
    guide = golden.mosaic('post_a.pi', (1, 3, 48, 62), 8, 2.0)
    refined = refine_by_pixels(masks, guide, **meta['pamr'])
    assert golden.rel(refined, ref['pamr_alone']) < 2e-6
