"""Numbers of local tokens over an image: which cell lights up, with which colour."""

import numpy as np
import pytest
import torch
from matplotlib.colors import Normalize

from vlprompt.visualization.figures import shorten, to_uint8_image
from vlprompt.visualization.heatmaps import overlay_heatmap, resize_map, to_grey, to_grid


def test_tokens_are_row_major():
    grid = to_grid(torch.arange(12.0).expand(2, 12), (3, 4))
    assert grid.shape == (2, 3, 4)
    assert grid[0, 0].tolist() == [0, 1, 2, 3]
    assert grid[1, 2, 1] == 9


def test_wrong_token_count():
    with pytest.raises(ValueError, match='12 tokens do not fill a grid of 3 x 3'):
        to_grid(torch.zeros(12), (3, 3))


def test_token_1_lights_the_top_middle():
    values = torch.zeros(9)
    values[1] = 1
    heat = resize_map(to_grid(values, (3, 3)), (90, 90))
    assert np.unravel_index(heat.argmax(), heat.shape)[0] < 30
    assert heat[:15, 40:50].min() > 0.8
    assert heat[60:].max() == 0
    assert heat[10, 45] == pytest.approx(heat[10, 44])  # symmetric about the centre of the cell


def test_bilinear_values():
    """Cells keep their centres: between two centres 2 pixels apart lie a quarter and three quarters."""
    assert resize_map(torch.tensor([[0.0, 1.0]]), (1, 4))[0].tolist() == [0, 0.25, 0.75, 1]


def test_overlay_blends_colour_and_image():
    image = np.full((2, 2, 3), 100, np.uint8)
    black_to_white = overlay_heatmap(image, torch.tensor([[0.0, 1.0]] * 2), Normalize(0, 1), 'gray', weight=0.25)
    assert black_to_white[0].tolist() == [[75] * 3, [139] * 3]  # 0.75 * 100 and that + 0.25 * 255
    assert overlay_heatmap(image, torch.ones(1, 1), Normalize(0, 1), 'gray', weight=0).tolist() == image.tolist()


def test_denormalised_with_clips_given_statistics():
    mean, std = torch.tensor([0.5, 0.25, 0.0]), torch.tensor([0.5, 0.25, 1.0])
    pixels = torch.tensor([[1.0, 0.0, 2.0], [-1.0, -3.0, 0.2]]).view(2, 3, 1, 1)
    shown = to_uint8_image(pixels, mean, std.view(-1, 1, 1))
    assert shown.shape == (2, 1, 1, 3)
    assert shown[:, 0, 0].tolist() == [[255, 64, 255], [0, 0, 51]]  # clipped, never wrapped around


def test_grey():
    colours = np.array([[[255, 0, 0], [0, 255, 0], [0, 0, 255], [9, 9, 9]]], np.uint8)
    assert to_grey(colours)[0, :, 1].tolist() == [76, 150, 29, 9]


def test_shorten():
    assert shorten('sea lion', 8) == 'sea lion'
    assert shorten('sea lion', 5) == 'sea…'
