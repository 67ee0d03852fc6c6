"""mmseg's decode heads with the ops of :mod:`vlprompt.compat.mmcv_ops`: scores and gradients."""

import pytest
import torch

HEADS = {
    'PSAHead': dict(mask_size=(5, 5), psa_type='bi-direction', compact=False, psa_softmax=False),
    'CCHead': dict(recurrence=2),
}

pytestmark = pytest.mark.slow  # mmseg takes seconds to import


@pytest.mark.parametrize('kind', HEADS)
def test_scores_and_gradients(kind, seeded):
    from mmseg.models import decode_heads

    parts = dict(norm_cfg=dict(type='BN'), loss_decode=dict(type='mmseg.CrossEntropyLoss'))  # in any default scope
    head = getattr(decode_heads, kind)(in_channels=8, channels=8, num_classes=3, **parts, **HEADS[kind])
    features = torch.randn(2, 8, 5, 5, requires_grad=True)
    scores = head([features])
    assert scores.shape[:2] == (2, 3)
    scores.square().sum().backward()
    assert features.grad.isfinite().all()
    assert features.grad.any(dim=1).all()
