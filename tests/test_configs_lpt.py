"""Every shipped config of VPT, LPT and AdaptFormer: passes the key check, builds shrunk, trains, holds the recipe."""

import re
from functools import cache

import pytest
import torch
from mmengine.config import Config

from tests.conftest import MICRO, ROOT
from vlprompt.apis import init_model
from vlprompt.engine import PatternOptimWrapperConstructor, follow_training_length
from vlprompt.engine.config_check import check_config
from vlprompt.engine.phases import phase_config
from vlprompt.structures import ClassificationSample

CONFIGS = sorted(p for name in ('vpt', 'lpt', 'adaptformer') for p in (ROOT / 'configs' / name).glob('*.py'))
PAPER = [p for p in CONFIGS if 'micro' not in p.stem]
TRUNK = dict(width=64, layers=4, heads=1, patch_size=16, image_size=32)
EPOCHS = {'linear': 100, 'vpt': 100, 'finetune': 100, 'lpt': 40, 'adaptformer': 10}
SHORT_SIDE, SQUASHED = ['ResizeShorterSide', 'CenterCrop'], ['ResizeImage', 'CenterCrop']
SQUARE = ('places_lt', 'cifar100_lt')  # data whose images are square: both resize alike

load = cache(Config.fromfile)
BUILT = set()


def stem(path):
    return path.stem


def shrunk(cfg):
    """Options that put a micro trunk in place of the real one, and leave all else as shipped."""
    options = {}
    if cfg.model.get('timm'):
        eps = cfg.model.timm.get('norm_eps')
        options['model.timm'] = dict(_delete_=True, arch=TRUNK) | ({} if eps is None else dict(norm_eps=eps))
    else:
        options['model.clip'] = dict(_delete_=True, arch=dict(MICRO['vit'], vision_layers=4, image_size=32))
    if 'pool' in (cfg.model.get('tuner') or {}):
        options['model.tuner.pool.first_block'] = 2
    if 'class_names' not in cfg.model:
        options['model.num_classes'] = min(cfg.model.get('num_classes', 10), 10)
    elif cfg.model.class_names.startswith('imagenet'):
        options['model.class_names'] = ['okapi', 'gerenuk', 'sea lion']
    return options


def check(path, name):
    cfg = phase_config(load(path), name)
    model = {key: value for key, value in cfg.model.to_dict().items() if key not in ('num_classes', 'class_names')}
    key = repr((model, cfg.optim_wrapper.to_dict()))
    if key in BUILT:  # another data set
        return
    BUILT.add(key)
    torch.manual_seed(0)
    model = init_model(cfg, cfg_options=shrunk(cfg)).train()
    if model.class_names is None:
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


@pytest.mark.parametrize('path', CONFIGS, ids=stem)
def test_builds_and_trains(path):
    cfg = load(path)
    check_config(cfg)
    for name in cfg.get('phases') or [None]:
        check(path, name)


@pytest.mark.parametrize('path', PAPER, ids=stem)
def test_holds_the_published_recipe(path):
    cfg = load(path)
    method, _, *variant, schedule, dataset = re.fullmatch(
        r'([a-z]+)_([a-z0-9-]+?)(?:_([a-z0-9-]+))?_((?:2x)?\d+e)_([a-z0-9_-]+)', path.stem
    ).groups()
    variant = variant[0] or ''
    data = cfg.train_dataloader.dataset
    assert data.get('dataset') == (None if dataset == 'custom' else dataset.split('-')[0])
    if '-' in dataset:
        assert data.imbalance == cfg.test_dataloader.dataset.imbalance == int(dataset.split('-')[1])
    epochs = int(schedule.removesuffix('e').split('x')[-1])
    official = 90 if 'official' in variant and method == 'lpt' else EPOCHS[method]
    assert epochs == official * (2 if dataset == 'inat2018' and method in ('lpt', 'adaptformer') else 1)
    follow_training_length(cfg.param_scheduler, cfg.train_cfg)
    assert cfg.train_cfg.max_epochs == cfg.param_scheduler.T_max == epochs
    optimizer = cfg.optim_wrapper.optimizer
    assert (optimizer.type, optimizer.momentum) == ('SGD', 0.9)
    batch = cfg.train_dataloader.batch_size
    assert batch == cfg.auto_scale_lr.base_batch_size == (256 if method == 'lpt' else 128)
    assert (optimizer.lr, optimizer.weight_decay) == {
        'lpt': (0.02, 0.01),
        'adaptformer': (0.01, 5e-4),
    }.get(method, (0.5, 1e-4) if variant == 'official' else (0.005, 0.01))
    balanced = cfg.train_dataloader.sampler.type == 'vlprompt.ClassAwareSampler'
    assert balanced == (method == 'lpt' or 'balanced' in variant)
    crops = [
        [transform.type.removeprefix('vlprompt.') for transform in loader.dataset.pipeline[1:-1]]
        for loader in (cfg.train_dataloader, cfg.test_dataloader)
    ]
    if method == 'finetune':
        assert crops == [['ResizeImage', 'RandomHorizontalFlip'], ['ResizeImage']]
        assert cfg.param_scheduler.warmup_lr == 1e-4
    elif method == 'vpt' and variant == 'official':
        assert crops == [['ResizeShorterSide', 'PaddedRandomCrop', 'RandomHorizontalFlip'], SHORT_SIDE]
    else:
        short = method == 'adaptformer' and not dataset.startswith(SQUARE)
        assert crops == [['RandomResizedCrop', 'RandomHorizontalFlip'], SHORT_SIDE if short else SQUASHED]
    if method == 'lpt':
        assert cfg.train_dataloader.batch_sampler.type == 'vlprompt.DualStreamBatchSampler'
        assert cfg.model.loss.eta == 0.5


@pytest.mark.parametrize(
    'dataset', ['places_lt', 'imagenet_lt', 'inat2018', 'cifar100_lt', 'imagenet_sketch', 'custom']
)
def test_every_method_has_a_config_for_every_data_set(dataset):
    names = [f'{dataset}-{ratio}' for ratio in (200, 100, 50, 10)] if dataset == 'cifar100_lt' else [dataset]
    found = {(p.stem.split('_')[0], name) for p in PAPER for name in names if p.stem.endswith(f'e_{name}')}
    assert found == {(method, name) for method in EPOCHS for name in names}


def test_rows_of_the_ablation():
    """(b) differs from (c) in the loss alone, (d) goes on where (c) ends."""
    b, c, d = (
        load(ROOT / 'configs/lpt' / f'lpt_vit-b16-in21k_{name}_places_lt.py')
        for name in ('phase1-ce_40e', 'phase1_40e', '2x40e')
    )
    assert list(b.phases) == list(c.phases) == ['shared']
    assert list(d.phases) == ['shared', 'groups']
    assert d.phases.groups.start_from['keys'] == ['tuner.prompt.*', 'head.*']
    assert c.model == d.model
    assert {key for key in c.model if c.model[key] != b.model[key]} == {'head', 'loss'}
    assert phase_config(d).model.trainable == ['tuner.pool.*', 'head.*']


def test_leaf_configs_hold_only_what_differs():
    assert not [str(p) for p in CONFIGS if len(p.read_text().splitlines()) > 40]


@pytest.mark.parametrize('folder', ['vpt', 'lpt', 'adaptformer'])
def test_documents_name_what_is_there(folder):
    readme = (ROOT / 'configs' / folder / 'README.md').read_text()
    assert all((ROOT / path).is_file() for path in re.findall(r'configs/[a-z]+/[a-z0-9_-]+\.py', readme))
    assert all((ROOT / 'configs' / folder / path).is_file() for path in re.findall(r'`([a-z0-9/._-]+\.py)`', readme))
    metafile = (ROOT / 'configs' / folder / 'metafile.yml').read_text()
    assert all((ROOT / path).is_file() for path in re.findall(r'Config: (\S+)', metafile))
