"""VPT, LPT and AdaptFormer configs: build shrunk, train, hold the recipe of every published row."""

import re
from functools import cache

import pytest
import torch

from tests.conftest import MICRO
from vlprompt.apis import init_model
from vlprompt.engine import PatternOptimWrapperConstructor, list_configs, load_config
from vlprompt.engine.config_files import CONFIGS, config_names
from vlprompt.engine.phases import phase_config
from vlprompt.errors import ConfigError
from vlprompt.structures import ClassificationSample

FOLDERS = ('vpt', 'lpt', 'adaptformer')
METHODS = [name for name in list_configs() if name.split('/')[0] in FOLDERS]
TRUNK = dict(width=64, layers=4, heads=1, patch_size=16, image_size=32)
DATASETS = ('places_lt', 'imagenet_lt', 'imagenet_sketch', 'inat2018')
CIFAR = {'cifar100_lt': 100, 'cifar100_lt_if200': 200, 'cifar100_lt_if50': 50, 'cifar100_lt_if10': 10}
EPOCHS = {'linear': 100, 'vpt': 100, 'finetune': 100, 'lpt': 40, 'adaptformer': 10}
SHORT_SIDE, SQUASHED = ['ResizeShorterSide', 'CenterCrop'], ['ResizeImage', 'CenterCrop']
ROWS = [name for name in METHODS if 'micro' not in name]

MICRO_METHODS = [
    'lpt/lpt_micro-vit',
    'vpt/linear_micro-vit',
    'adaptformer/adaptformer_micro-vit',
    'adaptformer/adaptformer_micro-vit_lift-plus',
]

load = cache(lambda name, dataset=None: load_config(name, dict(dataset=dataset) if dataset else None))


def shrunk(cfg):
    """Options that put a micro trunk in place of the real one, and leave all else as shipped."""
    options = {'model.num_classes': 10}
    if cfg.model.get('timm'):
        eps = cfg.model.timm.get('norm_eps')
        options['model.timm'] = dict(_delete_=True, arch=TRUNK) | ({} if eps is None else dict(norm_eps=eps))
    else:
        options['model.clip'] = dict(_delete_=True, arch=dict(MICRO['vit'], vision_layers=6, image_size=32))
    if cfg.model.get('tuner', {}).get('pool'):
        options['model.tuner.pool.first_block'] = 2
    return options


@pytest.mark.parametrize(('name', 'phase'), [(n, p) for n in METHODS for p in load(n).get('phases') or [None]])
def test_builds_and_trains(name, phase):
    cfg = phase_config(load(name), phase)
    torch.manual_seed(0)
    model = init_model(cfg, cfg_options=shrunk(cfg)).train()
    model.set_class_names([f'class {number}' for number in range(model.num_classes)])
    model.set_class_counts([100 - number for number in range(model.num_classes)])
    images = torch.randn(4, 3, 32, 32)
    samples = [ClassificationSample().set_gt_label(label) for label in (0, 1, 2, 0)]
    losses = model(images, samples, mode='loss')
    sum(value for name, value in losses.items() if 'loss' in name).backward()
    unused = [name for name, p in model.named_parameters() if p.requires_grad and p.grad is None]
    assert not unused
    constructor = PatternOptimWrapperConstructor(cfg.optim_wrapper.copy(), cfg.optim_wrapper.get('paramwise_cfg'))
    constructor.param_groups(model)
    with torch.no_grad():
        assert model.eval()(images).shape == (4, model.num_classes)


@pytest.mark.parametrize('dataset', [*DATASETS, *CIFAR])
@pytest.mark.parametrize('name', ROWS)
def test_every_published_row_is_one_command_and_holds_its_recipe(name, dataset):
    cfg = load(name, dataset)
    method, variant = re.fullmatch(r'\w+/([a-z]+)_vit-b16(?:-in21k)?_?([\w-]*)', name).groups()
    data, test = cfg.train_dataloader.dataset, cfg.test_dataloader.dataset
    assert data.dataset == test.dataset == dataset.partition('_if')[0]
    if dataset in CIFAR:
        assert data.imbalance == test.imbalance == CIFAR[dataset]
        assert cfg.val_dataloader is None
    official, plus = 'official' in variant, 'lift-plus' in variant
    epochs = 90 if official and method == 'lpt' else EPOCHS[method]
    if plus:
        epochs = 15 if dataset == 'inat2018' else 5
    elif dataset == 'inat2018' and method in ('lpt', 'adaptformer') and not official:
        epochs *= 2
    phases = [phase_config(cfg, phase) for phase in cfg.get('phases') or [None]]
    assert {phase.train_cfg.max_epochs for phase in phases} == {phase.param_scheduler.T_max for phase in phases}
    assert phases[0].train_cfg.max_epochs == epochs
    optimizer = cfg.optim_wrapper.optimizer
    assert (optimizer.type, optimizer.momentum) == ('SGD', 0.9)
    batch = cfg.train_dataloader.batch_size
    assert batch == cfg.auto_scale_lr.base_batch_size == (256 if method == 'lpt' else 128)
    assert (optimizer.lr, optimizer.weight_decay) == {
        'lpt': (0.02, 0.01),
        'adaptformer': (0.02 if plus else 0.01, 5e-4),
    }.get(method, (0.5, 1e-4) if official else (0.005, 0.01))
    balanced = cfg.train_dataloader.sampler == dict(type='vlprompt.ClassAwareSampler', samples_per_class=4)
    assert balanced == (method == 'lpt' or variant == 'balanced')
    crops = [
        [transform.type.removeprefix('vlprompt.') for transform in loader.dataset.pipeline[1:-1]]
        for loader in (cfg.train_dataloader, cfg.test_dataloader)
    ]
    if method == 'finetune':
        assert crops == [['ResizeImage', 'RandomHorizontalFlip'], ['ResizeImage']]
        assert cfg.param_scheduler.warmup_lr == 1e-4
    elif method == 'vpt' and official:
        assert crops == [['ResizeShorterSide', 'PaddedRandomCrop', 'RandomHorizontalFlip'], SHORT_SIDE]
    elif plus:
        assert crops == [['MinimalistCrop'], SHORT_SIDE]
    else:  # the images of Places-LT and CIFAR are square: both resize alike
        tested = SHORT_SIDE if method == 'adaptformer' else SQUASHED
        assert crops == [['RandomResizedCrop', 'RandomHorizontalFlip'], tested]
    if method == 'lpt':
        assert cfg.train_dataloader.batch_sampler.type == 'vlprompt.DualStreamBatchSampler'
        assert cfg.model.loss.eta == 0.5
    for phase in phases:
        assert init_model(phase, cfg_options=shrunk(phase)).num_classes == 10


@pytest.mark.parametrize('name', METHODS)
def test_five_crops_of_every_method(name):
    cfg = load(name)
    load_image, crops, pack = cfg.tta_pipeline
    side = 160 if 'micro' in name else 224
    mode = 'bicubic' if 'lift-plus' in name else 'bilinear'
    assert load_image == cfg.test_dataloader.dataset.pipeline[0]
    assert crops == dict(type='vlprompt.FiveCrop', size=side, expand=24, interpolation=mode)
    assert pack.type == 'vlprompt.PackClassification'
    assert cfg.tta_model == dict(type='vlprompt.CropTTAModel')
    assert load_config(name, dict(tta_expand=16)).tta_pipeline[1].expand == 16
    with pytest.raises(ConfigError, match=r"'tta_pipeline.1.expnd'.*tta_pipeline.1.expand"):
        load_config(name, {'tta_pipeline.1.expnd': 16})


def test_lift_plus_is_lift_with_other_crops_and_rates():
    for lift, epochs, size, share in (('vit-b16', (10, 5), 224, 0.08), ('micro-vit', (16, 8), 160, 0.5)):
        one, plus = (load(f'adaptformer/adaptformer_{lift}{variant}') for variant in ('', '_lift-plus'))
        assert one.model == plus.model
        assert (one.train_cfg.max_epochs, plus.train_cfg.max_epochs) == epochs
        assert 2 * one.optim_wrapper.optimizer.lr == plus.optim_wrapper.optimizer.lr
        assert one.train_dataloader.batch_size == plus.train_dataloader.batch_size
        pipeline = plus.train_dataloader.dataset.pipeline
        assert pipeline[1] == dict(
            type='vlprompt.MinimalistCrop', size=size, scale=(share, 1.0), interpolation='bicubic'
        )
        tested = [loader.dataset.pipeline for loader in (one.test_dataloader, plus.test_dataloader)]
        assert [step.type for step in tested[0]] == [step.type for step in tested[1]]
        assert tested[1][1].interpolation == 'bicubic'
    assert load('adaptformer/adaptformer_vit-b16_lift-plus').test_dataloader.dataset.pipeline[1].size == 224 + 224 // 7


def test_rows_of_the_ablation():
    """(b) differs from (c) in the loss alone, (d) goes on where (c) ends."""
    b, c, d = (load(f'lpt/lpt_vit-b16-in21k{variant}') for variant in ('_phase1-ce', '_phase1', ''))
    assert list(b.phases) == list(c.phases) == ['shared']
    assert list(d.phases) == ['shared', 'groups']
    assert d.phases.groups.start_from['keys'] == ['tuner.prompt.*', 'head.*']
    assert c.model == d.model
    assert {key for key in c.model if c.model[key] != b.model[key]} == {'head', 'loss'}
    assert phase_config(d).model.trainable == ['tuner.pool.*', 'head.*']


@pytest.mark.parametrize('name', MICRO_METHODS)
@pytest.mark.parametrize('dataset', ['scenes_lt', 'folder', 'list', 'split_json'])
def test_micro_models_see_all_data_at_their_own_size(name, dataset):
    cfg = load_config(name, dict(dataset=dataset, data_root='mine'))
    train, test = cfg.train_dataloader.dataset, cfg.test_dataloader.dataset
    assert train.pipeline[1].size == test.pipeline[2].size == 160
    assert test.pipeline[1]['size'] == (160, 160)
    assert train.data_root == test.data_root == 'mine'


def test_shapes_of_the_datasets_are_complete():
    names = [name for name in config_names(CONFIGS / '_base_/datasets/long_tailed') if not name.startswith('_')]
    assert sorted(names) == sorted([*DATASETS, *CIFAR, 'scenes_lt', 'folder', 'list', 'split_json'])
