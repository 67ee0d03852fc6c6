"""Every shipped detection config, on micro towers: loads, passes the key check, builds, runs, holds the recipe."""

import re

import numpy as np
import pytest
import torch
from mmengine.registry import DefaultScope

from tests.conftest import MICRO, ROOT
from vlprompt.apis import init_model
from vlprompt.engine import PatternOptimWrapperConstructor, load_config
from vlprompt.engine.config_files import config_names
from vlprompt.errors import ConfigError

CONFIGS = sorted((ROOT / 'configs' / 'denseclip_det').glob('*.py'))
PUBLISHED = [p for p in CONFIGS if p.stem.endswith('1x_coco') and 'clip-' in p.stem]
MICRO_SIZE = [p for p in CONFIGS if 'micro' in p.stem]  # with recipes of their own
IMAGENET = [p for p in CONFIGS if re.search('_r(50|101)_', p.stem)]  # mmdet's own models and recipe
DATASETS = [n for n in config_names(ROOT / 'configs/_base_/datasets/det') if not n.startswith('_')]
VIT = dict(MICRO['vit'], vision_layers=4)
NAMES = ['sky', 'tree', 'fire hydrant']
SIZE = (64, 96)


@pytest.fixture(autouse=True)
def restore_scope():
    with DefaultScope.overwrite_default_scope('mmdet'):
        yield


def shrunk(cfg):
    """Options that put micro towers, trunks and heads in place of the real ones, and leave all else as shipped."""
    model = cfg.model
    options = {'model.neck.out_channels': 16}
    if model.backbone.type == 'vlprompt.TextGuidedBackbone' and model.class_names is None:
        options['model.class_names'] = NAMES  # those of data that are not at hand
    if 'clip' in model.backbone:
        key, vit = 'model.backbone.clip', 'ViT' in model.backbone.clip.arch
        options |= {f'{key}.arch': dict(VIT if vit else MICRO['rn'], _delete_=True), f'{key}.weights': None}
        options[f'{key}.image_size'] = 96
        channels = [64] * len(model.neck.in_channels or ()) if vit else [32, 64, 128, 256]
        if vit:
            options[f'{key}.vision.out_indices'] = (0, 1, 2, 3)
    if 'matching' in model.backbone:
        decoder = 'model.backbone.matching.context_decoder'
        options |= {f'{decoder}.width': 16, f'{decoder}.layers': 1, f'{decoder}.heads': 2}
    if model.backbone.type == 'ResNet':
        options |= {'model.backbone.depth': 18, 'model.backbone.base_channels': 8, 'model.backbone.init_cfg': None}
        channels = [8, 16, 32, 64]
    if 'bbox_head' in model:
        options |= {'model.bbox_head.feat_channels': 16, 'model.bbox_head.stacked_convs': 1}
    else:
        options |= {'model.rpn_head.feat_channels': 16, 'model.roi_head.bbox_head.fc_out_channels': 16}
        options |= {'model.roi_head.mask_head.num_convs': 1, 'model.roi_head.mask_head.conv_out_channels': 16}
        options |= {'model.train_cfg.rpn_proposal.max_per_img': 20, 'model.test_cfg.rpn.max_per_img': 20}
    if not model.type.startswith('vlprompt.'):  # mmdet's detectors: channels are typed; DenseCLIP's follow
        options['model.neck.in_channels'] = channels
        parts = ['bbox_head'] if 'bbox_head' in model else ['rpn_head', 'roi_head.bbox_head', 'roi_head.mask_head']
        options |= {f'model.{part}.in_channels': 16 for part in parts}
        if 'roi_head' in model:
            options |= {f'model.roi_head.{kind}_roi_extractor.out_channels': 16 for kind in ('bbox', 'mask')}
    return options


def num_classes(model):
    head = model.bbox_head if model.with_bbox and not hasattr(model, 'roi_head') else model.roi_head.bbox_head
    return head.num_classes


def batch(classes):
    """Two images, one of them empty."""
    from mmdet.structures import DetDataSample
    from mmdet.structures.mask import BitmapMasks
    from mmengine.structures import InstanceData

    boxes = torch.tensor([[8.0, 8, 40, 60], [30, 4, 90, 50]])
    masks = np.zeros((2, *SIZE), np.uint8)
    masks[0, 8:60, 8:40] = masks[1, 10:50, 30:80] = 1
    objects = InstanceData(bboxes=boxes, labels=torch.tensor([0, classes - 1]), masks=BitmapMasks(masks, *SIZE))
    empty = InstanceData(bboxes=boxes[:0], labels=torch.zeros(0, dtype=torch.long), masks=BitmapMasks(masks[:0], *SIZE))
    meta = dict(img_shape=SIZE, pad_shape=SIZE, batch_input_shape=SIZE, ori_shape=SIZE, scale_factor=(1, 1))
    samples = [
        DetDataSample(gt_instances=item, metainfo=dict(meta, img_id=i)) for i, item in enumerate((objects, empty))
    ]
    return torch.randn(2, 3, *SIZE), samples


@pytest.mark.parametrize('dataset', DATASETS)
def test_the_method_says_the_size_and_the_dataset_the_classes(dataset):
    """Every dataset on every kind of model: micro models see it at 160 pixels, masks where the model has some."""
    for name, scale in (
        ('mask-rcnn_clip-micro-rn_fpn_400i_scenes-160x160', (240, 160)),
        ('retinanet_clip-r50_fpn_1x_coco', (1333, 800)),
    ):
        cfg = load_config(name, dict(dataset=dataset, data_root='mine'))
        train, test = cfg.train_dataloader.dataset.dataset, cfg.test_dataloader.dataset
        assert {train.data_root, cfg.val_dataloader.dataset.data_root, test.data_root} == {'mine'}
        (resize,) = (step for step in test.pipeline if step.type == 'Resize')
        assert resize.scale == ((160, 160) if dataset == 'scenes_det' else scale)
        masks = name.startswith('mask')
        assert train.pipeline[1].with_mask == masks
        assert cfg.test_evaluator.metric == (['bbox', 'segm'] if masks else ['bbox'])
        head = cfg.model.roi_head.mask_head if masks else cfg.model.bbox_head
        assert head.num_classes == dict(coco=80, coco128=80, scenes_det=20, coco_json=None)[dataset]


@pytest.mark.parametrize('path', CONFIGS, ids=lambda p: p.stem)
def test_every_config_takes_your_own_data(path):
    """At the size of the model; ``classes`` names some of the categories."""
    cfg = load_config(path, dict(dataset='coco_json', data_root='mine', classes=['cat']))
    for data in (cfg.train_dataloader.dataset.dataset, cfg.val_dataloader.dataset, cfg.test_dataloader.dataset):
        assert (data.type, data.data_root, data.classes) == ('vlprompt.CocoInstances', 'mine', ['cat'])
        assert data.masks == ('roi_head' in cfg.model)
    (resize,) = (step for step in data.pipeline if step.type == 'Resize')
    assert resize.scale == (
        (384, 256) if 'coco128' in path.stem else (240, 160) if 'micro' in path.stem else (1333, 800)
    )
    assert cfg.model.get('class_names') is None
    assert cfg.test_evaluator.type == 'vlprompt.CocoInstancesMetric'


@pytest.fixture(params=CONFIGS, ids=lambda p: p.stem)
def built(request):
    torch.manual_seed(0)
    cfg = load_config(request.param)
    return cfg, init_model(cfg, cfg_options=shrunk(cfg))


def test_builds_trains_and_predicts(built):
    _, model = built
    classes = num_classes(model)
    if hasattr(model, 'class_names'):
        assert len(model.class_names) == classes
    images, samples = batch(classes)
    losses = model.train()(images, samples, mode='loss')
    assert ('loss_pixel_text' in losses) == hasattr(model, 'score_map')
    total, _ = model.parse_losses(losses)
    total.backward()
    assert torch.isfinite(total)
    unused = [n for n, p in model.named_parameters() if p.requires_grad and p.grad is None]
    assert not unused
    with torch.no_grad():
        predicted = model.eval()(images, samples, mode='predict')
    assert [p.pred_instances.bboxes.shape[-1] for p in predicted] == [4, 4]
    assert ('masks' in predicted[0].pred_instances) == hasattr(model, 'roi_head')


def parameter_groups(cfg, model):
    """What the optimizer gets; a rule that applies to nothing is an error."""
    wrapper = cfg.optim_wrapper
    return PatternOptimWrapperConstructor(wrapper.copy(), wrapper.paramwise_cfg).param_groups(model)


def test_rates_of_every_config_are_tested():
    assert sorted([*PUBLISHED, *MICRO_SIZE, *IMAGENET]) == CONFIGS


@pytest.mark.parametrize('path', IMAGENET, ids=lambda p: p.stem)
def test_models_of_imagenet_have_one_rate(path):
    assert 'paramwise_cfg' not in load_config(path).optim_wrapper


@pytest.mark.parametrize('built', MICRO_SIZE, indirect=True, ids=lambda p: p.stem)
def test_every_rule_of_the_optimizer_applies(built):
    """And no trained parameter is left out."""
    cfg, model = built
    grouped = [id(p) for group in parameter_groups(cfg, model) for p in group['params']]
    assert len(grouped) == len(set(grouped))
    assert set(grouped) >= {id(p) for p in model.parameters() if p.requires_grad}


@pytest.mark.parametrize('built', PUBLISHED, indirect=True, ids=lambda p: p.stem)
def test_rates_are_the_published_ones(built):
    """A tenth for the trunk, and text frozen."""
    cfg, model = built
    base = cfg.optim_wrapper.optimizer.lr
    rates = {id(p): group.get('lr', base) for group in parameter_groups(cfg, model) for p in group['params']}
    for name, parameter in model.named_parameters():
        if name.startswith('backbone.matching.text.'):
            expected = 0.0 if '_official_' in cfg.filename else None
        else:
            trunk = name.startswith('backbone.') and not name.startswith('backbone.matching.')
            expected = base / 10 if trunk else base
        assert rates.get(id(parameter)) == pytest.approx(expected), name


@pytest.mark.parametrize('path', PUBLISHED, ids=lambda p: p.stem)
def test_holds_the_published_recipe(path):
    cfg = load_config(path)
    assert cfg.train_cfg.max_epochs == 12
    assert cfg.train_dataloader.batch_size * 8 == cfg.auto_scale_lr.base_batch_size == 16
    wrapper = cfg.optim_wrapper
    rate = 2e-4 if path.stem.startswith('mask-rcnn') else 1e-4
    assert (wrapper.optimizer.type, wrapper.optimizer.lr, wrapper.optimizer.weight_decay) == ('AdamW', rate, 1e-4)
    assert (wrapper.clip_grad.max_norm, wrapper.clip_grad.norm_type) == (0.1, 2)
    (schedule,) = cfg.param_scheduler
    assert (schedule.milestones, schedule.gamma, schedule.warmup, schedule.warmup_ratio) == ([8, 11], 0.1, 500, 1e-3)
    assert schedule.convert_to_iter_based
    data = cfg.train_dataloader.dataset.dataset
    assert data.filter_cfg.filter_empty_gt
    (resize,) = (step for step in data.pipeline if step.type == 'Resize')
    assert resize.scale == (1333, 800)
    assert cfg.val_evaluator.metric == (['bbox', 'segm'] if path.stem.startswith('mask-rcnn') else ['bbox'])
    preprocessor = cfg.model.data_preprocessor
    assert preprocessor.pad_size_divisor == 32
    assert preprocessor.mean == pytest.approx([122.771, 116.746, 104.094], abs=1e-3)
    assert preprocessor.std == pytest.approx([68.501, 66.632, 70.323], abs=1e-3)
    if 'denseclip' in path.stem:
        model = cfg.model
        backbone, prompt = model.backbone, model.backbone.matching.prompt
        assert (prompt.n_ctx, prompt.context_length, model.class_names) == (8, 13, 'coco')
        assert (backbone.score_concat.temperature, model.pixel_text_loss.temperature) == (0.07, 0.07)
        assert model.pixel_text_loss.weight == 1
        assert ('vit' in path.stem) or (backbone.score_concat.stage, backbone.clip.image_size) == (3, 1344)
        assert ('official' in path.stem) == (backbone.clip.vision.get('interpolation') == 'crop')
        assert ('official' in path.stem) == (not model.get('initialise', True))


@pytest.mark.parametrize(
    ('option', 'value', 'suggestion'),
    [
        ('model.bbox_head.type', 'RetinaHeadd', 'RetinaHead'),
        ('model.bbox_head.type', 'mmdet.RetinaHeadd', 'RetinaHead'),
        ('model.bbox_head.loss_cls.type', 'FocalLos', 'FocalLoss'),
        ('train_dataloader.dataset.type', 'RepeatDatasett', 'RepeatDataset'),
    ],
)
def test_misspelt_types_of_mmdet_are_named(option, value, suggestion):
    with pytest.raises(ConfigError, match=f"{option}='{value}' is not registered. Did you mean '{suggestion}'"):
        load_config('retinanet_denseclip-micro-rn_fpn_600i_scenes-160x160', {option: value})
