"""Segmentation by words: words of classes, background, windows, refinement."""

import pytest
import torch
import torch.nn.functional as F
from mmengine.config import ConfigDict
from mmengine.registry import DefaultScope
from mmseg.structures import SegDataSample

from tests.conftest import MICRO
from vlprompt.clip.proxy_tokens import proxy_attention, proxy_tokens
from vlprompt.models.segmentors import ClipSegmentor
from vlprompt.models.segmentors.pamr import refine_by_pixels

WHOLE = ConfigDict(mode='whole')


def segmentor(tower='vit', names=('sky', 'tree', 'dog, puppy'), test_cfg=WHOLE, **options):
    torch.manual_seed(0)
    local = 'naclip' if tower == 'vit' else 'value'
    clip = dict(arch=MICRO[tower], vision=dict(local=local))
    return ClipSegmentor(
        clip=clip, class_names=names, templates=['a {}.', 'the {}'], test_cfg=test_cfg, **options
    ).eval()


@pytest.mark.parametrize('tower', MICRO)
def test_labels_have_the_size_of_the_files(tower):
    model = segmentor(tower)
    sample = SegDataSample(metainfo=dict(ori_shape=(50, 70), img_shape=(64, 96)))
    with torch.no_grad():
        (found,) = model(torch.randn(1, 3, 64, 96), [sample], mode='predict')
    assert found.pred_sem_seg.data.shape == (1, 50, 70)
    assert found.seg_logits.data.shape == (3, 50, 70)
    torch.testing.assert_close(found.seg_logits.data.sum(0), torch.ones(50, 70))
    assert torch.equal(found.seg_logits.data.argmax(0), found.pred_sem_seg.data[0])


def test_scores_are_cosines_with_the_mean_of_templates():
    model = segmentor()
    images = torch.randn(2, 3, 64, 64)
    with torch.no_grad():
        local = F.normalize(model.clip.encode_image(images).local, dim=-1)
        text = F.normalize(model.prompt.encode(model.clip.text), dim=-1).mean(0)
        expected = (local @ F.normalize(text, dim=-1).T).transpose(1, 2).unflatten(2, model.clip.visual.grid_size)
        scores = model.encode_decode(images)
    assert scores.shape == (2, 4, 64, 64), 'four words'
    torch.testing.assert_close(scores, F.interpolate(expected, (64, 64), mode='bilinear'))


def test_the_best_word_counts_for_its_class():
    model = segmentor()
    scores = torch.tensor([0.1, 0.2, 0.0, 0.3])[:, None, None].expand(4, 2, 2)
    label, probability = model.label(scores)
    assert (label == 2).all()
    words = (40 * scores[:, 0, 0]).softmax(0)
    expected = torch.stack([words[0], words[1], words[3]])
    torch.testing.assert_close(probability[:, 0, 0], expected / expected.sum())


def test_words_replace_the_name_of_a_class():
    model = segmentor(words=dict(tree=['oak', 'birch', 'pine']))
    assert model.class_names == ('sky', 'tree', 'dog, puppy')
    assert model.class_of_word.tolist() == [0, 1, 1, 1, 2, 2]
    assert model.prompt.class_names == ('sky', 'oak', 'birch', 'pine', 'dog', 'puppy')
    model.set_class_names(['tree', 'sofa'])
    assert model.class_of_word.tolist() == [0, 0, 0, 1]
    with pytest.raises(ValueError, match='words has tree, which is no class'):
        model.set_class_names(['sky', 'sofa'])
    assert model.class_names == ('tree', 'sofa'), 'nothing has changed'


def test_what_is_nothing_else_is_background():
    model = segmentor(threshold=0.5, background='tree')
    scores = torch.tensor([[0.30, 0.1, 0.1, 0.1], [0.1, 0.1, 0.1, 0.11]]).T[:, :, None]
    assert model.label(scores)[0].flatten().tolist() == [0, 1], 'sure of the sky; sure of nothing'


def test_rare_classes_are_dropped():
    model = segmentor(least_share=0.2, background='sky')
    scores = torch.zeros(4, 1, 10)
    scores[1, 0, :9], scores[3, 0, 9] = 0.5, 0.5
    assert model.label(scores)[0].tolist() == [[1] * 9 + [0]], 'the only pixel of a dog, of which the sky is next best'
    model.least_share = 0.05
    assert model.label(scores)[0].tolist() == [[1] * 9 + [2]]


def test_windows_are_averaged_and_small_images_are_one_window():
    model = segmentor(test_cfg=ConfigDict(mode='slide', crop_size=(64, 64), stride=(32, 32)))
    image = torch.randn(1, 3, 64, 80)
    meta = [dict(ori_shape=(64, 80), img_shape=(64, 80))]
    with torch.no_grad():
        scores = model.inference(image, meta)
        left, right = model.encode_decode(image[..., :64]), model.encode_decode(image[..., 16:])
        torch.testing.assert_close(scores[..., 20:60], (left[..., 20:60] + right[..., 4:44]) / 2)
        assert model.inference(image[..., :48, :40], meta).shape == (1, 4, 48, 40)


def test_the_text_is_encoded_once(monkeypatch):
    model, calls = segmentor(), []
    encode = model.prompt.encode
    monkeypatch.setattr(model.prompt, 'encode', lambda text: calls.append(1) or encode(text))
    with torch.no_grad():
        for _ in range(3):
            model(torch.randn(1, 3, 64, 64), mode='predict')
        assert len(calls) == 1
        model.set_class_names(['cat', 'car'])
        assert model(torch.randn(1, 3, 64, 64), mode='predict')[0].seg_logits.data.shape[0] == 2
    assert len(calls) == 2


def test_refinement_keeps_constants_and_follows_edges():
    guide = torch.zeros(1, 3, 16, 16)
    guide[..., 8:] = 1
    assert torch.allclose(refine_by_pixels(torch.ones(1, 2, 16, 16), guide, 3, (1, 2)), torch.ones(1, 2, 16, 16))
    mask = torch.zeros(1, 1, 16, 16)
    mask[..., 10:] = 1  # two columns too far to the right
    refined = refine_by_pixels(mask, guide, 10, (1, 2))
    assert refined[..., 8:10].mean() > 0.5
    assert refined[..., :8].max() < 1e-3
    with pytest.raises(ValueError, match='must be positive'):
        refine_by_pixels(mask, guide, 1, ())


@pytest.mark.parametrize(
    ('options', 'message'),
    [
        (dict(names=None), 'class_names is missing'),
        (dict(words=dict(cat=['kitten'])), 'words has cat, which is no class'),
        (dict(threshold=0.5), 'need background'),
        (dict(least_share=0.5), 'need background'),
        (dict(threshold=90, background='sky'), 'threshold=90 is no share between 0 and 1'),
        (dict(names=['cup, mug', 'mug, glass']), "the word 'mug' of the class 'mug, glass' is one of 'cup, mug' too"),
        (dict(names=['Cup', 'cup']), "the word 'cup' of the class 'cup' is one of 'Cup' too"),
        (dict(names=['cup,', 'star']), "the class 'cup,' has an empty word"),
        (dict(background='water'), "background='water' is none of the classes"),
        (dict(names=['sky', ' , ']), 'has an empty word'),
        (dict(words=dict(sky=[])), 'has no words'),
    ],
)
def test_what_does_not_fit_is_named(options, message):
    with pytest.raises(ValueError, match=message):
        segmentor(**options)


PROXY = dict(name=None, weights=None, arch=dict(width=32, layers=2, heads=2, patch_size=8, image_size=32))
PIXELS = dict(type='SegDataPreProcessor', mean=[122.0, 116.0, 104.0], std=[68.0, 66.0, 70.0], bgr_to_rgb=True)


def test_places_are_those_of_the_proxy_and_odd_sides_are_padded():
    clip = dict(arch=MICRO['vit'])
    with DefaultScope.overwrite_default_scope('mmseg'):
        model = ClipSegmentor(clip, ['sky', 'tree'], test_cfg=WHOLE, proxy=PROXY, data_preprocessor=PIXELS).eval()
    with torch.no_grad():
        pixels = torch.randint(0, 256, (1, 3, 32, 48)).float()
        inputs = (pixels - model.data_preprocessor.mean) / model.data_preprocessor.std
        features = model.extract_feat(inputs)
        assert features.shape == (1, model.clip.embed_dim, 4, 6)
        torch.testing.assert_close(features.norm(dim=1), torch.ones(1, 4, 6))
        places = model.proxy(pixels)
        expected = proxy_tokens(model.clip.visual, inputs, places)
        torch.testing.assert_close(features, F.normalize(expected, dim=1), atol=1e-5, rtol=1e-5)
        assert model.encode_decode(inputs[..., :30, :41]).shape == (1, 2, 30, 41)


def test_every_place_attends_to_itself():
    torch.manual_seed(0)
    same = torch.ones(1, 4, 3, 3) + 1e-3 * torch.randn(1, 4, 3, 3)  # all below 1.2 times the mean
    assert torch.allclose(proxy_attention(same)[0], torch.eye(9))


def test_a_proxy_needs_a_plain_vit():
    with pytest.raises(ValueError, match='proxy needs a ViT of CLIP; custom has a ResNet'):
        ClipSegmentor(dict(arch=MICRO['rn']), ['sky', 'tree'], proxy=PROXY)
    with pytest.raises(ValueError, match='has no effect: the attention is that of the proxy'):
        ClipSegmentor(dict(arch=MICRO['vit'], vision=dict(local='naclip')), ['sky', 'tree'], proxy=PROXY)


@pytest.mark.parametrize('dtype', [torch.bfloat16, torch.float32])
def test_attention_of_a_proxy_is_computed_in_fp32(dtype):
    torch.manual_seed(0)
    features = torch.randn(1, 16, 4, 4)
    with torch.autocast('cpu', torch.bfloat16):
        found = proxy_attention(features.to(dtype))
    assert found.dtype == torch.float32
    torch.testing.assert_close(found, proxy_attention(features.to(dtype).float()))


def test_masks_are_refined_alike_in_any_number(monkeypatch):
    guide, masks = torch.randn(1, 3, 12, 12), torch.rand(1, 5, 6, 6)
    expected = refine_by_pixels(masks, guide, 3, (1, 2))
    monkeypatch.setattr('vlprompt.models.segmentors.pamr.CHUNK', 2)
    assert torch.equal(refine_by_pixels(masks, guide, 3, (1, 2)), expected)


def test_cosines_are_the_raw_output():
    model = segmentor(test_cfg=None)
    images = torch.randn(1, 3, 64, 64)
    with torch.no_grad():
        assert torch.equal(model(images, mode='tensor'), model.encode_decode(images))
        assert model(images, mode='predict')[0].pred_sem_seg.data.shape == (1, 64, 64)


def test_overlapping_patches_are_no_cells():
    with pytest.raises(ValueError, match='patches of 16 pixels with stride 12 overlap: they are no cells; leave'):
        ClipSegmentor(dict(arch=MICRO['vit'], vision=dict(patch_stride=12)), ['sky', 'tree'])


def test_it_is_not_trained():
    with pytest.raises(TypeError, match='is not trained'):
        segmentor().loss(torch.zeros(1, 3, 64, 64), [])
