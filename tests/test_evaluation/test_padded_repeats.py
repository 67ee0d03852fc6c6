"""Metrics count every image once, although the sampler of two processes repeats the first of five."""

import numpy as np
import pytest
import torch
from torch import distributed as dist

from tests.two_processes import in_two_processes
from vlprompt.evaluation import Accuracy, BaseNewAccuracy, RetrievalMetric, ShotAccuracy

IMAGES = 5
ORDER = [0, 1, 2, 3, 4, 0]
"""Images of both processes in turn; the last only fills up."""

SCORES = torch.tensor([[0.9, 0.1, 0.0], [0.2, 0.1, 0.7], [0.3, 0.6, 0.1], [0.5, 0.2, 0.3], [0.1, 0.2, 0.7]])
LABELS = (0, 1, 1, 2, 2)


def classified(index):
    score = SCORES[index]
    return dict(pred_score=score, pred_label=score.argmax()[None], gt_label=torch.tensor([LABELS[index]]))


def described(index):
    pids = (4, 4, 7, 7, 4)
    feature = torch.from_numpy(np.random.default_rng(index).normal(size=8).astype(np.float32))
    return dict(feature=feature, pid=pids[index], camid=index, role='query' if index in (0, 2) else 'gallery')


@pytest.mark.parametrize(
    ('make', 'sample'),
    [
        (lambda folder: Accuracy(topk=(1, 2)), classified),
        (lambda folder: BaseNewAccuracy(), classified),
        (lambda folder: ShotAccuracy(cls_num_list=[200, 50, 5], out_dir=str(folder / 'shots')), classified),
        (lambda folder: RetrievalMetric(), described),
    ],
)
@pytest.mark.parametrize('device', ['cpu', 'gpu'])
def test_repeats_do_not_count(tmp_path, monkeypatch, make, sample, device):
    monkeypatch.chdir(tmp_path)  # mmengine exchanges results through files
    metric = make(tmp_path)
    metric.collect_device = device

    def measured(images):
        metric.process(None, [sample(index) for index in images])
        return metric.evaluate(IMAGES)

    expected = measured(range(IMAGES))
    for metrics in in_two_processes(lambda: measured(ORDER[dist.get_rank() :: 2]), tmp_path):
        assert metrics == pytest.approx(expected)
