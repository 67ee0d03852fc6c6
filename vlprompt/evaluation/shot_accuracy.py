"""Accuracy of long-tailed classification: all classes, and those with many, medium and few training images."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from mmengine.evaluator import BaseMetric
from mmengine.logging import MMLogger

from vlprompt.evaluation.accuracy import confusion_matrix
from vlprompt.registry import METRICS

GROUPS = ('many', 'medium', 'few')
CONVENTIONS = ('oltr', 'lpt')


@METRICS.register_module()
class ShotAccuracy(BaseMetric):
    r"""Accuracy over all classes and over groups of classes by their number of training images, in percent.

    With n_c training images of class c and a_c the share of its test images that are classified right::

        overall  correct / all test images
        many     mean of a_c over classes with  n_c > 100
        medium   mean of a_c over classes with  20 <= n_c <= 100      'oltr': OLTR, LIFT and most papers
                                                20 <  n_c <= 100      'lpt': LPT
        few      mean of a_c over the rest

    The two conventions differ in classes of exactly 20 training images: on Places-LT they give groups of 131, 163, 71
    and of 131, 157, 77 classes, so medium and few of papers with different conventions are not about the same
    classes.  The log shows both.  LPT's code does not average over classes but over the images of a group; published
    test sets have equally many images of every class, so that both are equal, and overall is the mean over all classes.
    If they differ, ``pooled`` in the file is the latter.

    Reported as ``shot/overall``, ``shot/many``, ``shot/medium``, ``shot/few`` in the chosen convention; a group
    without tested classes is omitted.

    Args:
        convention: ``'oltr'`` or ``'lpt'``.
        many: classes with more training images than this are many-shot.
        few: classes with fewer (``'oltr'``), or at most as many (``'lpt'``), are few-shot.
        cls_num_list: n_c of the C classes; None: from the metainfo of the test set.
        out_dir: folder for ``shot_accuracy.json`` with groups and sizes in both conventions and, class by class,
            training images, test images and accuracy; None: that of the run's log file, if it has one.
        collect_device: ``'cpu'`` or ``'gpu'``: how results of several processes are collected.
        prefix: of the names of the results.

    Raises:
        ValueError: an unknown convention, or thresholds that overlap.

    Example:
        >>> labels, predicted = np.array([0, 0, 1, 2]), np.array([0, 1, 1, 2])
        >>> ShotAccuracy.calculate(labels, predicted, cls_num_list=[500, 50, 5])
        {'overall': 75.0, 'many': 50.0, 'medium': 100.0, 'few': 100.0}
    """

    default_prefix = 'shot'

    def __init__(
        self,
        convention: str = 'oltr',
        many: int = 100,
        few: int = 20,
        cls_num_list: Sequence[int] | None = None,
        out_dir: str | None = None,
        collect_device: str = 'cpu',
        prefix: str | None = None,
    ) -> None:
        super().__init__(collect_device=collect_device, prefix=prefix)
        shot_groups([], convention, many, few)  # checks the three
        self.convention, self.many, self.few = convention, many, few
        self.cls_num_list = cls_num_list
        self.out_dir = out_dir

    def process(self, data_batch: object, data_samples: Sequence[dict]) -> None:
        """Keep label and prediction of every image; ``pred_label`` and ``gt_label`` are (1,), ``pred_score`` is (C,).

        Raises:
            FloatingPointError: a score is NaN.
        """
        labels, predicted = (torch.cat([sample[key] for sample in data_samples]) for key in ('gt_label', 'pred_label'))
        if 'pred_score' in data_samples[0]:
            scores = torch.stack([sample['pred_score'] for sample in data_samples])
            predicted = predicted.masked_fill(scores.isnan().any(1), -1)
        predictions = predicted.tolist()
        if min(predictions) < 0:
            raise FloatingPointError('a score is NaN, so no class is the most likely one')
        self.results += zip(labels.tolist(), predictions, strict=True)

    def compute_metrics(self, results: list[tuple[int, int]]) -> dict[str, float]:
        """The metrics in the chosen convention; logs and writes those of both.

        Raises:
            ValueError: no image was evaluated, or the training counts are unknown.
        """
        if not results:
            raise ValueError('ShotAccuracy: no image was evaluated')
        counts = self._training_counts()
        labels, predicted = np.asarray(results).T
        tables = {
            convention: self.calculate(labels, predicted, counts, convention, self.many, self.few)
            for convention in CONVENTIONS
        }
        logger = MMLogger.get_current_instance()
        logger.info(self._text(tables, counts))
        folder = self.out_dir or (logger.log_file and Path(logger.log_file).parent)
        if folder is not None:
            self._write(Path(folder), tables, counts, labels, predicted)
        return tables[self.convention]

    @staticmethod
    def calculate(
        labels: np.ndarray,
        predicted: np.ndarray,
        cls_num_list: Sequence[int],
        convention: str = 'oltr',
        many: int = 100,
        few: int = 20,
    ) -> dict[str, float]:
        """The same numbers from labels (N,) and predictions (N,), both 0..C-1, without a runner."""
        accuracy = class_accuracy(labels, predicted, len(cls_num_list))
        metrics = dict(overall=100 * float(np.mean(np.asarray(labels) == np.asarray(predicted))))
        for name, members in shot_groups(cls_num_list, convention, many, few).items():
            tested = accuracy[members][~np.isnan(accuracy[members])]
            if len(tested):
                metrics[name] = 100 * float(tested.mean())
        return metrics

    def _training_counts(self) -> list[int]:
        counts = self.cls_num_list or (self.dataset_meta or {}).get('cls_num_list')
        if not counts:
            raise ValueError(
                'ShotAccuracy needs the number of training images per class: test with a vlprompt.LongTailedDataset, '
                'whose metainfo has cls_num_list, or give cls_num_list to the metric'
            )
        return list(counts)

    def _text(self, tables: dict[str, dict[str, float]], counts: Sequence[int]) -> str:
        lines = ['Accuracy by training images per class (%), number of classes in brackets']
        lines.append(f'{"convention":10}  {"overall":>14}' + ''.join(f'  {name:>14}' for name in GROUPS))
        for convention, table in tables.items():
            sizes = {name: len(g) for name, g in shot_groups(counts, convention, self.many, self.few).items()}
            sizes['overall'] = len(counts)
            cells = (
                f'  {table[name]:7.2f} ({sizes[name]:4d})' if name in table else f'  {"-":>7} ({sizes[name]:4d})'
                for name in ('overall', *GROUPS)
            )
            lines.append(f'{convention:10}' + ''.join(cells) + (' *' if convention == self.convention else ''))
        lines.append(f'* the one of the reported {self.prefix}/... (convention of the evaluator)')
        return '\n'.join(lines)

    def _write(
        self,
        folder: Path,
        tables: dict[str, dict[str, float]],
        counts: Sequence[int],
        labels: np.ndarray,
        predicted: np.ndarray,
    ) -> None:
        names = (self.dataset_meta or {}).get('classes') or [str(label) for label in range(len(counts))]
        tested = np.bincount(labels, minlength=len(counts)).tolist()
        accuracy = 100 * class_accuracy(labels, predicted, len(counts))
        right = labels == predicted
        content = dict(convention=self.convention, many=self.many, few=self.few)
        for convention, table in tables.items():
            groups = shot_groups(counts, convention, self.many, self.few)
            of_group = {name: right[np.isin(labels, members)] for name, members in groups.items()}
            content[convention] = dict(
                accuracy=table,
                pooled={name: 100 * float(images.mean()) for name, images in of_group.items() if len(images)},
                classes={name: len(members) for name, members in groups.items()},
            )
        content['per_class'] = [
            dict(name=name, train=train, test=test, accuracy=None if np.isnan(value) else float(value))
            for name, train, test, value in zip(names, counts, tested, accuracy, strict=True)
        ]
        folder.mkdir(parents=True, exist_ok=True)
        (folder / 'shot_accuracy.json').write_text(json.dumps(content, indent=1) + '\n', encoding='utf-8')


def shot_groups(
    cls_num_list: Sequence[int], convention: str = 'oltr', many: int = 100, few: int = 20
) -> dict[str, np.ndarray]:
    """The labels of the many-, medium- and few-shot classes, int64 arrays.

    Args:
        cls_num_list: training images of the C classes.
        convention: ``'oltr'``: a class of exactly ``few`` images is medium-shot; ``'lpt'``: few-shot.
        many: classes with more images are many-shot.
        few: see ``convention``.

    Raises:
        ValueError: an unknown convention, or ``few`` above ``many``.
    """
    if convention not in CONVENTIONS:
        raise ValueError(f"convention must be 'oltr' or 'lpt', got {convention!r}")
    if not 0 <= few <= many:
        raise ValueError(f'a class cannot be few-shot and many-shot at once: few={few}, many={many}')
    counts = np.asarray(cls_num_list)
    is_many = counts > many
    is_few = counts < few if convention == 'oltr' else counts <= few
    return dict(
        many=np.flatnonzero(is_many),
        medium=np.flatnonzero(~is_many & ~is_few),
        few=np.flatnonzero(is_few),
    )


def class_accuracy(labels: np.ndarray, predicted: np.ndarray, num_classes: int) -> np.ndarray:
    """(C,) share of each class's images that are right, in [0, 1]; NaN for classes without images.

    Raises:
        ValueError: a label or prediction outside 0..C-1.
    """
    labels, predicted = np.asarray(labels), np.asarray(predicted)
    if min(labels.min(), predicted.min()) < 0 or max(labels.max(), predicted.max()) >= num_classes:
        raise ValueError(
            f'labels up to {labels.max()} and predictions up to {predicted.max()} do not fit {num_classes} training '
            'counts: test and training data must have the same classes'
        )
    confusion = confusion_matrix(labels, predicted, num_classes)
    images = confusion.sum(1)
    return np.divide(confusion.diagonal(), images, out=np.full(num_classes, np.nan), where=images > 0)
