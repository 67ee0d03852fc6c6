"""Figures of transport plans."""

import sys

import matplotlib
import numpy as np
import pytest
import torch
from PIL import Image

from vlprompt.alignment import Alignment
from vlprompt.visualization.figures import save_figure
from vlprompt.visualization.transport_plans import (
    ClassPlan,
    class_plans,
    deviation_limit,
    draw_transport_plans,
    plan_norm,
    relative_plan,
    stretched_plan,
)

UNIFORM = torch.full((4, 2), 1 / 8)
SKEWED = torch.tensor([[0.25, 0], [0.25, 0], [0, 0.25], [0, 0.25]])


def test_relative_plan():
    assert relative_plan(UNIFORM).eq(1).all()
    assert relative_plan(SKEWED).tolist() == [[2, 0], [2, 0], [0, 2], [0, 2]]


def test_common_scale():
    assert deviation_limit([UNIFORM]) == pytest.approx(0.1)  # rounding is not blown up to full colour
    assert deviation_limit([UNIFORM, SKEWED]) == 1
    assert [plan_norm(0.2)(v) for v in (0.8, 1, 1.1, 1.2)] == pytest.approx([0, 0.5, 0.75, 1])
    assert [plan_norm(3)(v) for v in (0, 1, 2.5, 4)] == pytest.approx([0, 0.5, 0.75, 1])


def test_stretched_plan():
    plan = torch.tensor([[0.1, 0.25], [0.3, 0.25], [0.2, 0.25 + 1e-7], [0.1, 0.25]])
    assert stretched_plan(plan)[:, 0].tolist() == pytest.approx([0, 1, 0.5, 0])
    assert stretched_plan(plan)[:, 1].eq(0).all()  # rounding only


@pytest.fixture
def aligned():
    """Two images, three classes; the scores of image 1 rank the classes 2, 0, 1."""
    logits = torch.tensor([[0.0, 0, 0], [1, 0, 3]])
    plans = torch.stack([UNIFORM, SKEWED, UNIFORM]).expand(2, -1, -1, -1)
    maps = torch.arange(24.0).view(2, 3, 2, 2)
    return Alignment(logits, maps, plans)


def test_rows_are_the_likely_classes_and_the_true_one(aligned):
    names = ['sea_lion', 'owl', 'cat']
    rows = class_plans(aligned, 1, names, true=1, top_k=1)
    assert [(row.name, row.note) for row in rows] == [('cat', 'predicted'), ('owl', 'true, rank 3')]
    assert [row.name for row in class_plans(aligned, 1, names, true=2, top_k=2)] == ['cat', 'sea lion']
    (row,) = class_plans(aligned, 1, names, asked=[1])
    assert row.plan.equal(SKEWED)
    assert row.similarity.tolist() == [[16, 17], [18, 19]]
    assert row.score == pytest.approx(1 / (1 + np.e + np.e**3))
    assert row.numbers == 'score 4.2 %   entropy 0.6667   off uniform 50.0 %'  # log 4 / log 8
    assert row.prompt_deviations == pytest.approx([0.5, 0.5])


@pytest.mark.parametrize('stretch', [False, True])
def test_figure(tmp_path, stretch):
    before = repr(matplotlib.rcParams), 'matplotlib.pyplot' in sys.modules
    image = np.full((16, 16, 3), 128, np.uint8)
    rows = [ClassPlan('cat', 0.9, SKEWED, torch.zeros(2, 2), 'true'), ClassPlan('owl', 0.1, UNIFORM, torch.ones(2, 2))]
    figure = draw_transport_plans(image, rows, 'cat.png', stretch=stretch)
    assert len(figure.axes) == 2 * (2 + 2) + 2  # panels and two colour bars
    top = np.asarray(figure.axes[2].images[0].get_array()).astype(int)  # first class, first prompt: mass above
    assert top[2, 8, 0] - top[2, 8, 2] > 20  # more red than blue
    assert top[-2, 8, 2] - top[-2, 8, 0] > 0
    with Image.open(save_figure(figure, tmp_path / 'new' / 'plan.png')) as picture:
        assert picture.width > 600
    assert (repr(matplotlib.rcParams), 'matplotlib.pyplot' in sys.modules) == before


def test_one_scale_for_several_figures():
    image = np.zeros((4, 4, 3), np.uint8)
    row = ClassPlan('cat', 1.0, UNIFORM, torch.zeros(2, 2))
    assert draw_transport_plans(image, [row], limit=1.0).axes[-1].get_ylim() == (0, 2)
    assert draw_transport_plans(image, [row]).axes[-1].get_ylim() == pytest.approx((0.9, 1.1))
