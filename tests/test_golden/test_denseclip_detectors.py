"""DenseCLIP RetinaNet with RN50 against outputs of the official implementation (fp32, synthetic weights)."""

import numpy as np
import pytest
import torch
from mmdet.structures import DetDataSample
from mmengine.structures import InstanceData
from torch.nn.functional import interpolate

from tests.conftest import ROOT
from vlprompt.apis import init_model
from vlprompt.compat.official import convert
from vlprompt.compat.official.denseclip import denseclip_names
from vlprompt.engine.writing import write_checkpoint
from vlprompt.models.losses.box_text import box_counts

CONFIG = ROOT / 'configs/denseclip_det/retinanet_denseclip-r50_fpn_official_1x_coco.py'
CASE = 'denseclip/det_rn50'
SIZE = (256, 320)
TAU = 0.07


@pytest.fixture(scope='module')
def model(golden, tmp_path_factory):
    """The shipped config of the published detector with the converted checkpoint, which brings all weights."""
    path = tmp_path_factory.mktemp('denseclip') / 'official.pth'
    write_checkpoint(dict(meta={}, state_dict=convert('denseclip-det', golden.weights(CASE))), path)
    model = init_model(CONFIG, path, {'model.backbone.clip.weights': None})
    path.unlink()
    return model


@pytest.fixture(scope='module')
def case(golden):
    return golden.load(CASE)


@pytest.fixture(scope='module')
def images(golden, case):
    return golden.image_input(case[0], 'img')


def samples(case):
    meta = dict(img_shape=SIZE, pad_shape=SIZE, batch_input_shape=SIZE, ori_shape=SIZE, scale_factor=(1, 1))
    boxes, labels = ([torch.from_numpy(case[1][f'gt_{kind}.{i}']) for i in (0, 1)] for kind in ('boxes', 'labels'))
    return [
        DetDataSample(gt_instances=InstanceData(bboxes=b, labels=n), metainfo=dict(meta, img_id=i))
        for i, (b, n) in enumerate(zip(boxes, labels, strict=True))
    ]


def test_parameters(model, case):
    assert sum(p.numel() for p in model.parameters()) == case[0]['parameters'] == 124_106_068
    assert list(model.class_names) == case[0]['class_names']


def test_every_stage(golden, case, model, images):
    """Positions cropped to the image, scores divided by 0.07 in the concatenation, and mmdet's own neck and head."""
    meta, ref = case
    backbone, matching = model.backbone, model.backbone.matching
    with torch.no_grad():
        features = backbone.trunk.embed(images)
        text, matched = matching.text_features(), matching(features)
        joined = backbone(images)
        neck = model.neck(joined)
        classes, boxes = model(images, mode='tensor')
    scores = matched.scores / TAU
    found = dict(
        input=images,
        g=features.cls,
        z=features.local.transpose(1, 2).unflatten(2, features.grid),
        text_before=text,
        text_diff=matching.context_decoder(text.expand(len(images), -1, -1), matching.memory(features)),
        text_after=matched.text,
        score_map3=scores,
        score_map0=interpolate(scores, size=(64, 80), mode='bilinear', align_corners=False),
        concat=joined[3],
    )
    for name, maps in (('map', features.maps), ('fpn', neck), ('head_cls', classes), ('head_reg', boxes)):
        found |= {f'{name}{level}': value for level, value in enumerate(maps)}
    compared = {key for key in found if key in meta['arrays']}
    assert compared == set(found), 'a stage is not in the case'
    for key in sorted(compared):
        assert golden.rel(golden.kept(found[key], meta['arrays'][key]), ref[key]) < 1e-5, key


def test_supervised_cells(case):
    """Boxes that leave the image, that are clamped, and that truncate to no cell at all."""
    ref = case[1]
    target = torch.from_numpy(np.unpackbits(ref['seg_target']).reshape(2, 80, 64, 80)).bool()
    for index in (0, 1):
        boxes, labels = (torch.from_numpy(ref[f'gt_{kind}.{index}']) for kind in ('boxes', 'labels'))
        assert torch.equal(box_counts(boxes, labels, 80, (64, 80), 4) > 0, target[index])
    inside = np.unpackbits(ref['seg_mask']).reshape(2, 64, 80)
    assert np.array_equal(target.any(1).numpy(), inside)


def test_loss_and_gradients(golden, case, model, images):
    ref = case[1]
    model.zero_grad()
    loss = model(images, samples(case), mode='loss')['loss_pixel_text']
    assert loss.item() == pytest.approx(float(ref['loss.seg']), rel=1e-6)
    loss.backward()
    gradients = {name: p.grad for name, p in model.named_parameters()}
    official = [key.removeprefix('grad.seg.').removesuffix('.norm') for key in ref if key.endswith('.norm')]
    ours = dict(zip(official, convert_names(official), strict=True))
    assert len(official) == 5
    for name in official:
        gradient = gradients[ours[name]]
        assert gradient.norm().item() == pytest.approx(float(ref[f'grad.seg.{name}.norm']), rel=1e-3), name
        assert golden.rel(gradient.flatten()[:32], ref[f'grad.seg.{name}.head32']) < 1e-3, name
    model.zero_grad()


def convert_names(official):
    """Our names for the official ones."""
    needed = ('contexts', 'gamma', 'text_encoder.token_embedding.weight')
    state = dict.fromkeys([*official, *needed], torch.zeros(1, 8, 512))
    return list(denseclip_names(state, 'denseclip-det'))[: len(official)]
