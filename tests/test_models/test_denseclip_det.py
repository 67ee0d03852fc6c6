"""The detectors on micro towers: modes, heads, derived channels, switches, freezing, caching, checkpoints, mistakes."""

import copy

import numpy as np
import pytest
import torch
from mmdet.datasets import CocoDataset
from mmdet.structures import DetDataSample
from mmdet.structures.mask import BitmapMasks
from mmengine.config import Config
from mmengine.registry import DefaultScope
from mmengine.structures import InstanceData

import vlprompt.models.detectors  # noqa: F401  (registers them)
from tests.conftest import MICRO, ROOT
from vlprompt.apis import init_model
from vlprompt.clip import build_clip
from vlprompt.engine.checkpoint import describe_model, load_trained, trained_state
from vlprompt.errors import CheckpointError
from vlprompt.models import ClipTrunk
from vlprompt.models.dense.class_names import dense_class_names
from vlprompt.registry import MODELS

NAMES = ['dog', 'cat', 'fire hydrant']
SIZE = (64, 96)
CLIP = dict(arch=MICRO['rn'], image_size=96, vision=dict(interpolation='bilinear'))


@pytest.fixture(autouse=True)
def scope():
    with DefaultScope.overwrite_default_scope('mmdet'):
        yield


def config(kind, **changes):
    """A shipped model, narrow, on a micro CLIP; ``changes`` may name parts of backbone and matching directly."""
    cfg = Config.fromfile(ROOT / f'configs/_base_/models/denseclip_{kind}_r50.py').model
    small = dict(
        backbone=dict(clip=dict(CLIP, _delete_=True), matching=dict(context_decoder=dict(width=16, heads=2, layers=1))),
        class_names=NAMES,
        neck=dict(out_channels=16),
    )
    if kind == 'retinanet':
        small['bbox_head'] = dict(feat_channels=16, stacked_convs=1)
    else:
        small |= dict(
            rpn_head=dict(feat_channels=16),
            roi_head=dict(bbox_head=dict(fc_out_channels=16), mask_head=dict(num_convs=1, conv_out_channels=16)),
            train_cfg=dict(rpn_proposal=dict(max_per_img=20)),
            test_cfg=dict(rpn=dict(max_per_img=20)),
        )
    cfg = Config(dict(model=cfg))
    cfg.merge_from_dict(dict(model=small))
    backbone = {key: changes.pop(key) for key in ('clip', 'score_concat') if key in changes}
    matching = {key: changes.pop(key) for key in ('context_decoder', 'prompting') if key in changes}
    changes['backbone'] = dict(backbone, matching=matching)
    cfg.merge_from_dict(dict(model=changes))
    return cfg.model


def build(kind='retinanet', **changes):
    torch.manual_seed(0)
    return MODELS.build(config(kind, **changes))


def batch(counts=(2, 0), masks=True):
    generator = torch.Generator().manual_seed(0)
    meta = dict(img_shape=SIZE, pad_shape=SIZE, batch_input_shape=SIZE, ori_shape=SIZE, scale_factor=(1, 1))
    samples = []
    for index, count in enumerate(counts):
        boxes = torch.tensor([[8.0, 8, 40, 60], [30, 4, 90, 50]])[:count]
        item = InstanceData(bboxes=boxes, labels=torch.tensor([0, 2])[:count])
        if masks:
            bits = np.zeros((count, *SIZE), np.uint8)
            bits[:, 20:40, 32:40] = 1
            item.masks = BitmapMasks(bits, *SIZE)
        samples.append(DetDataSample(gt_instances=item, metainfo=dict(meta, img_id=index)))
    return torch.randn(len(counts), 3, *SIZE, generator=generator), samples


def step(model, images, samples):
    losses = model.train()(images, samples, mode='loss')
    total, _ = model.parse_losses(losses)
    total.backward()
    assert torch.isfinite(total)
    return losses


def check_step(model):
    losses = step(model, *batch())
    missing = [n for n, p in model.named_parameters() if p.requires_grad and p.grad is None]
    assert not missing, 'distributed training would wait for these'
    assert not any(p.requires_grad for p in model.backbone.matching.text.parameters())
    assert not model.backbone.matching.text.training
    return losses


SWITCHES = {
    'published': {},
    'pre': dict(prompting='pre'),
    'no decoder': dict(context_decoder=None),
    'no concatenation': dict(score_concat=None),
    'no auxiliary loss': dict(pixel_text_loss=None),
    'masks': dict(pixel_text_loss=dict(target='masks')),
    'crop': dict(clip=dict(vision=dict(interpolation='crop'))),
}


@pytest.mark.parametrize('kind', ['retinanet', 'mask-rcnn'])
@pytest.mark.parametrize('switch', SWITCHES)
def test_every_part_can_be_switched(switch, kind):
    model = build(kind, **SWITCHES[switch])
    losses = check_step(model)
    assert ('loss_pixel_text' in losses) == (switch != 'no auxiliary loss')
    assert model.neck.lateral_convs[-1].conv.in_channels == 256 + (0 if switch == 'no concatenation' else 3)


def test_the_class_counts_follow():
    retinanet, mask_rcnn = build(), build('mask-rcnn')
    assert retinanet.bbox_head.num_classes == 3
    assert retinanet.neck.fpn_convs[3].conv.in_channels == 256 + 3, 'P6 is made of C5 with its scores'
    heads = mask_rcnn.roi_head
    assert (heads.bbox_head.num_classes, heads.mask_head.num_classes) == (3, 3)
    assert heads.bbox_roi_extractor.out_channels == heads.mask_roi_extractor.out_channels == 16


def test_faster_rcnn_and_fcos_are_the_same_detectors():
    faster = build('mask-rcnn', roi_head=dict(mask_head=None, mask_roi_extractor=None))
    assert 'loss_mask' not in check_step(faster)
    fcos = config('retinanet')
    strides = [8, 16, 32, 64, 128]
    fcos.bbox_head = dict(type='FCOSHead', stacked_convs=1, feat_channels=16, norm_cfg=None, strides=strides)
    fcos.train_cfg = None
    assert 'loss_centerness' in check_step(MODELS.build(fcos))


def test_a_vit_has_four_scales():
    vit = dict(arch=dict(MICRO['vit'], vision_layers=4), vision=dict(out_indices=(0, 1, 2, 3)), _delete_=True)
    model = build('mask-rcnn', clip=vit, score_concat=dict(stage=2))
    check_step(model)
    assert [c.conv.in_channels for c in model.neck.lateral_convs] == [64, 64, 67, 64]


@pytest.mark.parametrize('kind', ['retinanet', 'mask-rcnn'])
def test_modes(kind, monkeypatch):
    model = build(kind).eval()
    calls = []
    encode = model.backbone.matching.prompt.encode
    monkeypatch.setattr(model.backbone.matching.prompt, 'encode', lambda text: calls.append(1) or encode(text))
    images, samples = batch()
    with torch.no_grad():
        assert model.score_map(images).shape == (2, 3, 2, 3)
        raw = model(images, samples, mode='tensor')
        predicted = model(images, samples, mode='predict')
        model(images[:1], samples[:1], mode='predict')
    assert len(calls) == 1, 'the text tower ran more than once'
    assert isinstance(raw, tuple)
    assert len(predicted) == 2
    assert ('masks' in predicted[0].pred_instances) == (kind == 'mask-rcnn')


def test_what_is_concatenated_and_what_is_supervised():
    """Scores divided by 0.07 reach the neck; the loss is the one of these scores."""
    model = build().eval()
    images, samples = batch()
    seen = []
    model.neck.register_forward_pre_hook(lambda module, inputs: seen.append(inputs[0]))
    losses = model(images, samples, mode='loss')
    scores = model.score_map(images)
    assert [m.shape[1] for m in seen[0]] == [32, 64, 128, 256 + 3]
    torch.testing.assert_close(seen[0][3][:, 256:], scores / 0.07)
    boxes = [s.gt_instances.bboxes for s in samples]
    expected = model.pixel_text_loss(scores, SIZE, boxes, [s.gt_instances.labels for s in samples])
    torch.testing.assert_close(losses['loss_pixel_text'], expected['loss_pixel_text'])


def test_nothing_of_a_step_is_kept():
    """A copy, as of weights that are averaged, can be made after any mode."""
    model = build()
    for mode in ('tensor', 'loss'):
        model.train()(*batch(), mode=mode)
        copy.deepcopy(model)


def test_a_batch_without_any_object():
    losses = step(build('mask-rcnn'), *batch((0, 0)))
    assert losses['loss_pixel_text'] == 0


def test_masks_that_were_not_loaded_are_missed():
    with pytest.raises(ValueError, match='with_mask=True'):
        build(pixel_text_loss=dict(target='masks'))(*batch(masks=False), mode='loss')


def test_initialisation():
    """mmdet's: a prior for the focal loss. As published: the layers' own. CLIP's towers stay in both cases."""
    for initialise in (True, False):
        model = build(initialise=initialise)
        tower = {k: v.clone() for k, v in model.backbone.state_dict().items()}
        before = {k: v.clone() for k, v in model.bbox_head.state_dict().items()}
        model.init_weights()
        assert all(torch.equal(v, tower[k]) for k, v in model.backbone.state_dict().items())
        bias = model.bbox_head.retina_cls.bias
        assert torch.allclose(bias, torch.tensor(-4.595), atol=1e-3) == initialise
        assert all(torch.equal(v, before[k]) for k, v in model.bbox_head.state_dict().items()) == (not initialise)


def test_crop_refuses_larger_images():
    model = build(clip=dict(vision=dict(interpolation='crop')))
    with pytest.raises(ValueError, match='up to 3x3, the image has 4x3'):
        model.score_map(torch.zeros(1, 3, 128, 96))


def test_class_lists_of_datasets():
    assert tuple(dense_class_names('coco', 'mmdet')) == CocoDataset.METAINFO['classes']
    assert len(dense_class_names('lvis', 'mmdet')) == 1203


def test_new_class_names_at_test_time():
    model = build().eval()
    images, samples = batch()
    with torch.no_grad():
        before = model.score_map(images)
        model.set_class_names(['cat', 'sea'])
        assert torch.allclose(model.score_map(images)[:, 0], before[:, 1], atol=0.05)
        with pytest.raises(ValueError, match='built for 3 classes, but there are 2'):
            model(images, samples, mode='predict')


@pytest.mark.parametrize(
    ('kind', 'changes', 'message'),
    [
        ('retinanet', dict(neck=dict(in_channels=[32, 64, 128, 256])), r'neck.in_channels.*259'),
        ('retinanet', dict(bbox_head=dict(num_classes=80)), 'bbox_head.num_classes=80.*require 3'),
        ('mask-rcnn', dict(roi_head=dict(bbox_head=dict(num_classes=80))), 'roi_head.bbox_head.num_classes=80'),
        ('mask-rcnn', dict(roi_head=dict(mask_head=dict(in_channels=256))), 'roi_head.mask_head.in_channels=256'),
        ('retinanet', dict(score_concat=None, pixel_text_loss=None), 'nothing uses the text'),
        ('retinanet', dict(score_concat=dict(stage=4)), 'stage=4'),
        ('retinanet', dict(class_names=['dog', 'dog']), "'dog' more than once"),
        ('retinanet', dict(class_names='coca'), 'coco'),
        ('retinanet', dict(frozen=['backbone.matching.txt.*']), 'matching'),
    ],
)
def test_mistakes_are_named(kind, changes, message):
    with pytest.raises(ValueError, match=message):
        build(kind, **changes)


def test_checkpoint_holds_what_was_trained_and_nothing_of_the_frozen_text(tmp_path):
    path = tmp_path / 'base.pt'
    torch.manual_seed(1)
    clip = build_clip(arch=MICRO['rn'], image_size=64)
    torch.save({k.removeprefix('text.'): v for k, v in clip.state_dict().items()}, path)
    given = dict(clip=dict(CLIP, weights=str(path), _delete_=True))
    model = build(**given)
    assert model.backbone.trunk.visual.attnpool.positional_embedding.shape[0] == 3 * 3 + 1
    step(model, *batch())
    saved = trained_state(model)
    assert not any(name.startswith('backbone.matching.text.') for name in saved)
    assert {'backbone.trunk.visual.bn1.running_mean', 'bbox_head.retina_cls.weight', 'backbone.matching.gamma'} <= set(
        saved
    )
    fresh = build(**given)
    load_trained(fresh, dict(state_dict=saved, meta=dict(vlprompt=describe_model(model))))
    for name, tensor in model.state_dict().items():
        assert torch.equal(tensor, fresh.state_dict()[name]), name
    with pytest.raises(CheckpointError, match='random base weights'):
        load_trained(build(), dict(state_dict=saved, meta=dict(vlprompt=describe_model(model))))


def test_baselines_are_mmdets_own_detectors(tmp_path):
    cfg = Config.fromfile(ROOT / 'configs/_base_/models/clip_retinanet_r50.py').model
    cfg.backbone.clip = dict(arch=MICRO['rn'])
    cfg.neck.update(in_channels=[32, 64, 128, 256])
    cfg.bbox_head.num_classes = 80
    model = MODELS.build(cfg)
    torch.save(dict(state_dict=model.state_dict()), tmp_path / 'a.pth')
    again = init_model(Config(dict(model=cfg, default_scope='mmdet')), tmp_path / 'a.pth')
    assert torch.equal(again.bbox_head.retina_cls.weight, model.bbox_head.retina_cls.weight)
    cfg.bbox_head.num_classes = 3
    with pytest.raises(CheckpointError, match='size mismatch for bbox_head'):
        init_model(Config(dict(model=cfg, default_scope='mmdet')), tmp_path / 'a.pth')
    assert type(model).__module__.startswith('mmdet.')
    assert isinstance(model.backbone, ClipTrunk)
    assert not hasattr(model.backbone.visual, 'attnpool')
