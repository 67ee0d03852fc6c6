"""Training steps under autocast: what stays in float32, and how far losses are from those of float32."""

import pytest
import torch

from tests.test_fake_gpu import ALL, built, is_trained, training_batch
from vlprompt.alignment import CosineAlignment, TransportAlignment
from vlprompt.clip import ClipFeatures


@pytest.mark.parametrize('name', [name for name in ALL if is_trained(name)])
def test_losses_in_bfloat16(name):
    """In float32 themselves, and close to those of a step in float32."""
    model, state = built(name).train(), {k: v.clone() for k, v in built(name).state_dict().items()}
    torch.manual_seed(0)
    images, samples = training_batch(model, name, torch.clone)
    steps = []
    for enabled in (False, True):
        model.load_state_dict(state)  # batch statistics and memories move
        torch.manual_seed(1)
        with torch.no_grad(), torch.autocast('cpu', torch.bfloat16, enabled):
            steps.append({k: v for k, v in model(images, samples, mode='loss').items() if 'loss' in k})
    exact, half = steps
    for term, value in half.items():
        assert value.dtype == torch.float32, term
        torch.testing.assert_close(value, exact[term], rtol=0.05, atol=0.05, msg=lambda text, t=term: f'{t}: {text}')
    model.load_state_dict(state)


@pytest.mark.parametrize('alignment', [CosineAlignment(), CosineAlignment('logits'), TransportAlignment()])
def test_alignments_are_in_float32(alignment):
    """The logit scale multiplies what is not rounded."""
    torch.manual_seed(0)
    text, scale = torch.randn(2, 5, 24, dtype=torch.bfloat16), torch.tensor(100.0)
    cls, local = torch.randn(3, 24, dtype=torch.bfloat16), torch.randn(3, 4, 24, dtype=torch.bfloat16)
    exact = alignment(ClipFeatures(cls.float(), local.float(), (), (2, 2)), text.float(), scale).logits
    with torch.autocast('cpu', torch.bfloat16):
        logits = alignment(ClipFeatures(cls, local, (), (2, 2)), text, scale).logits
    assert logits.dtype == torch.float32
    assert torch.equal(logits, exact)
