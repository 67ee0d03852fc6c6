"""mmdet's own detectors, narrow, with the ops of :mod:`vlprompt.compat.mmcv_ops`: loss, gradients, predictions."""

import pytest
import torch
from mmengine.config import ConfigDict
from mmengine.registry import DefaultScope

WIDTHS = dict.fromkeys(('in_channels', 'feat_channels', 'out_channels', 'conv_out_channels', 'output_channels'), 16)
SMALL = WIDTHS | dict(
    fc_out_channels=32, deform_fc_channels=32, num_classes=3, num_groups=4, score_thr=0.0, nms_pre=100
)
CONFIGS = (
    'retinanet/retinanet_r50_fpn_1x_coco.py',
    'faster_rcnn/faster-rcnn_r50_fpn_1x_coco.py',
    'mask_rcnn/mask-rcnn_r50_fpn_1x_coco.py',
    'fcos/fcos_r50-caffe_fpn_gn-head_1x_coco.py',
    'atss/atss_r50_fpn_1x_coco.py',
    'gfl/gfl_r50_fpn_1x_coco.py',
    'cascade_rcnn/cascade-mask-rcnn_r50_fpn_1x_coco.py',
)

# Detectors with ops that are rare, and the function of mmcv._ext that must have run.
RARE = {
    'dcn/faster-rcnn_r50-dconv-c3-c5_fpn_1x_coco.py': 'deform_conv_backward_parameters',
    'dcn/faster-rcnn_r50_fpn_dpool_1x_coco.py': 'deform_roi_pool_backward',
    'dcnv2/faster-rcnn_r50-mdconv-c3-c5_fpn_1x_coco.py': 'modulated_deform_conv_backward',
    'dcnv2/faster-rcnn_r50_fpn_mdpool_1x_coco.py': 'deform_roi_pool_backward',
    'carafe/mask-rcnn_r50_fpn-carafe_1x_coco.py': 'carafe_backward',
    'reppoints/reppoints-moment_r50_fpn-gn_head-gn_1x_coco.py': 'deform_conv_backward_input',
    'tood/tood_r50_fpn_1x_coco.py': 'deform_conv_backward_input',
    'vfnet/vfnet_r50_fpn_1x_coco.py': 'deform_conv_backward_input',
    'foveabox/fovea_r50_fpn_gn-head-align_4xb4-2x_coco.py': 'deform_conv_backward_input',
    'cascade_rpn/cascade-rpn_faster-rcnn_r50-caffe_fpn_1x_coco.py': 'deform_conv_backward_input',
    'guided_anchoring/ga-retinanet_r50-caffe_fpn_1x_coco.py': 'masked_im2col_forward',
    'dyhead/atss_r50_fpn_dyhead_1x_coco.py': 'modulated_deform_conv_backward',
    'pisa/faster-rcnn_r50_fpn_pisa_1x_coco.py': 'nms_match',
}

pytestmark = pytest.mark.slow  # mmdet takes seconds to import


def narrow(node):
    """Set every width in a model config to a small one, and keep predictions of any score."""
    for key, value in node.items():
        if key in SMALL:
            node[key] = SMALL[key]
        for child in value if isinstance(value, (list, tuple)) else [value]:
            if isinstance(child, dict):
                narrow(child)


@pytest.fixture(scope='module')
def mmdet():
    from mmdet.utils import register_all_modules

    register_all_modules(init_default_scope=False)
    with DefaultScope.overwrite_default_scope('mmdet'):
        yield


def random_inputs():
    """Two images, the second without objects."""
    from mmdet.testing import demo_mm_inputs

    return demo_mm_inputs(2, [[3, 64, 64], [3, 48, 64]], num_items=[3, 0], num_classes=3, with_mask=True)


def build(name):
    from mmdet.registry import MODELS
    from mmengine.hub import get_config

    cfg = ConfigDict(get_config(f'mmdet::{name}').model)
    narrow(cfg)
    if 'bbox_head' in cfg:
        cfg.bbox_head.norm_cfg = dict(type='GN', num_groups=4)
    cfg.backbone.update(depth=50, base_channels=2, init_cfg=None)
    neck = cfg.neck[0] if isinstance(cfg.neck, list) else cfg.neck
    neck.in_channels = [[8, 16, 32, 64][stage] for stage in cfg.backbone.out_indices]
    torch.manual_seed(0)
    return MODELS.build(cfg)


@pytest.mark.parametrize('name', CONFIGS, ids=lambda name: name.split('/')[0])
def test_loss_gradients_and_predictions(mmdet, name):
    model = build(name)
    inputs = random_inputs()
    data = model.data_preprocessor(inputs, training=True)
    loss, values = model.parse_losses(model(**data, mode='loss'))
    loss.backward()
    assert all(value.isfinite() for value in values.values())
    heads = [p for key, p in model.named_parameters() if 'head' in key and p.requires_grad]
    assert sum(bool(p.grad is not None and p.grad.any()) for p in heads) > len(heads) / 2

    model.eval()
    with torch.no_grad():
        found = model(**model.data_preprocessor(inputs), mode='predict')[0].pred_instances
    assert len(found)
    assert found.bboxes.isfinite().all()
    assert found.scores.tolist() == sorted(found.scores.tolist(), reverse=True)
    assert ('masks' in found) == ('mask' in name)


@pytest.mark.parametrize('name', RARE, ids=lambda name: name.split('/')[0])
def test_detectors_with_rare_ops(mmdet, name, monkeypatch):
    from mmcv import _ext
    from mmengine.logging import MessageHub

    calls = []
    op = getattr(_ext, RARE[name])
    monkeypatch.setattr(_ext, RARE[name], lambda *args, **options: calls.append(1) or op(*args, **options))
    MessageHub.get_current_instance().update_info('epoch', 0)  # TOOD asks for it
    model = build(name)
    inputs = random_inputs()
    loss, values = model.parse_losses(model(**model.data_preprocessor(inputs, training=True), mode='loss'))
    loss.backward()
    assert all(value.isfinite() for value in values.values())
    model.eval()
    if 'guided' in name:  # predicts one image at a time
        inputs = {key: value[:1] for key, value in inputs.items()}
    with torch.no_grad():
        found = model(**model.data_preprocessor(inputs), mode='predict')[0].pred_instances
    assert found.bboxes.isfinite().all()
    assert calls


def test_deformable_detr(mmdet):
    from mmdet.registry import MODELS
    from mmengine.hub import get_config

    cfg = ConfigDict(get_config('mmdet::deformable_detr/deformable-detr_r50_16xb2-50e_coco.py').model)
    cfg.backbone.update(base_channels=2, init_cfg=None)
    cfg.neck.in_channels = [16, 32, 64]
    cfg.encoder.num_layers = cfg.decoder.num_layers = 1
    cfg.num_queries, cfg.test_cfg.max_per_img = 20, 10
    model = MODELS.build(cfg)
    inputs = random_inputs()
    loss, _ = model.parse_losses(model(**model.data_preprocessor(inputs, training=True), mode='loss'))
    loss.backward()
    assert loss.isfinite()
    model.eval()
    with torch.no_grad():
        found = model(**model.data_preprocessor(inputs), mode='predict')[0].pred_instances
    assert len(found) == 10


def test_soft_nms_in_a_test_cfg(mmdet):
    model = build(CONFIGS[0]).eval()
    counts = []
    for kind in ('nms', 'soft_nms'):
        model.bbox_head.test_cfg.nms = ConfigDict(type=kind, iou_threshold=0.3)
        with torch.no_grad():
            counts.append(len(model(**model.data_preprocessor(random_inputs()), mode='predict')[0].pred_instances))
    assert 0 < counts[0] < counts[1]  # soft-NMS lowers scores instead of dropping boxes


def test_training_under_autocast(mmdet):
    model = build('mask_rcnn/mask-rcnn_r50_fpn_1x_coco.py')
    data = model.data_preprocessor(random_inputs(), training=True)
    with torch.autocast('cpu', dtype=torch.bfloat16):
        loss, _ = model.parse_losses(model(**data, mode='loss'))
    loss.backward()
    assert loss.isfinite()
    assert model.roi_head.mask_head.convs[0].conv.weight.grad.any()


def test_the_focal_loss_of_gpus_equals_the_one_of_cpus(mmdet):
    from mmdet.models.losses.focal_loss import py_sigmoid_focal_loss, sigmoid_focal_loss

    torch.manual_seed(0)
    logits = (3 * torch.randn(6, 4, dtype=torch.float64)).requires_grad_()
    target = torch.tensor([0, 3, 4, 4, 2, 1])  # 4 is the background
    weight = torch.tensor([1.0, 0, 2, 1, 1, 3], dtype=torch.float64)
    one_hot = torch.nn.functional.one_hot(target, 5)[:, :4]
    gpu = sigmoid_focal_loss(logits, target, weight, avg_factor=3.0)
    cpu = py_sigmoid_focal_loss(logits, one_hot, weight, avg_factor=3.0)
    torch.testing.assert_close(gpu, cpu)
    torch.testing.assert_close(*(torch.autograd.grad(loss, logits)[0] for loss in (gpu, cpu)))
