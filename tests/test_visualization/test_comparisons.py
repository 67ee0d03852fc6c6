"""Two classifiers on the same images: which are chosen, and what is drawn of them."""

import numpy as np
import pytest
import torch

from vlprompt.visualization.comparisons import choose_images, draw_comparison, draw_confusions
from vlprompt.visualization.predictions import RIGHT, WRONG

NAMES = ['cat', 'owl', 'sea lion']
LABELS = torch.tensor([0, 0, 1, 2, 0, 1])
BEFORE = torch.tensor([[1, 8, 1], [2, 7, 1], [1, 8, 1], [4, 4, 2], [9, 1, 0], [6, 3, 1]]) / 10
AFTER = torch.tensor([[6, 4, 0], [9, 1, 0], [7, 2, 1], [6, 2, 2], [9, 1, 0], [1, 8, 1]]) / 10
SCORES = dict(old=BEFORE, new=AFTER)


def test_images_of_each_kind():
    """The clearest first, but one of each class before a second of any."""
    mended, broken, both = choose_images(SCORES, LABELS, 2)
    assert (mended.title, mended.images, mended.total) == ('new is right, old is wrong', (1, 5), 3)
    assert (broken.title, broken.images, broken.total) == ('old is right, new is wrong', (2,), 1)
    assert (both.title, both.images, both.total) == ('both are wrong', (3,), 1)
    assert choose_images(SCORES, LABELS, 3)[0].images == (1, 5, 0)


def test_an_empty_group():
    groups = choose_images(dict(old=AFTER[4:5], new=AFTER[4:5]), LABELS[4:5], 2)
    assert [(group.images, group.total) for group in groups] == [((), 0)] * 3
    picture = draw_comparison(groups, {}, dict(old=AFTER[4:5], new=AFTER[4:5]), LABELS[4:5], NAMES, 'nothing')
    assert min(picture.size) > 0


def test_picture_grows_with_its_images():
    images = {number: np.full((20, 30, 3), 7, np.uint8) for number in range(6)}
    drawn = [
        draw_comparison(choose_images(SCORES, LABELS, count), images, SCORES, LABELS, NAMES, 'both') for count in (1, 2)
    ]
    assert drawn[1].height > drawn[0].height
    pixels = np.asarray(drawn[0])
    for colour in (RIGHT, WRONG):
        rgb = [int(colour[i : i + 2], 16) for i in (1, 3, 5)]
        assert (pixels == rgb).all(-1).any()


def test_confusions_are_shares_of_the_true_class():
    counts = dict(old=np.array([[3, 1], [0, 2]]), new=np.array([[4, 0], [0, 2]]))
    figure = draw_confusions(counts, ['cat', 'owl'], 'confusions')
    old, new, change = (axes for axes in figure.axes if axes.images)
    assert old.images[0].get_array().tolist() == [[75, 25], [0, 100]]
    assert old.get_title(loc='left') == 'old: 87.5 % right (mean of classes)'
    assert change.images[0].get_array().tolist() == [[25, -25], [0, 0]]
    assert change.get_title(loc='left') == 'new minus old: +12.5 points'
    assert [label.get_text() for label in old.get_yticklabels()] == ['cat  1', 'owl  2']
    assert sorted(text.get_text() for text in new.texts) == ['100', '100']


def test_a_class_without_images_has_no_share():
    """Nor does it lower the mean, as in ``accuracy/class_mean``."""
    figure = draw_confusions(dict(old=np.array([[1, 1], [0, 0]]), new=np.array([[2, 0], [0, 0]])), ['cat', 'owl'])
    panels = [axes for axes in figure.axes if axes.images]
    assert panels[1].images[0].get_array().tolist() == pytest.approx(np.array([[100, 0], [0, 0]]))
    titles = [axes.get_title(loc='left') for axes in panels]
    assert [title.partition(': ')[2] for title in titles] == [
        '50.0 % right (mean of classes)',
        '100.0 % right (mean of classes)',
        '+50.0 points',
    ]
