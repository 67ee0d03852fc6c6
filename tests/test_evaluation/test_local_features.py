"""Measures of local features on a picture of 4 x 4 pixels and 2 x 2 cells whose answers are counted by hand."""

import math

import pytest
import torch

from vlprompt.evaluation.local_features import (
    UNNAMED,
    LocalFeatureMeasures,
    best_names,
    cell_shares,
    margins,
    mass_inside,
    points_at,
    spread_of_prompts,
)

GRID = (2, 2)
U = UNNAMED
# Name 0 fills the upper left cell and a quarter of the upper right one; name 1 covers half of the lower left cell.
MASK = torch.tensor([[0, 0, 0, U], [0, 0, U, U], [1, 1, U, U], [U, U, U, U]])
SCORES = torch.tensor([[0.5, 0.1, 0.0], [0.2, 0.3, 0.1], [0.1, 0.0, 0.2], [0.6, 0.4, 0.2]])


def measured(scores=SCORES, mask=MASK, plan=None):
    measures = LocalFeatureMeasures(scores.shape[1])
    measures.add(scores, mask, GRID, plan)
    return measures.result()


def test_shares_of_cells():
    assert cell_shares(MASK, GRID, 3).tolist() == [[1, 0, 0], [0.25, 0, 0], [0, 0.5, 0], [0, 0, 0]]
    wide = cell_shares(MASK, (1, 2), 2)
    assert wide.tolist() == [[0.5, 0.25], [0.125, 0]]


def test_shares_of_cells_that_do_not_fit():
    with pytest.raises(ValueError, match='4 x 4 pixels has no equal cells on a grid of 3 x 2'):
        cell_shares(MASK, (3, 2), 2)
    with pytest.raises(ValueError, match='ids 0 to 1, but there are 1 names'):
        cell_shares(MASK, GRID, 1)


def test_margins_compare_with_the_mean_text():
    torch.testing.assert_close(margins(SCORES)[0], torch.tensor([0.3, -0.1, -0.2]))


def test_pointing_asks_for_a_quarter_of_the_cell():
    shares = cell_shares(MASK, GRID, 3)
    assert not points_at(SCORES[:, 0], shares[:, 0]), 'cell 3 is best'
    assert points_at(torch.tensor([0.1, 0.9, 0.2, 0.3]), shares[:, 0]), 'a quarter of cell 1'
    assert not points_at(torch.tensor([0.9, 0.1, 0.2, 0.3]), shares[:, 1])


def test_every_measure():
    found = measured()
    # The mean scores are (0.35, 0.2, 0.125): name 0, which is there. Best names by cell: 0, 1, 2, 0.
    assert found['pooled'] == 100
    assert found['cells'] == pytest.approx(100 * (2 + 1) / 8)
    assert found['cells_inside'] == 50, 'cell 0 is right for name 0, cell 2 wrong for name 1'
    assert found['margin_in'] == pytest.approx((0.3 + (0 - 0.1)) / 2, abs=1e-6)
    outside = [0.0, 0.0, 0.2] + [0.1 - 0.2, 0.3 - 0.2, 0.4 - 0.4]
    assert found['margin_out'] == pytest.approx(sum(outside) / 6, abs=1e-6)
    assert found['pointing'] == 0, 'both names point to cell 3'
    assert found['pointing_chance'] == pytest.approx(100 * (2 / 4 + 1 / 4) / 2)
    assert 'mass_in_object' not in found


def test_pooled_is_wrong_if_the_name_is_not_there():
    assert measured(SCORES[:, [2, 1, 0]])['pooled'] == 0


def test_objects_too_small_to_point_at_are_left_out():
    mask = torch.full((4, 4), U)
    mask[0, 0] = mask[0, 1] = 0
    mask[0, 2] = 1
    found = measured(mask=mask.repeat_interleave(2, 0).repeat_interleave(2, 1), scores=SCORES)
    assert found['pointing_chance'] == pytest.approx(25), 'name 0 covers half of a cell, name 1 a quarter'
    mask[0, 2] = U
    large = mask.repeat_interleave(4, 0).repeat_interleave(4, 1)
    large[0, 15] = 1
    assert measured(mask=large)['pointing_chance'] == pytest.approx(25), 'one pixel of name 1 cannot be pointed at'


def test_miou_of_the_best_names():
    perfect = torch.tensor([[1.0, 0, 0], [1.0, 0, 0], [0, 1.0, 0], [0, 0, 1.0]])
    mask = torch.tensor([[0, 0, 0, 0], [0, 0, 0, 0], [1, 1, U, U], [1, 1, U, U]])
    assert best_names(perfect, GRID, (4, 4))[0].tolist() == [0, 0, 0, 0]
    assert measured(perfect, mask)['miou'] == 100
    # Cells (0, 0), (0, 1) are found as name 1: of name 0 nothing is right, of name 1 four of twelve.
    assert measured(perfect[[2, 2, 2, 2]], mask)['miou'] == pytest.approx(100 * (0 + 4 / 12) / 2)
    measures = LocalFeatureMeasures(3)  # unions are over all images, not means of images
    measures.add(perfect, mask, GRID)
    measures.add(perfect[[2, 2, 2, 2]], mask, GRID)
    assert measures.result()['miou'] == pytest.approx(100 * (8 / 16 + 8 / 16) / 2)


def test_mass_of_a_plan():
    uniform = torch.full((3, 4, 2), 1 / 8)
    assert measured(plan=uniform)['mass_in_object'] == pytest.approx(1)
    assert measured(plan=uniform)['best_prompt'] == pytest.approx(1)
    assert measured(plan=uniform)['plan_spread'] == pytest.approx(1)
    plan = torch.zeros(3, 4, 2)
    plan[0, 0] = 0.5  # all mass of name 0 in cell 0, which it fills
    plan[1, 2, 0] = 0.5  # half of that of name 1 in cell 2, of which it covers half
    plan[1, :, 1] = 0.125  # and half of it everywhere
    found = measured(plan=plan)
    area = (1.25 / 4 + 0.5 / 4) / 2
    inside = (1 + 0.5 * 0.5 + 0.125 * 0.5) / 2
    assert found['mass_in_object'] == pytest.approx(inside / area)
    best = (1 + 0.5) / 2  # both prompts of name 0; of name 1 the first, half of whose cell is the object
    assert found['best_prompt'] == pytest.approx(best / area)
    assert found['plan_spread'] == pytest.approx((0 + (0 + 1) / 2) / 2)


def test_mass_and_spread_of_one_plan():
    plan = torch.tensor([[0.25, 0.0], [0.25, 0.0], [0.0, 0.5], [0.0, 0.0]])
    assert mass_inside(plan, torch.tensor([1, 0.5, 0, 0])) == pytest.approx((0.375, 0.75))
    torch.testing.assert_close(spread_of_prompts(plan), torch.tensor([math.log(2) / math.log(4), 0]))
    assert spread_of_prompts(torch.ones(1, 2) / 2).tolist() == [1, 1]


def test_images_without_objects_do_not_count():
    measures = LocalFeatureMeasures(3)
    measures.add(SCORES, torch.full((4, 4), U), GRID)
    with pytest.raises(ValueError, match='no image holds a named object'):
        measures.result()
    measures.add(SCORES, MASK, GRID)
    assert (measures.images, measures.items) == (1, 2)
    assert measures.result() == measured()
