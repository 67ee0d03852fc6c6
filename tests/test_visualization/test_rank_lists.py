"""Rank lists: what they hold, their order, and what is drawn."""

import numpy as np
import pytest
import torch

from vlprompt.evaluation import euclidean_rows
from vlprompt.evaluation.ranking import Descriptors
from vlprompt.visualization import draw_rank_lists, rank_lists
from vlprompt.visualization.predictions import NEUTRAL, RIGHT, WRONG
from vlprompt.visualization.rank_lists import FRAME, GAP, HEIGHT, LINE


@pytest.fixture
def lists():
    """Points on a line; query 0 finds its identity late, query 1 at once, query 2 not at all."""
    query = Descriptors(torch.tensor([[0.0], [10.0], [5.0]]), torch.tensor([1, 2, 3]), torch.tensor([0, 0, 0]))
    gallery = Descriptors(
        torch.tensor([[0.5], [1.0], [2.0], [9.0]]), torch.tensor([1, 2, 1, 2]), torch.tensor([0, 1, 1, 1])
    )
    rows = euclidean_rows(query.features, gallery.features, normalize=False)
    return rank_lists(rows, query, gallery, k=3), rank_lists(rows, query, gallery, k=9, remove_same_camera=False)


def test_worst_first_and_without_the_own_camera(lists):
    removed, kept = lists
    assert [ranked.query for ranked in removed] == [0, 1]
    first, second = removed
    assert first.gallery.tolist() == [1, 2, 3], 'image 0 has identity and camera of the query'
    assert first.right.tolist() == [False, True, False]
    assert first.ap == pytest.approx(0.5)
    assert first.distances.tolist() == [1, 4, 81]
    assert second.gallery.tolist() == [3, 2, 1]
    assert second.ap == pytest.approx((1 + 2 / 3) / 2)
    assert kept[0].gallery.tolist() == [0, 1, 2, 3]
    assert kept[0].ap == pytest.approx((1 + 2 / 3) / 2)


def test_frames_say_what_is_right(lists):
    image = np.full((40, 20, 3), 200, np.uint8)
    picture = np.asarray(
        draw_rank_lists(
            [(ranked, image, [image] * len(ranked.gallery)) for ranked in lists[0]],
            [('query', list('abc'))] * 2,
            title='two queries',
        )
    )
    width = HEIGHT // 2 + 2 * FRAME + GAP
    for row, right in enumerate(([False, True, False], [True, False, True])):
        top = LINE + GAP + GAP + row * (HEIGHT + 2 * FRAME + LINE + GAP)
        for column, colour in enumerate([NEUTRAL, *(RIGHT if flag else WRONG for flag in right)]):
            left = GAP + column * width + (2 * GAP if column else 0)
            assert '#' + bytes(picture[top + 1, left + 1]).hex() == colour
            assert (picture[top + HEIGHT // 2, left + FRAME + 10] == 200).all()


def test_no_query_that_can_be_answered():
    image = Descriptors(torch.zeros(1, 1), torch.tensor([1]), torch.tensor([0]))
    rows = euclidean_rows(image.features, image.features, normalize=False)
    with pytest.raises(ValueError, match='--keep-same-camera'):
        rank_lists(rows, image, image)
