"""Re-identification configs on micro towers: build both phases, train, hold the recipe of every published row."""

import re
from functools import cache

import pytest
import torch

from tests.conftest import MICRO
from vlprompt.apis import init_model
from vlprompt.engine import list_configs, load_config
from vlprompt.engine.config_files import CONFIGS, config_names
from vlprompt.engine.phases import phase_config
from vlprompt.structures import ReIDSample

METHODS = list_configs('clipreid/')
DATASETS = ('market1501', 'dukemtmc', 'occluded_duke', 'msmt17', 'veri', 'vehicleid')
ROWS = [  # of the paper's tables: method, backbone, variant
    ('baseline', 'rn50', ''),
    ('clipreid', 'rn50', ''),
    ('baseline', 'vit-b16', ''),
    ('clipreid', 'vit-b16', ''),
    ('clipreid', 'vit-b16', '_sie-olp'),
]

load = cache(lambda name, dataset=None: load_config(name, dict(dataset=dataset) if dataset else None))


def options(cfg):
    """Micro towers and numbers in place of the real ones; all else as shipped."""
    if cfg.model.get('timm'):
        small = dict(width=64, layers=3, heads=2, patch_size=16, image_size=(256, 128), _delete_=True)
        return {'model.timm': dict(arch=small, weights=None, image_size=(64, 32)), 'model.num_ids': 3}
    kind = 'vit' if 'vit' in cfg.model.clip.arch.lower() else 'rn'
    shrunk = {'model.clip.arch': dict(MICRO[kind], _delete_=True), 'model.clip.weights': None}
    return shrunk | {'model.clip.image_size': (64, 32), 'model.num_ids': 3}


@pytest.mark.parametrize('name', METHODS)
def test_builds_and_trains(name):
    cfg = phase_config(load(name))
    model = init_model(cfg, cfg_options=options(cfg) | {'model.num_cameras': 2, 'model.num_views': 2})
    joint = 0 if cfg.model.get('timm') else 24
    samples = [ReIDSample(camid=i % 2, viewid=0).set_gt_label(i // 2) for i in range(4)]
    images = torch.randn(4, 3, 64, 32)
    with torch.no_grad():
        assert model(images, samples, mode='tensor').shape == (4, model.head.norm.num_features + joint)
    if model.prototypes is not None:
        model.prototypes.normal_()
    if model.centroids is not None:
        model.centroids.fill(torch.randn(3, model.head.norm.num_features + 24), torch.arange(3))
    losses = model.train()(images, samples, mode='loss')
    kind = re.match('clipreid/(baseline_person|[a-z]+)', name)[1]
    wanted = {'clipreid': 6, 'baseline': 5, 'baseline_person': 2, 'pcl': 2}[kind]
    assert sum(loss.startswith('loss_') for loss in losses) == wanted


@pytest.mark.parametrize('name', [name for name in METHODS if 'clipreid_' in name])
def test_prompts_phase(name):
    cfg, main = phase_config(load(name), 'prompts'), phase_config(load(name), 'finetune')
    assert cfg.model.clip == main.model.clip, 'the phases see images alike'
    assert cfg.train_dataloader.dataset.pipeline == main.test_dataloader.dataset.pipeline, 'without augmentation'
    assert main.start_from == dict(keys=['prototypes'])
    model = init_model(cfg, cfg_options=options(cfg) | {'model.noun': 'vehicle'})
    assert model.data_preprocessor.mean.flatten().tolist() == pytest.approx(
        main.model.data_preprocessor.get('mean', model.data_preprocessor.mean.flatten().tolist())
    )
    sum(model.train()(torch.randn(2, 24), torch.tensor([0, 2]), mode='loss').values()).backward()
    assert model.prompt.context.grad.shape == (3, 4, 32)


@pytest.mark.parametrize('dataset', DATASETS)
@pytest.mark.parametrize(('method', 'backbone', 'variant'), ROWS)
def test_every_published_row_is_one_command_and_holds_its_recipe(method, backbone, variant, dataset):
    if (dataset, variant) == ('vehicleid', '_sie-olp'):
        variant = '_olp'  # there are no camera labels
    cfg = load(f'clipreid/{method}_{backbone}{variant}', dataset)
    vit, main, text = backbone == 'vit-b16', phase_config(cfg), method == 'clipreid'
    model, clip = main.model, main.model.clip
    size = (256, 256) if dataset[0] == 'v' else (256, 128)
    assert (clip.arch, clip.weights) == (('ViT-B/16' if vit else 'RN50'), 'openai')
    assert tuple(clip.image_size) == size
    assert {tuple(loader.dataset.pipeline[1]['size']) for loader in (main.train_dataloader, main.test_dataloader)} == {
        size
    }
    assert clip.vision.interpolation == 'bilinear'
    assert clip.vision.get('last_stride') == (None if vit else 1)
    assert clip.vision.get('patch_stride') == (12 if variant else None)
    side = dict(camera=True, coefficient=1.0) | (dict(view=True) if dataset == 'veri' else {})
    assert model.get('sie') == (side if variant == '_sie-olp' else None)
    assert model.data_preprocessor.mean == ((0.5,) * 3 if vit else (0.485, 0.456, 0.406))
    weight = 0.25 if vit and text else 1
    assert model.weights == dict(
        id=weight, id_proj=weight, triplet_last=1, triplet=1, triplet_proj=1, i2t=1 if text else 0
    )
    smooth = dataset != 'vehicleid' or (vit and text)
    assert (model.label_smoothing, model.margin, model.descriptor) == (0.1 if smooth else 0, 0.3, 'before')
    assert main.train_cfg.max_epochs == (60 if vit else 120)
    assert main.train_dataloader.batch_size == main.train_dataloader.sampler.batch_size == 64
    assert main.train_dataloader.sampler.instances == 4
    assert main.train_dataloader.dataset.dataset == main.test_dataloader.dataset.dataset == dataset
    assert main.test_evaluator.get('repeats', 1) == (10 if dataset == 'vehicleid' else 1)
    optimizer = main.optim_wrapper.optimizer
    rate = {False: 3.5e-4, True: 5e-5 if dataset == 'vehicleid' else 5e-6}[vit]
    assert (optimizer.type, optimizer.lr, optimizer.weight_decay) == ('Adam', rate, 1e-4 if vit else 5e-4)
    assert main.optim_wrapper.paramwise_cfg.custom_keys == dict(bias=dict(lr_mult=2.0))
    assert 'clip_grad' not in main.optim_wrapper
    if text:
        prompts = phase_config(cfg, 'prompts')
        epochs = 120 if vit and dataset[0] != 'v' else 60
        assert prompts.train_cfg.max_epochs == prompts.param_scheduler[0].T_max == epochs
        assert prompts.train_dataloader.batch_size == (256 if dataset == 'vehicleid' else 64)
        assert prompts.optim_wrapper.optimizer == dict(type='Adam', lr=3.5e-4, weight_decay=1e-4)
        assert 'paramwise_cfg' not in prompts.optim_wrapper
        init_model(prompts, cfg_options=options(prompts) | {'model.noun': 'vehicle'})
    init_model(main, cfg_options=options(main) | {'model.num_cameras': 2, 'model.num_views': 2})


@pytest.mark.parametrize(('size', 'width', 'heads'), [('b', 768, 12), ('s', 384, 6)])
def test_recipe_from_person_pretraining(size, width, heads):
    cfg = load(f'clipreid/baseline_person-vit-{size}16', 'msmt17')
    assert cfg.model.timm.arch == dict(width=width, layers=12, heads=heads, patch_size=16, image_size=(256, 128))
    assert (cfg.model.timm.pretrain_ratio, cfg.model.timm.interpolation) == (2, 'bilinear')
    assert (cfg.model.label_smoothing, cfg.model.margin, cfg.model.descriptor) == (0, None, 'before')
    assert {name for name, weight in cfg.model.weights.items() if weight} == {'id', 'triplet'}
    assert cfg.optim_wrapper.optimizer == dict(type='SGD', lr=4e-4, momentum=0.9, weight_decay=1e-4)
    assert (cfg.train_cfg.max_epochs, cfg.param_scheduler[0].T_max, cfg.param_scheduler[0].warmup) == (120, 120, 20)
    assert cfg.train_dataloader.sampler == dict(type='vlprompt.PKSampler', batch_size=64, instances=4)
    assert tuple(cfg.train_dataloader.dataset.pipeline[1]['size']) == (256, 128)
    wide = load_config(f'clipreid/baseline_person-vit-{size}16', dict(image_size=(384, 128)))
    assert tuple(wide.model.timm.image_size) == (384, 128)


def test_recipe_of_pcl():
    cfg = load('clipreid/pcl_vit-b16', 'msmt17')
    assert cfg.optim_wrapper.optimizer == dict(type='SGD', lr=3.5e-4, momentum=0.9, weight_decay=5e-4)
    assert not cfg.optim_wrapper.paramwise_cfg, 'one rate for all parameters'
    assert cfg.param_scheduler == load('clipreid/baseline_vit-b16').param_scheduler
    assert cfg.train_dataloader.batch_size == 256
    assert cfg.train_dataloader.sampler == dict(type='vlprompt.PKSampler', batch_size=256, instances=8, batches=200)
    assert (cfg.train_cfg.max_epochs, cfg.model.descriptor) == (60, 'after')
    assert {name: weight for name, weight in cfg.model.weights.items() if weight} == dict(id_both=0.25, centroid=1)
    assert cfg.model.centroids == dict(temperature=0.05, momentum=0.2)


@pytest.mark.parametrize('dataset', ['scenes_reid', 'folder', 'csv'])
def test_micro_models_see_all_data_at_their_own_size(dataset):
    main = phase_config(load_config('clipreid_micro-vit', dict(dataset=dataset, data_root='mine')))
    loaders = (main.train_dataloader, main.val_dataloader, main.test_dataloader)
    assert {tuple(loader.dataset.pipeline[1]['size']) for loader in loaders} == {(128, 64)}
    assert {loader.dataset.data_root for loader in loaders} == {'mine'}
    assert main.model.clip.image_size == (128, 64)


def test_shapes_of_the_datasets_are_complete():
    names = [name for name in config_names(CONFIGS / '_base_/datasets/reid') if not name.startswith('_')]
    assert sorted(names) == sorted([*DATASETS, 'scenes_reid', 'folder', 'csv'])
