"""Pictures of predictions, and the hook that writes them."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch

from tests.conftest import Images
from vlprompt.engine import PredictionImageHook
from vlprompt.structures import ClassificationSample
from vlprompt.visualization.predictions import MARGIN, NEUTRAL, PANEL_WIDTH, RIGHT, WRONG, draw_prediction

NAMES = ['cat', 'owl', 'sea lion']
IMAGE = np.full((32, 32, 3), 7, np.uint8)


def bars(picture):
    """(colour, length in pixels) of the bars, from the top."""
    pixels = np.asarray(picture)[:, -PANEL_WIDTH:]
    found = []
    for row in pixels[::1]:
        for colour in (RIGHT, WRONG, NEUTRAL):
            rgb = [int(colour[i : i + 2], 16) for i in (1, 3, 5)]
            length = int((row == rgb).all(-1).sum())
            if length > 60 and (not found or found[-1] != (colour, length)):
                found.append((colour, length))
    return found


@pytest.mark.parametrize(('true', 'colours'), [(0, [RIGHT, NEUTRAL]), (1, [WRONG, RIGHT]), (None, [NEUTRAL, NEUTRAL])])
def test_bars(true, colours):
    picture = draw_prediction(IMAGE, torch.tensor([0.6, 0.3, 0.1]), NAMES, true, top_k=2)
    (first, long), (second, short) = bars(picture)
    assert [first, second] == colours
    assert long / short == pytest.approx(2, abs=0.05)
    assert np.asarray(picture)[5, 5].tolist() == [7, 7, 7]
    score_of_a_bar = np.asarray(picture)[MARGIN : MARGIN + 16, -PANEL_WIDTH // 4 :]  # where a headline has no words
    assert (score_of_a_bar.min() < 255) == (true is None)


def test_a_true_class_of_low_score_is_shown():
    assert bars(draw_prediction(IMAGE, torch.tensor([0.4, 0.35, 0.25]), NAMES, true=2, top_k=2))[1][0] == RIGHT


def test_scores_must_fit():
    with pytest.raises(ValueError, match=r'scores \(2,\) do not fit 3 class names'):
        draw_prediction(IMAGE, torch.zeros(2), NAMES)


def test_hook_sorts_into_right_and_wrong(tmp_path):
    runner = SimpleNamespace(test_dataloader=SimpleNamespace(dataset=Images(3, classes=NAMES)), world_size=1, rank=0)
    samples = [
        ClassificationSample(metainfo=dict(img_path=f'/x/{i}.jpg')).set_pred_score(torch.tensor([0.1, 0.2, 0.7]))
        for i in range(4)
    ]
    samples[0].set_gt_label(2)
    samples[1].set_gt_label(0)
    hook = PredictionImageHook(tmp_path)
    hook.before_test(runner)
    hook.after_test_iter(runner, 0, dict(inputs=torch.zeros(3, 3, 8, 8, dtype=torch.uint8)), samples[:3])
    written = sorted(str(path.relative_to(tmp_path)) for path in tmp_path.rglob('*.png'))
    assert written == ['right/000000_0.png', 'unlabelled/000002_2.png', 'wrong/000001_1.png']


def test_hook_draws_no_image_twice(tmp_path):
    """The second of two processes has images 1 and 3 of three: the first once more, to fill up."""
    runner = SimpleNamespace(test_dataloader=SimpleNamespace(dataset=Images(3, classes=NAMES)), world_size=2, rank=1)
    samples = [
        ClassificationSample(metainfo=dict(img_path=f'/x/{i}.jpg')).set_pred_score(torch.ones(3)) for i in (1, 0)
    ]
    hook = PredictionImageHook(tmp_path)
    hook.before_test(runner)
    hook.after_test_iter(runner, 0, dict(inputs=torch.zeros(2, 3, 8, 8, dtype=torch.uint8)), samples)
    assert [path.name for path in tmp_path.rglob('*.png')] == ['000001_1.png']
