"""Resizing of position embeddings."""

from types import SimpleNamespace

import pytest
import torch
import torch.nn.functional as F
from open_clip.model import resize_pos_embed
from torch import nn

from vlprompt.clip.position import resize_position_embedding


def open_clip_resized(positions: torch.Tensor, target: tuple[int, int]) -> torch.Tensor:
    state = {'visual.positional_embedding': positions.clone()}
    visual = nn.Module()
    visual.grid_size = target
    resize_pos_embed(state, SimpleNamespace(visual=visual))
    return state['visual.positional_embedding']


@pytest.mark.parametrize('target', [(4, 4), (14, 14), (5, 9), (16, 8)])
def test_bicubic_is_open_clips(seeded, target):
    positions = torch.randn(1 + 7 * 7, 6)
    torch.testing.assert_close(
        resize_position_embedding(positions, (7, 7), target), open_clip_resized(positions, target)
    )


def test_bilinear_is_plain_interpolation(seeded):
    positions = torch.randn(1 + 6, 5)
    out = resize_position_embedding(positions, (2, 3), (4, 3), 'bilinear')
    grid = F.interpolate(positions[1:].reshape(1, 2, 3, 5).permute(0, 3, 1, 2), size=(4, 3), mode='bilinear')
    assert out[0].equal(positions[0])
    torch.testing.assert_close(out[1:], grid[0].permute(1, 2, 0).reshape(12, 5))


def test_crop_is_the_upper_left_part():
    positions = torch.arange(1 + 12.0)[:, None]
    out = resize_position_embedding(positions, (3, 4), (2, 3), 'crop')
    assert out.flatten().tolist() == [0, 1, 2, 3, 5, 6, 7]


def test_legacy_bicubic_samples_with_a_scale_a_little_too_large(seeded):
    """Cell i of n' reads the place (i + 0.5) n / (n' + 0.1) - 0.5."""
    positions, target = torch.randn(1 + 12, 5), (6, 3)
    out = resize_position_embedding(positions, (4, 3), target, 'bicubic_legacy')
    places = [(torch.arange(new) + 0.5) * old / (new + 0.1) - 0.5 for new, old in zip(target, (4, 3), strict=True)]
    y, x = (2 * place / (old - 1) - 1 for place, old in zip(places, (4, 3), strict=True))
    where = torch.stack(torch.meshgrid(y, x, indexing='ij')[::-1], -1)[None]
    grid = positions[1:].T.reshape(1, 5, 4, 3)
    expected = F.grid_sample(grid, where, 'bicubic', padding_mode='border', align_corners=True)
    assert out[0].equal(positions[0])
    torch.testing.assert_close(out[1:], expected[0].flatten(1).T, rtol=1e-4, atol=1e-5)
    assert not out.allclose(resize_position_embedding(positions, (4, 3), target), atol=0.05)


def test_same_grid_is_untouched():
    positions = torch.randn(5, 3)
    assert resize_position_embedding(positions, (2, 2), (2, 2)) is positions


def test_gradient_reaches_the_embedding():
    positions = torch.randn(5, 3, requires_grad=True)
    resize_position_embedding(positions, (2, 2), (3, 4)).sum().backward()
    torch.testing.assert_close(positions.grad.sum(), torch.tensor(13.0 * 3))


def test_dtype_is_kept():
    assert resize_position_embedding(torch.randn(5, 3).half(), (2, 2), (3, 3)).dtype == torch.float16


@pytest.mark.parametrize(
    ('kwargs', 'message'),
    [
        (dict(source=(2, 3), target=(2, 2)), 'do not belong to a 2x3 grid'),
        (dict(source=(2, 2), target=(3, 3), mode='nearest'), 'bicubic'),
        (dict(source=(2, 2), target=(2, 3), mode='crop'), "up to 2x2, the image has 2x3.*interpolation='bilinear'"),
    ],
)
def test_errors(kwargs, message):
    with pytest.raises(ValueError, match=message):
        resize_position_embedding(torch.zeros(5, 3), **kwargs)
