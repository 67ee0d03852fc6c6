import json
import math

import numpy as np
import pytest
import torch
from mmengine.logging import MMLogger

from vlprompt.evaluation import ShotAccuracy, shot_groups
from vlprompt.structures import ClassificationSample

# 365 classes with the group sizes of Places-LT: 131 above 100, 157 in 21..100, 6 of exactly 20, 71 below.
PLACES_LIKE = [4980] + [101] * 130 + [100] * 100 + [21] * 57 + [20] * 6 + [19] * 70 + [5]


def sizes(counts, **kwargs):
    return [len(group) for group in shot_groups(counts, **kwargs).values()]


def test_group_sizes_of_both_conventions():
    assert sizes(PLACES_LIKE) == [131, 163, 71]
    assert sizes(PLACES_LIKE, convention='lpt') == [131, 157, 77]


@pytest.mark.parametrize(
    ('ratio', 'oltr', 'lpt'),
    [
        (200, [30, 31, 39], [30, 30, 40]),
        (100, [35, 35, 30], [35, 34, 31]),
        (50, [41, 41, 18], [41, 40, 19]),
        (10, [69, 31, 0], [69, 31, 0]),
    ],
)
def test_published_groups_of_cifar100_lt(ratio, oltr, lpt):
    counts = [int(500 * ratio ** (-c / 99)) for c in range(100)]
    assert sizes(counts) == oltr
    assert sizes(counts, convention='lpt') == lpt


def test_published_accuracies_of_groups_make_the_published_overall_accuracy():
    """LPT's 50.07123 on Places-LT is the mean over classes of its groups only in its own convention."""
    groups = np.array([49.26718, 52.30573, 46.88312])
    assert math.isclose(np.average(groups, weights=sizes(PLACES_LIKE, convention='lpt')), 50.07123, abs_tol=2e-5)
    assert not math.isclose(np.average(groups, weights=sizes(PLACES_LIKE)), 50.07123, abs_tol=2e-2)


def evaluate(labels, predicted, counts, **kwargs):
    metric = ShotAccuracy(**kwargs)
    metric.dataset_meta = dict(classes=[f'class {c}' for c in range(len(counts))], cls_num_list=counts)
    samples = [
        ClassificationSample().set_gt_label(label).set_pred_label(guess).to_dict()
        for label, guess in zip(labels, predicted, strict=True)
    ]
    metric.process(None, samples)
    return metric.evaluate(len(labels))


def test_groups_average_classes_and_overall_counts_images():
    labels, counts = [0, 0, 0, 0, 1, 2, 2, 3], [300, 120, 20, 7]
    predicted = [0, 0, 0, 1, 0, 2, 3, 3]
    assert evaluate(labels, predicted, counts) == {
        'shot/overall': 100 * 5 / 8,
        'shot/many': 100 * (3 / 4 + 0) / 2,
        'shot/medium': 50.0,
        'shot/few': 100.0,
    }
    assert evaluate(labels, predicted, counts, convention='lpt') == {
        'shot/overall': 62.5,
        'shot/many': 37.5,
        'shot/few': 75.0,
    }
    assert evaluate(labels, predicted, counts, many=10, few=10)['shot/many'] == pytest.approx(100 * 1.25 / 3)


def test_the_file_holds_both_conventions_and_every_class(tmp_path):
    evaluate([0, 1, 1, 3], [0, 1, 2, 3], [300, 20, 7, 100], out_dir=str(tmp_path))
    content = json.loads((tmp_path / 'shot_accuracy.json').read_text())
    assert (content['convention'], content['many'], content['few']) == ('oltr', 100, 20)
    assert content['oltr'] == dict(
        accuracy=dict(overall=75.0, many=100.0, medium=75.0),
        pooled=dict(many=100.0, medium=pytest.approx(200 / 3)),
        classes=dict(many=1, medium=2, few=1),
    )
    assert content['lpt']['classes'] == dict(many=1, medium=1, few=2)
    assert content['lpt']['pooled'] == dict(many=100.0, medium=100.0, few=50.0)
    assert content['per_class'] == [
        dict(name='class 0', train=300, test=1, accuracy=100.0),
        dict(name='class 1', train=20, test=2, accuracy=50.0),
        dict(name='class 2', train=7, test=0, accuracy=None),
        dict(name='class 3', train=100, test=1, accuracy=100.0),
    ]


def test_the_file_lies_beside_the_log_of_a_run(tmp_path, monkeypatch):
    logger = MMLogger('shot_accuracy', log_file=str(tmp_path / 'run.log'))
    monkeypatch.setattr(MMLogger, 'get_current_instance', lambda: logger)
    evaluate([0], [0], [300])
    assert json.loads((tmp_path / 'shot_accuracy.json').read_text())['lpt']['classes'] == dict(many=1, medium=0, few=0)


def test_the_log_shows_both_conventions(monkeypatch):
    lines = []
    monkeypatch.setattr('mmengine.logging.MMLogger.info', lambda self, text, *args, **kwargs: lines.append(text))
    evaluate([0, 1], [0, 0], [300, 20])
    assert lines[-1].splitlines()[2:] == [
        'oltr          50.00 (   2)   100.00 (   1)     0.00 (   1)        - (   0) *',
        'lpt           50.00 (   2)   100.00 (   1)        - (   0)     0.00 (   1)',
        '* the one of the reported shot/... (convention of the evaluator)',
    ]


def test_scores_are_enough():
    sample = ClassificationSample().set_gt_label(1).set_pred_score(torch.tensor([0.2, 0.8]))
    metric = ShotAccuracy(cls_num_list=[5, 500])
    metric.process(None, [sample.to_dict()])
    assert metric.evaluate(1) == {'shot/overall': 100.0, 'shot/many': 100.0}


def test_errors():
    with pytest.raises(ValueError, match="convention must be 'oltr' or 'lpt', got 'mean'"):
        ShotAccuracy(convention='mean')
    with pytest.raises(ValueError, match='few=30, many=20'):
        ShotAccuracy(many=20, few=30)
    with pytest.raises(ValueError, match='do not fit 2 training counts'):
        evaluate([0, 2], [0, 0], [3, 3])
    metric = ShotAccuracy()
    metric.results = [(0, 0)]
    with pytest.raises(ValueError, match='needs the number of training images per class'):
        metric.compute_metrics(metric.results)


def test_a_score_that_is_nan_is_no_prediction():
    samples = [
        ClassificationSample().set_gt_label(0).set_pred_score(torch.tensor([0.5, score])).to_dict()
        for score in (0.5, math.nan)
    ]
    metric = ShotAccuracy()
    metric.process(None, samples[:1])
    with pytest.raises(FloatingPointError, match='a score is NaN'):
        metric.process(None, samples)
    assert metric.results == [(0, 0)]
