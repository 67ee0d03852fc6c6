"""Published sizes of DenseCLIP detectors and their baselines, counted on tensors without memory."""

import pytest
import torch
from mmengine.registry import DefaultScope

from vlprompt.engine import load_config
from vlprompt.prompts import ContextPrompt
from vlprompt.registry import MODELS

# Millions of parameters: with CLIP alone; with DenseCLIP, without and with the text tower.
PUBLISHED = {
    ('retinanet', 'r50'): (37.99, 60.45, 124.1),
    ('retinanet', 'r101'): (56.98, 78.00, 141.4),
    ('mask-rcnn', 'r50'): (44.42, 66.69, 130.4),
    ('mask-rcnn', 'r101'): (63.41, 84.24, 147.6),
}


def count(module):
    return sum(p.numel() for p in module.parameters())


def build(name):
    model = load_config(f'denseclip_det/{name}_fpn_1x_coco').model
    model.backbone.clip.weights = None
    with DefaultScope.overwrite_default_scope('mmdet'), torch.device('meta'):
        return MODELS.build(model)


@pytest.fixture(autouse=True)
def tokens_with_memory(monkeypatch):
    tokenize = ContextPrompt._tokenize

    def on_the_cpu(self, names):
        with torch.device('cpu'):
            tokenize(self, names)

    monkeypatch.setattr(ContextPrompt, '_tokenize', on_the_cpu)


@pytest.mark.parametrize('case', PUBLISHED, ids='-'.join)
def test_published_sizes(case):
    head, trunk = case
    plain, dense, with_text = PUBLISHED[case]
    assert count(build(f'{head}_clip-{trunk}')) / 1e6 == pytest.approx(plain, abs=0.01)
    model = build(f'{head}_denseclip-{trunk}')
    text = count(model.backbone.matching.text)
    assert text == {'r50': 63_657_472, 'r101': 63_395_328}[trunk]
    assert (count(model) - text) / 1e6 == pytest.approx(dense, abs=0.01)
    assert count(model) / 1e6 == pytest.approx(with_text, abs=0.06)
    pool = model.backbone.trunk.visual.attnpool
    assert pool.positional_embedding.shape == (1765, 2048)
    assert model.neck.lateral_convs[-1].conv.in_channels == 2048 + 80
    if head == 'retinanet':
        assert model.neck.fpn_convs[3].conv.in_channels == 2128
        assert (model.bbox_head.retina_cls.out_channels, model.bbox_head.retina_reg.out_channels) == (720, 36)
