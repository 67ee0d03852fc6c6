"""Figures of maps of words for several models."""

import numpy as np
import pytest
import torch

from vlprompt.visualization.text_maps import MapRow, draw_text_maps

IMAGE = np.full((20, 20, 3), 100, np.uint8)


@pytest.fixture
def rows():
    """Two models, three words; the second model's scores are ten times as small."""
    scores = torch.zeros(3, 2, 4)
    scores[1, 1, 3] = 1
    return [MapRow('rn', 'native', IMAGE, scores), MapRow('vit', 'sclip', IMAGE, scores / 10)]


def panels(figure):
    """Axes with a map, in reading order."""
    return [axes for axes in figure.axes if axes.lines]


def spread(axes):
    """Largest difference of the colours within a map."""
    picture = np.asarray(axes.images[0].get_array()).astype(int)
    return np.abs(picture - picture[0, 0]).max()


@pytest.mark.parametrize('stretch', [False, True])
def test_rows_columns_and_scales(rows, stretch):
    figure = draw_text_maps(rows, ['a', 'b', 'c'], 'title', stretch)
    found = panels(figure)
    assert len(found) == 6
    bars = [axes for axes in figure.axes if axes.get_ylabel() == 'cosine similarity']
    assert len(bars) == (2 if stretch else 1)
    assert spread(found[0]) == 0, 'the same everywhere'
    first, second = spread(found[1]), spread(found[4])
    assert first > 50
    assert second == first if stretch else second < first


def test_the_best_place_is_marked(rows):
    (x,), (y,) = panels(draw_text_maps(rows, ['a', 'b', 'c']))[1].lines[0].get_data()
    assert (x, y) == (17, 14.5), 'centre of the last cell of the second row'


def test_other_numbers_of_words(rows):
    with pytest.raises(ValueError, match='2 words need as many maps in every row, there are 3, 3'):
        draw_text_maps(rows, ['a', 'b'])
    with pytest.raises(ValueError, match='no rows'):
        draw_text_maps([], ['a'])
