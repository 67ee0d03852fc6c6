"""Every shipped re-identification config, on micro towers: loads, builds both phases, trains, holds the recipe."""

import re
from functools import cache

import pytest
import torch

from tests.conftest import MICRO, ROOT
from vlprompt.apis import init_model
from vlprompt.engine import load_config
from vlprompt.engine.phases import phase_config
from vlprompt.structures import ReIDSample

CONFIGS = sorted((ROOT / 'configs/clipreid').glob('*.py'))
PUBLISHED = [p for p in CONFIGS if 'micro' not in p.stem and 'custom' not in p.stem]
DATASETS = ('market1501', 'dukemtmc', 'occluded_duke', 'msmt17', 'veri', 'vehicleid')
BUILT = set()

load = cache(load_config)


def stem(path):
    return path.stem


def options(cfg):
    """Micro towers and numbers in place of the real ones; all else as shipped."""
    kind = 'vit' if 'vit' in cfg.model.clip.arch.lower() else 'rn'
    size = {128: (64, 32), 64: (64, 32), 256: (64, 64)}[cfg.model.clip.image_size[1]]
    shrunk = {'model.clip.arch': dict(MICRO[kind], _delete_=True), 'model.clip.weights': None}
    return shrunk | {'model.clip.image_size': size, 'model.num_ids': 3}


@pytest.mark.parametrize('path', CONFIGS, ids=stem)
def test_builds_and_trains(path):
    cfg = phase_config(load(path))
    if (key := repr(cfg.model.to_dict())) in BUILT:
        return
    BUILT.add(key)
    model = init_model(cfg, cfg_options=options(cfg) | {'model.num_cameras': 2, 'model.num_views': 2})
    height, width = options(cfg)['model.clip.image_size']
    samples = [ReIDSample(camid=i % 2, viewid=0).set_gt_label(i // 2) for i in range(4)]
    images = torch.randn(4, 3, height, width)
    with torch.no_grad():
        assert model(images, samples, mode='tensor').shape == (4, model.head.norm.num_features + 24)
    if model.prototypes is not None:
        model.prototypes.normal_()
    losses = model.train()(images, samples, mode='loss')
    assert sum(name.startswith('loss_') for name in losses) == (6 if path.stem.startswith('clipreid') else 5)


@pytest.mark.parametrize('path', [p for p in CONFIGS if p.stem.startswith('clipreid')], ids=stem)
def test_prompts_phase(path):
    cfg, main = phase_config(load(path), 'prompts'), phase_config(load(path), 'finetune')
    assert cfg.model.clip == main.model.clip, 'the stages see images alike'
    assert main.start_from == dict(keys=['prototypes'])
    if (key := repr(cfg.model.to_dict())) in BUILT:
        return
    BUILT.add(key)
    model = init_model(cfg, cfg_options=options(cfg) | {'model.noun': 'vehicle'})
    assert model.data_preprocessor.mean.flatten().tolist() == pytest.approx(
        main.model.data_preprocessor.get('mean', model.data_preprocessor.mean.flatten().tolist())
    )
    sum(model.train()(torch.randn(2, 24), torch.tensor([0, 2]), mode='loss').values()).backward()
    assert model.prompt.context.grad.shape == (3, 4, 32)


@pytest.mark.parametrize('path', PUBLISHED, ids=stem)
def test_holds_the_published_recipe(path):
    cfg = load(path)
    method, backbone, variant, epochs, dataset, height, width = re.fullmatch(
        r'(baseline|clipreid)_(rn50|vit-b16)(?:_(sie-olp|olp|official))?_(\d+)e_(\w+)-(\d+)x(\d+)', path.stem
    ).groups()
    vit, main = backbone == 'vit-b16', phase_config(cfg)
    model, clip = main.model, main.model.clip
    assert (clip.arch, clip.weights) == (('ViT-B/16' if vit else 'RN50'), 'openai')
    assert tuple(clip.image_size) == (int(height), int(width)) == ((256, 256) if dataset[0] == 'v' else (256, 128))
    assert clip.vision.interpolation == 'bilinear'
    assert clip.vision.get('last_stride') == (None if vit else 1)
    assert clip.vision.get('patch_stride') == (12 if variant in ('sie-olp', 'olp') else None)
    side = dict(camera=True, coefficient=1.0) | (dict(view=True) if dataset == 'veri' else {})
    assert model.get('sie') == (side if variant == 'sie-olp' else None)
    mean = (0.5,) * 3 if vit else (0.485, 0.456, 0.406)
    assert model.data_preprocessor.mean == mean
    text = method == 'clipreid'
    weight = 0.25 if vit and text else 1
    assert model.weights == dict(
        id=weight, id_proj=weight, triplet_last=1, triplet=1, triplet_proj=1, i2t=1 if text else 0
    )
    smooth = dataset != 'vehicleid' or (vit and text)
    assert (model.label_smoothing, model.margin, model.descriptor) == (0.1 if smooth else 0, 0.3, 'before')
    assert main.train_cfg.max_epochs == int(epochs) == (60 if vit else 120)
    assert main.train_dataloader.batch_size == main.train_dataloader.sampler.batch_size == 64
    assert main.train_dataloader.sampler.instances == 4
    assert main.train_dataloader.dataset.dataset == main.test_dataloader.dataset.dataset == dataset
    optimizer = main.optim_wrapper.optimizer
    rate = {False: 3.5e-4, True: 5e-5 if dataset == 'vehicleid' else 5e-6}[vit]
    assert (optimizer.type, optimizer.lr, optimizer.weight_decay) == ('Adam', rate, 1e-4 if vit else 5e-4)
    assert main.optim_wrapper.paramwise_cfg.custom_keys == dict(bias=dict(lr_mult=2.0))
    assert 'clip_grad' not in main.optim_wrapper
    if text:
        prompts = phase_config(cfg, 'prompts')
        assert prompts.train_cfg.max_epochs == (120 if vit and dataset[0] != 'v' else 60)
        assert prompts.train_dataloader.batch_size == (256 if dataset == 'vehicleid' else 64)
        assert prompts.optim_wrapper.optimizer == dict(type='Adam', lr=3.5e-4, weight_decay=1e-4)
        assert 'paramwise_cfg' not in prompts.optim_wrapper


def test_all_rows_are_there():
    rows = {'baseline_rn50_120e', 'clipreid_rn50_120e', 'baseline_vit-b16_60e', 'clipreid_vit-b16_60e'}
    for dataset in DATASETS:
        best = 'clipreid_vit-b16_olp_60e' if dataset == 'vehicleid' else 'clipreid_vit-b16_sie-olp_60e'
        found = {p.stem.rsplit(f'_{dataset}-', 1)[0] for p in CONFIGS if f'e_{dataset}-' in p.stem}
        assert rows | {best} <= found
