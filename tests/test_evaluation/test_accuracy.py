import csv

import numpy as np
import pytest
import torch
from mmengine.evaluator import DumpResults, Evaluator
from mmengine.fileio import load
from mmengine.logging import MMLogger

from vlprompt.evaluation import Accuracy, BaseNewAccuracy, aggregate, harmonic_mean
from vlprompt.structures import ClassificationSample

SCORES = torch.tensor(
    [
        [0.6, 0.3, 0.1, 0.0],
        [0.1, 0.2, 0.7, 0.0],
        [0.2, 0.5, 0.3, 0.0],
        [0.3, 0.4, 0.2, 0.1],
        [0.4, 0.1, 0.4, 0.1],
    ]
)
LABELS = torch.tensor([0, 1, 1, 2, 2])
# predictions 0 2 1 1 0 (the tie goes to class 0); ranks of the truth 1 2 1 3 2; class 3 is never seen nor predicted
# per class: 1/1, 1/2, 0/2; F1: 2/(1+2), 2/(2+2), 0


def samples(scores=SCORES, labels=LABELS):
    return [
        ClassificationSample().set_gt_label(int(label)).set_pred_score(score)
        for score, label in zip(scores, labels, strict=True)
    ]


def evaluate(metric, data_samples, classes=('a', 'b', 'c', 'd')):
    evaluator = Evaluator([metric])
    evaluator.dataset_meta = dict(classes=list(classes))
    for i in range(0, len(data_samples), 2):
        evaluator.process(data_samples[i : i + 2], None)
    return evaluator.evaluate(len(data_samples))


def test_numbers_by_hand():
    expected = dict(top1=40.0, top2=80.0, top3=100.0, class_mean=50.0, macro_f1=100 * (2 / 3 + 0.5) / 3)
    assert Accuracy.calculate(SCORES, LABELS, topk=(1, 2, 3)) == pytest.approx(expected)
    through_evaluator = evaluate(Accuracy(topk=(1, 2, 3)), samples())
    assert through_evaluator == pytest.approx({f'accuracy/{name}': value for name, value in expected.items()})


def test_tables(tmp_path, caplog):
    MMLogger.get_instance('test_tables').propagate = True
    evaluate(Accuracy(per_class=True, out_dir=str(tmp_path / 'out')), samples())
    rows = list(csv.reader((tmp_path / 'out/confusion_matrix.csv').open()))
    assert rows[0][1:] == ['a', 'b', 'c', 'd']
    assert np.array(rows[1:])[:, 1:].astype(int).tolist() == [[1, 0, 0, 0], [0, 1, 1, 0], [1, 1, 0, 0], [0, 0, 0, 0]]
    rows = list(csv.reader((tmp_path / 'out/per_class.csv').open()))
    assert rows[1:] == [['a', '1', '1'], ['b', '2', '1'], ['c', '2', '0'], ['d', '0', '0']]


def test_impossible_input_is_an_error():
    with pytest.raises(ValueError, match=r'topk=\(5,\) is impossible with 4 classes'):
        Accuracy.calculate(SCORES, LABELS, topk=5)
    with pytest.raises(FloatingPointError, match='NaN'):
        Accuracy.calculate(SCORES.log().log(), LABELS)
    with pytest.raises(ValueError, match='labels run from 0 to 4, but there are 4 classes'):
        Accuracy.calculate(SCORES, torch.tensor([0, 1, 2, 3, 4]))
    with pytest.raises(ValueError, match='no image was evaluated'):
        Accuracy().compute_metrics([])


def test_base_and_new_are_judged_among_their_own_kind():
    scores = torch.tensor([[0.1, 0.2, 0.7, 0.0], [0.2, 0.1, 0.7, 0.0], [0.9, 0.0, 0.0, 0.1], [0.0, 0.9, 0.1, 0.0]])
    result = evaluate(BaseNewAccuracy(), samples(scores, [1, 1, 3, 2]))
    assert result == {'base_new/base': 50.0, 'base_new/new': 100.0, 'base_new/harmonic_mean': pytest.approx(200 / 3)}
    only_first = evaluate(BaseNewAccuracy(num_base=1), samples(scores, [0, 1, 3, 2]))
    assert only_first['base_new/base'] == 100.0
    with pytest.raises(ValueError, match='base and of new'):
        evaluate(BaseNewAccuracy(), samples(scores, [0, 1, 0, 1]))
    assert harmonic_mean(82.69, 63.22) == pytest.approx(71.66, abs=0.005)
    assert harmonic_mean(0, 0) == 0


def test_results_can_be_dumped(tmp_path):
    evaluate(DumpResults(str(tmp_path / 'results.pkl')), samples())
    results = load(tmp_path / 'results.pkl')
    assert [int(result['pred_label']) for result in results] == [0, 2, 1, 1, 0]
    assert torch.equal(results[3]['pred_score'], SCORES[3])


def test_mean_and_both_standard_deviations():
    runs = [dict(top1=value) for value in (91.81, 92.01, 92.17)]
    values = np.array([91.81, 92.01, 92.17])
    spread = aggregate(runs)['top1']
    assert (spread.mean, spread.std) == pytest.approx((values.mean(), np.sqrt(((values - values.mean()) ** 2).mean())))
    assert aggregate(runs, sample_std=True)['top1'].std == pytest.approx(spread.std * np.sqrt(3 / 2))
    assert str(spread) == '92.00 ± 0.15 (n = 3)'
    assert aggregate(runs[:1])['top1'].std == 0
    with pytest.raises(ValueError, match='at least two runs'):
        aggregate(runs[:1], sample_std=True)
    with pytest.raises(ValueError, match=r"run 1 and run 0 do not report the same metrics: \['top5'\]"):
        aggregate([dict(top1=1.0), dict(top1=1.0, top5=2.0)])
    with pytest.raises(ValueError, match='no results'):
        aggregate([])
