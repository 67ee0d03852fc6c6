"""DenseCLIP RN50 segmentation against outputs of the official implementation (fp32, synthetic weights)."""

import numpy as np
import pytest
import torch
from mmengine.structures import PixelData

from tests.conftest import ROOT
from vlprompt.apis import init_model
from vlprompt.clip.text.tokenizer import tokenize
from vlprompt.compat.official import convert
from vlprompt.engine.writing import write_checkpoint

CONFIG = ROOT / 'configs/denseclip/denseclip_r50_fpn_80k_ade20k-512x512.py'
CASE, LOSS_CASE = 'denseclip/seg_rn50', 'denseclip/seg_rn50_loss'
LOGITS = ('head_logits', 'encode_decode')


@pytest.fixture(scope='module')
def model(golden, tmp_path_factory):
    """The shipped config with the converted official checkpoint, which brings all weights."""
    path = tmp_path_factory.mktemp('denseclip') / 'official.pth'
    write_checkpoint(dict(meta={}, state_dict=convert('denseclip-seg', golden.weights(CASE))), path)
    model = init_model(CONFIG, path, {'model.backbone.clip.weights': None, 'model.frozen': []})
    path.unlink()
    return model


@pytest.fixture(scope='module')
def case(golden):
    return golden.load(CASE)


def compare(golden, case, key, value, tolerance):
    meta, ref = case
    kept = golden.kept(value, meta['arrays'][key])
    assert golden.rel(kept, ref[key]) < tolerance, key


def test_tokens_of_ade20k_and_coco(golden):
    meta, ref = golden.load('denseclip/tokenizer')
    for dataset in ('ade', 'coco'):
        assert np.array_equal(tokenize(meta[f'{dataset}_names'], 5).numpy(), ref[dataset])


def test_parameters(model, case):
    assert sum(p.numel() for p in model.parameters()) == case[0]['parameters'] == 113_905_910
    assert [name.strip() for name in model.class_names] == [name.strip() for name in case[0]['class_names']]


@pytest.mark.parametrize('name', ['a', 'b', 'odd', 'plain'])
def test_every_stage(golden, case, model, name):
    images = golden.image_input(case[0], name)
    compare(golden, case, f'{name}.input', images, 1e-6)
    backbone, matching = model.backbone, model.backbone.matching
    with torch.no_grad():
        features = backbone.trunk.embed(images)
        text = matching.text_features()
        matched = matching(features)
        concat = backbone.score_concat(features.maps, matched.scores)
        neck = model.neck(concat)
        logits = model.decode_head(neck)
        found = {f'map{i}': m for i, m in enumerate(features.maps)} | {f'fpn{i}': m for i, m in enumerate(neck)}
        found |= dict(
            g=features.cls,
            z=features.local.transpose(1, 2).unflatten(2, features.grid),
            text_diff=matching.context_decoder(text.expand(len(images), -1, -1), matching.memory(features)),
            text_after=matched.text,
            score_map=model.score_map(images),
            concat=concat[3],
            head_logits=model(images, mode='tensor'),
            encode_decode=model.encode_decode(images, [dict(img_shape=images.shape[2:])]),
        )
    assert torch.equal(logits, found['head_logits'])
    compare(golden, case, 'text_before', text, 1e-5)
    stored = [key.removeprefix(f'{name}.') for key in case[0]['arrays'] if key.startswith(f'{name}.')]
    for key in stored:
        if key in found:
            compare(golden, case, f'{name}.{key}', found[key], 5e-5 if key in LOGITS else 1e-5)


def test_slide_inference(golden, case, model, monkeypatch):
    images = golden.image_input(case[0], 'slide')
    monkeypatch.setattr(model, 'test_cfg', model.test_cfg | dict(crop_size=(128, 128), stride=(85, 85)))
    calls = []
    encode = model.backbone.matching.prompt.encode
    monkeypatch.setattr(model.backbone.matching.prompt, 'encode', lambda text: calls.append(1) or encode(text))
    model.eval()
    with torch.no_grad():
        (sample,) = model(images, mode='predict')
    logits = sample.seg_logits.data[None]
    compare(golden, case, 'slide.logits', logits, 5e-5)
    compare(golden, case, 'slide.prob', logits.softmax(1), 5e-5)
    assert np.array_equal(sample.pred_sem_seg.data.numpy(), case[1]['slide.argmax'])
    assert len(calls) == 1, 'the text tower ran for more than one window'


def test_losses_and_gradients(golden, model):
    """Losses, and gradients of both terms with respect to all 438 parameters, in eval mode as officially computed."""
    from mmseg.structures import SegDataSample

    meta, ref = golden.load(LOSS_CASE)
    images = golden.image_input(meta, 'img')
    labels = torch.from_numpy(ref['label']).long()
    samples = [SegDataSample(gt_sem_seg=PixelData(data=label)) for label in labels]
    model.zero_grad()
    losses = model(images, samples, mode='loss')
    assert losses['decode.loss_ce'].item() == pytest.approx(float(ref['loss.decode.loss_ce']), rel=1e-5)
    assert losses['pixel_text.loss_ce'].item() == pytest.approx(float(ref['loss.aux_identity.loss_ce']), rel=1e-5)
    labelled = (labels != 255).float().mean().item()  # mmseg 0.19 divided the accuracy by all pixels
    assert losses['decode.acc_seg'].item() * labelled == pytest.approx(float(ref['loss.decode.acc_seg']), rel=1e-4)
    assert losses['pixel_text.acc_seg'].item() * labelled == pytest.approx(
        float(ref['loss.aux_identity.acc_seg']), rel=1e-4
    )
    (losses['decode.loss_ce'] + losses['pixel_text.loss_ce']).backward()
    names = list(convert('denseclip-seg', dict.fromkeys(meta['grad_names'], torch.zeros(1, 8, 512))))
    gradients = {name: p.grad for name, p in model.named_parameters()}
    norms = torch.tensor([gradients[name].norm() for name in names], dtype=torch.float64)
    expected = torch.from_numpy(ref['gradnorm.total'])
    # Its true gradient is zero: softmax does not see what all keys have in common.
    mask = torch.tensor([name != 'backbone.trunk.visual.attnpool.k_proj.bias' for name in names])
    assert ((norms - expected).abs() / expected)[mask].max() < 1e-3
    for official, name in zip(meta['grad_names'], names, strict=True):
        key = f'grad.total.{official}'
        if key in meta['arrays'] and official != 'backbone.attnpool.k_proj.bias':
            assert golden.rel(golden.kept(gradients[name], meta['arrays'][key]), ref[key]) < 1e-3, name
    model.zero_grad()
