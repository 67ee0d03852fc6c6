"""Every shipped config of segmentation by words, on micro towers: builds, predicts, holds the recipe of the dataset."""

import pytest
import torch
from mmengine.registry import DefaultScope
from mmseg.registry import DATASETS

from tests.conftest import MICRO, ROOT
from vlprompt.apis import init_model
from vlprompt.engine import load_config
from vlprompt.models.dense.class_names import dense_class_names

CONFIGS = sorted((ROOT / 'configs' / 'segment_by_words').glob('*.py'))
BENCHMARKS = (
    *('voc12', 'voc20', 'pascal_context', 'pascal_context59', 'coco_object', 'coco_stuff', 'cityscapes', 'ade20k'),
)
PUBLISHED = {
    'naclip_vit-b16': dict(side=336, crop=224, stride=112, scale=40),
    'sclip_vit-b16': dict(side=336, crop=224, stride=112, scale=40),
    'clearclip_vit-b16': dict(side=448, crop=448, stride=224, scale=50),
    'maskclip_vit-b16': dict(side=448, crop=448, stride=224, scale=50),
    'proxyclip_vit-b16': dict(side=336, crop=336, stride=112, scale=40),
}
DIFFERENT = {
    'naclip_vit-b16': dict(
        voc12=dict(threshold=0.1, mode='whole'),
        voc20=dict(mode='whole'),
        pascal_context=dict(threshold=0.1),
        coco_object=dict(threshold=0.1),
        cityscapes=dict(side=560),
    ),
    'sclip_vit-b16': dict(
        voc12=dict(threshold=0.1, scale=65),
        pascal_context=dict(threshold=0.1, scale=50),
        coco_object=dict(threshold=0.1, scale=50),
        coco_stuff=dict(side=448),
        cityscapes=dict(side=560),
    ),
    'clearclip_vit-b16': dict(
        voc12=dict(threshold=0.5),
        pascal_context=dict(threshold=0.15),
        coco_object=dict(threshold=0.4),
        cityscapes=dict(crop=224),
    ),
    'proxyclip_vit-b16': dict(
        voc12=dict(threshold=0.2),
        pascal_context=dict(threshold=0.15),
        coco_object=dict(threshold=0.25),
        cityscapes=dict(side=448, crop=224),
        ade20k=dict(side=448),
    ),
}
"""What a recipe varies by dataset."""
DIFFERENT['maskclip_vit-b16'] = DIFFERENT['clearclip_vit-b16']


@pytest.fixture(autouse=True)
def restore_scope():
    with DefaultScope.overwrite_default_scope('mmseg'):
        yield


@pytest.mark.parametrize('dataset', BENCHMARKS)
@pytest.mark.parametrize('name', PUBLISHED)
def test_holds_the_published_recipe(name, dataset):
    cfg = load_config(name, dict(dataset=dataset))
    expected = dict(threshold=0, mode='slide') | PUBLISHED[name] | DIFFERENT[name].get(dataset, {})
    test, resize = cfg.model.test_cfg, cfg.test_dataloader.dataset.pipeline[1]
    assert resize.scale == (2048, expected['side'])
    assert (test.mode, test.crop_size, test.stride) == (
        expected['mode'],
        (expected['crop'],) * 2,
        (expected['stride'],) * 2,
    )
    assert (cfg.model.threshold, cfg.model.logit_scale) == (expected['threshold'], expected['scale'])
    assert (cfg.model.background is None) == (dataset not in ('voc12', 'pascal_context', 'coco_object'))
    assert cfg.model.templates == 'ensemble-80'
    assert cfg.model.get('least_share', 0) == (0.1 if (name, dataset) == ('sclip_vit-b16', 'voc12') else 0)
    assert (cfg.model.get('refine') is not None) == (name == 'naclip_vit-b16')


@pytest.mark.parametrize('path', CONFIGS, ids=lambda p: p.stem)
def test_builds_and_predicts(path):
    cfg = load_config(path)
    kind = 'rn' if '-rn' in path.stem else 'vit'
    options = {
        'model.clip.arch': dict(MICRO[kind], _delete_=True),
        'model.clip.weights': None,
        'model.class_names': ['background', 'boat', 'diningtable', 'person', 'tvmonitor'],
        'model.templates': 'a {}.',
    }
    if cfg.model.get('proxy'):
        arch = dict(width=32, layers=1, heads=2, patch_size=8, image_size=32)
        options |= {'model.proxy.name': None, 'model.proxy.weights': None, 'model.proxy.arch': arch}
    model = init_model(cfg, cfg_options=options)
    with torch.no_grad():
        (found,) = model(torch.randn(1, 3, 64, 80), mode='predict')
    assert found.pred_sem_seg.data.shape == (1, 64, 80)
    assert not any(p.requires_grad for p in model.parameters())


@pytest.mark.parametrize('dataset', BENCHMARKS)
@pytest.mark.parametrize('name', PUBLISHED)
def test_names_words_and_background_are_those_of_the_dataset(name, dataset):
    cfg = load_config(name, dict(dataset=dataset))
    names = dense_class_names(cfg.model.class_names, 'mmseg')
    classes = DATASETS.get(cfg.test_dataloader.dataset.type).METAINFO['classes']
    assert names == [other.replace('_', ' ') for other in classes]
    assert set(cfg.model.words or ()) <= set(names)
    assert cfg.model.background in (None, names[0])


def test_any_words_in_place_of_those_of_the_dataset(caplog):
    options = {'model.clip.arch': dict(MICRO['vit'], _delete_=True), 'model.clip.weights': None}
    names = ['sofa, couch', 'cat', 'person']
    model = init_model('naclip_vit-b16', cfg_options=options | {'model.templates': 'a {}.'}, class_names=names)
    assert model.class_names == tuple(names)
    assert model.prompt.class_names[:3] == ('sofa', 'couch', 'cat')
    assert len(model.prompt.class_names) == 3 + 6, 'a person in six pieces of clothing'
    assert (model.background, model.threshold) == (None, 0)


def test_words_of_backgrounds_and_people():
    words = load_config('naclip_vit-b16').model.words
    assert (len(words.background), len(words.person)) == (26, 6)
    assert (words.background[0], words.background[-1]) == ('sky', 'fence')
    assert set(load_config('clearclip_vit-b16').model.words) == {'boat', 'diningtable'}
    things = load_config('proxyclip_vit-b16', dict(dataset='coco_object')).model.words
    assert (len(things.background), things.person) == (17, ['person'])
