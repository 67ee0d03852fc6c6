"""Accuracy of classification: top-k, per class, macro F1, base and new classes."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from mmengine.evaluator import BaseMetric
from mmengine.logging import MMLogger
from torch import Tensor

from vlprompt.clip.classnames import subset_range
from vlprompt.registry import METRICS


@METRICS.register_module()
class Accuracy(BaseMetric):
    r"""Accuracy over a test set, in percent.

    With N images, true label :math:`y_i`, and :math:`r_i` the rank of the true class among the scores of image i
    (1 = highest; ties are ranked by label)::

        top-k       = 100 / N  sum_i [r_i <= k]
        class_mean  = 100 / C  sum_c (correct top-1 images of c) / (images of c)     without classes that have no images
        macro_f1    = 100 / C  sum_c 2 TP_c / (2 TP_c + FP_c + FN_c)                 without classes that neither occur
                                                                                     nor are predicted

    Reported as ``accuracy/top1``, ..., ``accuracy/class_mean``, ``accuracy/macro_f1``.

    Args:
        topk: the k to report.
        per_class: log the accuracy of every class.
        out_dir: folder for ``per_class.csv`` and ``confusion_matrix.csv`` (rows: true class, columns: predicted
            class); None writes nothing.
        collect_device: ``'cpu'`` or ``'gpu'``: how results of several processes are collected.
        prefix: of the names of the results.

    Example:
        >>> scores = torch.tensor([[0.7, 0.2, 0.1], [0.2, 0.3, 0.5]])
        >>> Accuracy.calculate(scores, torch.tensor([0, 1]), topk=(1, 2))
        {'top1': 50.0, 'top2': 100.0, 'class_mean': 50.0, 'macro_f1': 33.33333333333333}
    """

    default_prefix = 'accuracy'

    def __init__(
        self,
        topk: int | Sequence[int] = (1,),
        per_class: bool = False,
        out_dir: str | None = None,
        collect_device: str = 'cpu',
        prefix: str | None = None,
    ) -> None:
        super().__init__(collect_device=collect_device, prefix=prefix)
        self.topk = (topk,) if isinstance(topk, int) else tuple(topk)
        self.per_class = per_class
        self.out_dir = out_dir

    def process(self, data_batch: object, data_samples: Sequence[dict]) -> None:
        """Keep label, prediction and rank of every image; ``pred_score`` is (K,), ``gt_label`` (1,)."""
        scores, labels = scores_and_labels(data_samples)
        ranks, predicted = rank_of_truth(scores, labels)
        rows = zip(labels.tolist(), predicted.tolist(), ranks.tolist(), strict=True)
        self.results += [(*row, scores.shape[1]) for row in rows]

    def compute_metrics(self, results: list[tuple[int, int, int, int]]) -> dict[str, float]:
        """The metrics of all images; also logs and writes what the arguments request."""
        if not results:
            raise ValueError('Accuracy: no image was evaluated')
        labels, predicted, ranks, classes = np.asarray(results).T
        metrics = _metrics(labels, predicted, ranks, classes[0], self.topk)
        if self.per_class or self.out_dir is not None:
            confusion = confusion_matrix(labels, predicted, classes[0])
            names = (self.dataset_meta or {}).get('classes') or [str(label) for label in range(classes[0])]
            if self.per_class:
                MMLogger.get_current_instance().info(_per_class_text(confusion, names))
            if self.out_dir is not None:
                _write_tables(Path(self.out_dir), confusion, names)
        return metrics

    @staticmethod
    def calculate(pred_scores: Tensor, labels: Tensor, topk: int | Sequence[int] = (1,)) -> dict[str, float]:
        """The same numbers from scores, without a runner.

        Args:
            pred_scores: (N, K) scores; only their order matters.
            labels: (N,) true labels.
            topk: the k to report.
        """
        topk = (topk,) if isinstance(topk, int) else tuple(topk)
        ranks, predicted = rank_of_truth(pred_scores, labels)
        return _metrics(labels.numpy(), predicted.numpy(), ranks.numpy(), pred_scores.shape[1], topk)


@METRICS.register_module()
class BaseNewAccuracy(BaseMetric):
    r"""Accuracy of base and new classes, each among its own group, and their harmonic mean, in percent.

    A model of all K classes is scored twice: images of the base classes (the first m) among those only, images
    of the new classes among the new ones only.  For prompts that treat classes independently this equals two tests
    with ``subset='base'`` and ``subset='new'``.  :math:`H = 2 b n / (b + n)`.

    Reported as ``base_new/base``, ``base_new/new``, ``base_new/harmonic_mean``.

    Args:
        num_base: m; None: ceil(K / 2).
        collect_device: ``'cpu'`` or ``'gpu'``: how results of several processes are collected.
        prefix: of the names of the results.
    """

    default_prefix = 'base_new'

    def __init__(self, num_base: int | None = None, collect_device: str = 'cpu', prefix: str | None = None) -> None:
        super().__init__(collect_device=collect_device, prefix=prefix)
        self.num_base = num_base

    def process(self, data_batch: object, data_samples: Sequence[dict]) -> None:
        """Record for every image whether its class is a base class and whether it is right within its group."""
        all_scores, labels = scores_and_labels(data_samples)
        for scores, label in zip(all_scores, labels.tolist(), strict=True):
            _, base = subset_range(len(scores), 'base')
            base = base if self.num_base is None else self.num_base
            is_base = label < base
            first, last = (0, base) if is_base else (base, len(scores))
            ranks, _ = rank_of_truth(scores[None, first:last], torch.tensor([label - first]))
            self.results.append((is_base, int(ranks) == 1))

    def compute_metrics(self, results: list[tuple[bool, bool]]) -> dict[str, float]:
        """The three metrics.

        Raises:
            ValueError: no image of the base or of the new classes.
        """
        is_base, right = np.asarray(results, dtype=bool).T
        if is_base.all() or not is_base.any():
            raise ValueError('BaseNewAccuracy: the test set needs images of base and of new classes; use subset=all')
        base, new = 100 * float(right[is_base].mean()), 100 * float(right[~is_base].mean())
        return dict(base=base, new=new, harmonic_mean=harmonic_mean(base, new))


def scores_and_labels(data_samples: Sequence[dict]) -> tuple[Tensor, Tensor]:
    """Scores (B, K) and labels (B,) of the samples of a batch, on the CPU; two copies bring them there."""
    scores = torch.stack([sample['pred_score'] for sample in data_samples])
    return scores.cpu(), torch.cat([sample['gt_label'] for sample in data_samples]).cpu()


def harmonic_mean(base: float, new: float) -> float:
    """``2 b n / (b + n)``; 0 if both are 0."""
    return 2 * base * new / (base + new) if base + new else 0.0


def rank_of_truth(scores: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
    """Rank of the true class (1 = highest) and the predicted class; ties are ranked by label.

    Args:
        scores: (N, K).
        labels: (N,), each 0..K-1.

    Returns:
        ranks (N,) and predictions (N,), int64.

    Raises:
        FloatingPointError: a score is NaN.
        ValueError: a label is not among the K classes.
    """
    if scores.isnan().any():
        raise FloatingPointError('a score is NaN, so classes cannot be ranked')
    if labels.min() < 0 or labels.max() >= scores.shape[1]:
        raise ValueError(f'labels run from {labels.min()} to {labels.max()}, but there are {scores.shape[1]} classes')
    true = scores.gather(1, labels[:, None])
    before = torch.arange(scores.shape[1]) < labels[:, None]
    ranks = 1 + ((scores > true) | ((scores == true) & before)).sum(1)
    return ranks, scores.argmax(1)


def confusion_matrix(labels: np.ndarray, predicted: np.ndarray, num_classes: int) -> np.ndarray:
    """(C, C) counts; rows are true classes, columns predicted ones."""
    counts = np.bincount(labels * num_classes + predicted, minlength=num_classes * num_classes)
    return counts.reshape(num_classes, num_classes)


def _metrics(
    labels: np.ndarray, predicted: np.ndarray, ranks: np.ndarray, num_classes: int, topk: Sequence[int]
) -> dict[str, float]:
    if max(topk) > num_classes or min(topk) < 1:
        raise ValueError(f'topk={tuple(topk)} is impossible with {num_classes} classes')
    confusion = confusion_matrix(labels, predicted, num_classes)
    right, images, guesses = confusion.diagonal(), confusion.sum(1), confusion.sum(0)
    tested, present = images > 0, images + guesses > 0
    metrics = {f'top{k}': 100 * float((ranks <= k).mean()) for k in topk}
    metrics['class_mean'] = 100 * float((right[tested] / images[tested]).mean())
    metrics['macro_f1'] = 100 * float((2 * right[present] / (images + guesses)[present]).mean())
    return metrics


def _per_class_text(confusion: np.ndarray, names: Sequence[str]) -> str:
    width = max(map(len, names))
    lines = [f'{"class":{width}}  images  accuracy']
    for name, row, right in zip(names, confusion, confusion.diagonal(), strict=True):
        share = f'{100 * right / row.sum():8.2f}' if row.sum() else '       -'
        lines.append(f'{name:{width}}  {row.sum():6d}  {share}')
    return 'Accuracy per class (%)\n' + '\n'.join(lines)


def _write_tables(folder: Path, confusion: np.ndarray, names: Sequence[str]) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / 'per_class.csv').open('w', newline='', encoding='utf-8') as stream:
        writer = csv.writer(stream)
        writer.writerow(['class', 'images', 'correct'])
        writer.writerows(zip(names, confusion.sum(1).tolist(), confusion.diagonal().tolist(), strict=True))
    with (folder / 'confusion_matrix.csv').open('w', newline='', encoding='utf-8') as stream:
        writer = csv.writer(stream)
        writer.writerow(['true \\ predicted', *names])
        writer.writerows([name, *row] for name, row in zip(names, confusion.tolist(), strict=True))
