"""Score maps against a cosine written out pixel by pixel."""

import pytest
import torch
import torch.nn.functional as F

from vlprompt.alignment import score_map

Z = torch.randn(2, 6, 3, 4, generator=torch.Generator().manual_seed(0))
TEXT = torch.randn(2, 5, 6, generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize('text', [TEXT, TEXT[:1]], ids=['per-image', 'shared'])
def test_is_the_cosine_of_pixel_and_class(text):
    scores = score_map(Z, text)
    assert scores.shape == (2, 5, 3, 4)
    for b in range(2):
        for k in range(5):
            for y in range(3):
                for x in range(4):
                    expected = F.cosine_similarity(Z[b, :, y, x], text[min(b, len(text) - 1), k], dim=0)
                    torch.testing.assert_close(scores[b, k, y, x], expected)


def test_stays_in_full_precision_under_autocast():
    with torch.autocast('cpu', dtype=torch.bfloat16):
        scores = score_map(Z.bfloat16(), TEXT)
    assert scores.dtype == torch.float32
    torch.testing.assert_close(scores, score_map(Z.bfloat16().float(), TEXT))


def test_shapes_that_do_not_belong_together_are_named():
    with pytest.raises(ValueError, match=r'\(2, 6, 3, 4\)'):
        score_map(Z, TEXT[..., :4])
