"""Every shipped segmentation config, on micro towers: loads, passes the key check, builds, runs, holds the recipe."""

import re

import pytest
import torch
from mmengine.registry import DefaultScope

from tests.conftest import MICRO, ROOT
from vlprompt.apis import init_model
from vlprompt.engine import PatternOptimWrapperConstructor, load_config
from vlprompt.engine.config_files import config_names

CONFIGS = sorted((ROOT / 'configs' / 'denseclip').glob('*.py'))
PUBLISHED = [p for p in CONFIGS if 'ade20k' in p.stem]
FULL_SIZE = [p for p in CONFIGS if 'micro' not in p.stem]
MICRO_SIZE = [p for p in CONFIGS if p not in FULL_SIZE]  # with recipes of their own
DATASETS = [n for n in config_names(ROOT / 'configs/_base_/datasets/seg') if not n.startswith('_')]
VIT = dict(MICRO['vit'], vision_layers=4)
NAMES = ['sky', 'tree', 'fire hydrant']


@pytest.fixture(autouse=True)
def restore_scope():
    with DefaultScope.overwrite_default_scope('mmseg'):
        yield


def shrunk(cfg):
    """Options that put micro towers, trunks and heads in place of the real ones, and leave all else as shipped."""
    model = cfg.model
    options = {'model.decode_head.channels': 16}
    if model.backbone.type == 'vlprompt.TextGuidedBackbone' and model.class_names is None:
        options['model.class_names'] = NAMES  # those of data that are not at hand
    if model.get('neck'):
        options['model.neck.out_channels'] = 16
    backbone, key = model.backbone, 'model.backbone'
    if backbone.type == 'vlprompt.TextGuidedBackbone':
        if backbone.matching.context_decoder:
            decoder = f'{key}.matching.context_decoder'
            options |= {f'{decoder}.width': 16, f'{decoder}.layers': 1}
        trunk, key = backbone.trunk, f'{key}.trunk'
    else:
        trunk = backbone
    if 'clip' in backbone:
        clip, vit = 'model.backbone.clip', trunk.type == 'vlprompt.ClipTrunk' and 'ViT' in backbone.clip.arch
        options |= {f'{clip}.arch': dict(VIT if vit else MICRO['rn'], _delete_=True), f'{clip}.weights': None}
        if trunk.type == 'vlprompt.ClipTrunk':
            options[f'{clip}.image_size'] = 64
        if vit:
            options[f'{clip}.vision.out_indices'] = (0, 1, 2, 3)
        channels = [64] * 4 if vit else [32, 64, 128, 256]
    if trunk.type == 'vlprompt.AttentionPooledTrunk':
        trunk, key = trunk.trunk, f'{key}.trunk'
    if trunk.type == 'ResNet':
        options |= {f'{key}.depth': 18, f'{key}.base_channels': 8, f'{key}.init_cfg': None}
        channels = [8, 16, 32, 64]
    if trunk.type == 'SwinTransformer':
        options |= {f'{key}.embed_dims': 8, f'{key}.depths': [1, 1, 1, 1], f'{key}.num_heads': [1, 1, 2, 4]}
        options |= {f'{key}.init_cfg': None, 'model.auxiliary_head.channels': 8}
        channels = [8, 16, 32, 64]
    if model.type == 'EncoderDecoder':  # its channels are typed; DenseCLIP's follow
        options['model.decode_head.in_channels'] = [16] * 4 if model.get('neck') else channels
        if model.get('neck'):
            options['model.neck.in_channels'] = channels
        else:
            options['model.auxiliary_head.in_channels'] = channels[2]
    return options


@pytest.mark.parametrize('dataset', DATASETS)
def test_the_method_says_the_size_and_the_dataset_the_classes(dataset):
    """Every dataset on every kind of model: micro models see it at 160 pixels, and no number of classes stays."""
    for name, size in (('clip_micro-rn_fpn_200i_scenes-160x160', 160), ('denseclip_r50_fpn_80k_ade20k-512x512', 512)):
        cfg = load_config(name, dict(dataset=dataset, data_root='mine'))
        train = cfg.train_dataloader.dataset.dataset
        assert train.pipeline[3].crop_size == tuple(cfg.model.data_preprocessor['size']) == (size, size)
        assert {train.data_root, cfg.val_dataloader.dataset.data_root, cfg.test_dataloader.dataset.data_root} == {
            'mine'
        }
        (resize,) = [s for s in cfg.test_dataloader.dataset.pipeline if s.type == 'Resize'] or [None]
        assert (resize is None) == (dataset in ('scenes_seg', 'camvid')), 'these are seen at their own size'
        assert resize is None or resize.scale == (4 * size if size == 160 else 2048, size)
        classes = dict(ade20k=150, cityscapes=19, voc12=21, camvid=11, scenes_seg=21, seg_folder=None)
        classes |= dict(voc20=20, pascal_context=60, pascal_context59=59, coco_stuff=171, coco_object=81)
        if 'denseclip' in name:
            names = dict(ade20k='ade20k', cityscapes='cityscapes', voc12='voc', scenes_seg='scenes_seg')
            names |= dict(pascal_context='PascalContextDataset', pascal_context59='PascalContextDataset59')
            names |= dict(
                coco_stuff='cocostuff', coco_object='vlprompt.COCOObjectDataset', voc20='vlprompt.VOC20Dataset'
            )
            assert cfg.model.class_names == names.get(dataset)
        else:
            assert cfg.model.decode_head.num_classes == classes[dataset]


@pytest.mark.parametrize('path', CONFIGS, ids=lambda p: p.stem)
def test_every_config_takes_your_own_data(path):
    """At the size that it has on its own data."""
    own, shipped = load_config(path, dict(dataset='seg_folder', data_root='mine')), load_config(path)
    assert own.train_dataloader.dataset.dataset.type == 'vlprompt.FolderSegDataset'
    assert own.train_dataloader.dataset.dataset.pipeline[3].crop_size == tuple(shipped.data_preprocessor['size'])
    assert own.data_preprocessor == shipped.data_preprocessor
    assert own.model.get('class_names') is None
    assert own.train_dataloader.batch_size == shipped.train_dataloader.batch_size


@pytest.fixture(params=CONFIGS, ids=lambda p: p.stem)
def built(request):
    torch.manual_seed(0)
    cfg = load_config(request.param)
    return cfg, init_model(cfg, cfg_options=shrunk(cfg))


def test_builds_trains_and_predicts(built):
    from mmengine.structures import PixelData
    from mmseg.structures import SegDataSample

    _, model = built
    classes = model.num_classes
    images = torch.randn(2, 3, 64, 64)
    with torch.no_grad():
        assert model(images, mode='tensor').shape == (2, classes, 16, 16)
    if hasattr(model, 'score_map'):
        assert len(model.class_names) == classes
    labels = torch.randint(0, classes, (2, 1, 64, 64))
    losses = model.train()(images, [SegDataSample(gt_sem_seg=PixelData(data=label)) for label in labels], mode='loss')
    sum(value for name, value in losses.items() if 'loss' in name).backward()
    unused = [name for name, p in model.named_parameters() if p.requires_grad and p.grad is None]
    assert not unused


def parameter_groups(cfg, model):
    """What the optimizer gets; a rule that applies to nothing is an error."""
    wrapper = cfg.optim_wrapper
    return PatternOptimWrapperConstructor(wrapper.copy(), wrapper.paramwise_cfg).param_groups(model)


@pytest.mark.parametrize('built', MICRO_SIZE, indirect=True, ids=lambda p: p.stem)
def test_every_rule_of_the_optimizer_applies(built):
    """And no trained parameter is left out."""
    cfg, model = built
    grouped = [id(p) for group in parameter_groups(cfg, model) for p in group['params']]
    assert len(grouped) == len(set(grouped))
    assert set(grouped) >= {id(p) for p in model.parameters() if p.requires_grad}


@pytest.mark.parametrize('built', FULL_SIZE, indirect=True, ids=lambda p: p.stem)
def test_rates_are_the_published_ones(built):
    """A tenth for the trunk, text frozen, and no weight decay for what has "norm" in its name outside of the trunk."""
    cfg, model = built
    groups = parameter_groups(cfg, model)
    rates = {id(p): group.get('lr', 1e-4) for group in groups for p in group['params']}
    decays = {id(p): group.get('weight_decay', 1e-4) for group in groups for p in group['params']}
    for name, parameter in model.named_parameters():
        if id(parameter) in decays:
            norm = re.match(r'backbone\.matching\.context_decoder\.decoder\.\d+\.norm[123]\.', name)
            assert decays[id(parameter)] == (0 if norm else 1e-4), name
        if name.startswith('backbone.matching.text.'):
            expected = 0.0 if '_official_' in cfg.filename else None
        else:
            trunk = name.startswith('backbone.') and not name.startswith('backbone.matching.')
            expected = 1e-5 if trunk else 1e-4
        assert rates.get(id(parameter)) == pytest.approx(expected), name


@pytest.mark.parametrize('path', PUBLISHED, ids=lambda p: p.stem)
def test_holds_the_published_recipe(path):
    cfg = load_config(path)
    size = 640 if 'vit' in path.stem else 512
    assert path.stem.endswith(f'80k_ade20k-{size}x{size}')
    assert cfg.train_cfg.max_iters == 80000
    assert cfg.train_dataloader.batch_size * 8 == cfg.auto_scale_lr.base_batch_size == 32
    optimizer = cfg.optim_wrapper.optimizer
    assert (optimizer.type, optimizer.lr, optimizer.weight_decay) == ('AdamW', 1e-4, 1e-4)
    assert 'clip_grad' not in cfg.optim_wrapper
    (schedule,) = cfg.param_scheduler
    assert schedule.by_epoch is False
    assert (schedule.T_max, schedule.power, schedule.eta_min, schedule.warmup) == (80000, 0.9, 1e-6, 1500)
    test = cfg.model.test_cfg
    assert (test.mode, test.crop_size, test.stride) == ('slide', (size, size), {512: (341,) * 2, 640: (426,) * 2}[size])
    assert cfg.data_preprocessor == cfg.model.data_preprocessor
    assert tuple(cfg.data_preprocessor['size']) == (size, size)
    assert cfg.test_dataloader.dataset.pipeline[1].scale == (2048, size)
    if cfg.model.type == 'vlprompt.DenseCLIP':
        matching, concat, loss = cfg.model.backbone.matching, cfg.model.backbone.score_concat, cfg.model.pixel_text_loss
        prompt, decoder = matching.prompt, matching.context_decoder
        assert (prompt.n_ctx, prompt.context_length, prompt.init_std, prompt.init_cut) == (8, 13, 1, 2)
        assert matching.gamma == 1e-4
        assert concat is None or (concat.stage, concat.temperature) == (2 if 'vit' in path.stem else 3, 1)
        assert loss is None or (loss.temperature, loss.weight) == (0.07, 0.4)
        assert decoder is None or (decoder.width, decoder.heads, decoder.layers, decoder.dropout) == (256, 4, 3, 0.1)
        assert cfg.model.backbone.clip.get('vision', {}).get('drop_path', 0) == (0.1 if 'vit' in path.stem else 0)


@pytest.mark.parametrize('path', FULL_SIZE, ids=lambda p: p.stem)
def test_pipelines(path):
    """Every dataset: the published augmentation, windows of the size and two thirds of it, six absolute scales."""
    cfg = load_config(path)
    crop = tuple(cfg.data_preprocessor['size'])
    train, test = cfg.train_dataloader.dataset.dataset.pipeline, cfg.test_dataloader.dataset.pipeline
    scale = test[1].scale
    assert cfg.model.data_preprocessor == cfg.data_preprocessor
    assert cfg.model.test_cfg == dict(mode='slide', crop_size=crop, stride=tuple(side * 2 // 3 for side in crop))
    assert [step.type for step in train[2:]] == [
        *('RandomResize', 'RandomCrop', 'RandomFlip', 'PhotoMetricDistortion', 'PackSegInputs')
    ]
    assert (train[2].scale, train[2].ratio_range, train[2].keep_ratio) == (scale, (0.5, 2.0), True)
    assert (train[3].crop_size, train[3].cat_max_ratio, train[4].prob) == (crop, 0.75, 0.5)
    assert [step.type for step in test[1::2]] == ['Resize', 'PackSegInputs']
    assert test[1].keep_ratio is True
    assert cfg.val_dataloader.dataset.pipeline == test
    resizes, flips = cfg.tta_pipeline[1].transforms[:2]
    assert [r.scale for r in resizes] == [tuple(int(s * r) for s in scale) for r in (0.5, 0.75, 1, 1.25, 1.5, 1.75)]
    assert all(resize.keep_ratio for resize in resizes)
    assert [(flip.prob, flip.direction) for flip in flips] == [(0, 'horizontal'), (1, 'horizontal')]
