"""Pictures of segmentations and score maps."""

import numpy as np
import pytest
import torch

from vlprompt.visualization import (
    Segmentation,
    blend_mask,
    draw_score_maps,
    draw_segmentation,
    fit_longest_side,
    save_figure,
)
from vlprompt.visualization.segmentation import borders

NAMES, PALETTE = ['sky', 'road', 'car'], [[0, 0, 200], [200, 0, 0], [0, 200, 0]]


@pytest.fixture
def image():
    return np.full((4, 6, 3), 100, np.uint8)


@pytest.fixture
def segmentation():
    prediction, truth = np.zeros((4, 6), np.int64), np.zeros((4, 6), np.int64)
    prediction[:, 3:] = 1
    truth[:, 4:] = 1
    truth[0] = 255
    return Segmentation(prediction, NAMES, PALETTE, truth)


def test_accuracy_counts_labelled_pixels_only(segmentation):
    assert segmentation.accuracy == pytest.approx(15 / 18)
    segmentation.truth[:] = 255
    assert segmentation.accuracy is None
    assert Segmentation(segmentation.prediction, NAMES, PALETTE).accuracy is None


def test_classes_present_and_nearest_resizing(segmentation):
    assert segmentation.present() == [0, 1]
    large = segmentation.resized((8, 12))
    assert np.array_equal(large.prediction[::2, ::2], segmentation.prediction)
    assert np.array_equal(large.truth[1::2, 1::2], segmentation.truth)
    assert segmentation.resized((2, 2)).accuracy == segmentation.accuracy, 'of all pixels, not of those that are left'


def test_blend_mixes_inside_and_paints_borders(image, segmentation):
    blended = blend_mask(image, segmentation.truth, PALETTE, weight=0.25)
    assert blended[0, 1].tolist() == [100, 100, 100]  # unlabelled
    assert blended[2, 1].tolist() == [75, 75, 125]
    assert blended[2, 3].tolist() == [0, 0, 200]  # left of the border
    assert blended[2, 5].tolist() == [125, 75, 75]


def test_borders():
    mask = np.array([[0, 0, 1], [0, 0, 1], [2, 2, 1]])
    assert borders(mask).tolist() == [[False, True, False], [True, True, False], [False, True, False]]


def test_fit_only_reduces():
    assert fit_longest_side(np.zeros((10, 20, 3), np.uint8), 40).shape == (10, 20, 3)
    assert fit_longest_side(np.zeros((100, 400, 3), np.uint8), 200).shape == (50, 200, 3)


def test_figures_hold_every_panel(image, segmentation, tmp_path):
    titles = [axes.get_title(loc='left') for axes in draw_segmentation(image, segmentation, 'a.png').axes]
    assert titles == ['image', 'prediction', 'ground truth']

    figure = draw_score_maps(image, torch.rand(5, 2, 3), list('abcde'), segmentation, 'a.png')
    titles = [axes.get_title(loc='left') for axes in figure.axes]
    assert titles[:4] == ['image', 'prediction', 'ground truth', '']
    assert [title for title in titles if title in list('abcde')] == list('abcde')
    assert figure.axes[-1].get_ylabel() == 'cosine similarity'
    assert save_figure(figure, tmp_path / 'new' / 'a.png').is_file()


@pytest.mark.parametrize('stretch', [False, True])
def test_score_maps_without_a_prediction(image, stretch, tmp_path):
    figure = draw_score_maps(image, torch.rand(1, 2, 3), ['a bus'], stretch=stretch)
    assert figure.axes[0].get_title(loc='left') == 'image'
    save_figure(figure, tmp_path / 'a.png')


def test_names_and_maps_must_match(image):
    with pytest.raises(ValueError, match='2 score maps, but 1 names'):
        draw_score_maps(image, torch.rand(2, 2, 3), ['a'])
