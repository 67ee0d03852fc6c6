"""Long-tailed classification data: benchmarks and your own images."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from functools import partial

import numpy as np

from vlprompt.datasets.build_reader import build_classification_reader
from vlprompt.datasets.classification.dataset import ClassificationDataset
from vlprompt.registry import DATASETS


@DATASETS.register_module()
class LongTailedDataset(ClassificationDataset):
    """Images with class labels; some classes have many training images, others few.

    A benchmark is given by ``dataset``; its folder is ``data_root``, by default its own below ``data/``:
    ``'places_lt'``, ``'imagenet_lt'``, ``'inat2018'``, ``'cifar100_lt'`` (with ``imbalance``), ``'imagenet_sketch'``
    (trained on ImageNet-LT, tested on the sketches) or ``'scenes_lt'`` of the built-in world.

    Your own data is in ``data_root`` too and is described by ``ann_file``, in the forms of
    :class:`~vlprompt.datasets.classification.few_shot.FewShotDataset`.  Lines ``path label`` with labels 0..C-1, one
    file per split, are ``'{split}.txt'``; the class names of these lists come from ``classes``, or from
    ``classnames.txt`` in ``data_root`` if there is one, or are the folders of the training images.

    ``metainfo`` has ``classes``, the C class names in label order; ``cls_num_list``, the C numbers of *training*
    images whatever the split, from which losses, samplers and metrics find head and tail; and ``dataset``.
    ``labels`` is the (N,) int64 array of this split's labels.

    Args:
        data_root: the folder of this dataset; None: that of the benchmark below ``data/``.
        dataset: a benchmark; None for your own data.
        ann_file: annotation file of your own data, relative to ``data_root``.
        data_prefix: folder that image paths are relative to, itself relative to ``data_root``.
        classes: the class names of your own data in label order: names, or a text file in ``data_root`` with one
            name per line.
        split: ``'train'``, ``'val'`` or ``'test'``.
        imbalance: cut a balanced training split: images of the first class per image of the last one, with
            exponentially many in between (see
            :class:`~vlprompt.datasets.classification.readers.imbalanced.ImbalancedReader`).
        split_seed: of that draw.  Published CIFAR100-LT splits have 0; LPT has 42.
        seed: of the augmentation.
        pipeline: transforms of an image.
        lazy_init: read the files on first use instead of now.

    Raises:
        FileNotFoundError: a missing file or folder; the message says where to get it.
        ValueError: inconsistent entries; the message names file, line or image, and label.
    """

    def __init__(
        self,
        data_root: str | None = None,
        dataset: str | None = None,
        classes: str | Sequence[str] | None = None,
        split: str = 'train',
        imbalance: float | None = None,
        split_seed: int = 0,
        **kwargs,
    ) -> None:
        options = dict(classes=classes, split=split, imbalance=imbalance, split_seed=split_seed, task='long_tailed')
        super().__init__(partial(build_classification_reader, **options), data_root, dataset, split=split, **kwargs)

    def load_data_list(self) -> list[dict]:
        """``img_path`` and ``gt_label`` of every image."""
        training = self.reader.read('train')
        items = training if self.split == 'train' else self.reader.read(self.split)
        counts = Counter(item.label for item in training)
        names = self.reader.classes
        self._metainfo.update(
            classes=list(names),
            cls_num_list=[counts[label] for label in range(len(names))],
            dataset=self.dataset or 'custom',
        )
        self.labels = np.array([item.label for item in items])
        return self.samples(items)

    def __repr__(self) -> str:
        self.full_init()
        counts = self.metainfo['cls_num_list']
        return (
            f'{type(self).__name__}({self.metainfo["dataset"]}, split={self.split}): {len(self)} images of '
            f'{len(counts)} classes; training images per class {max(counts)} to {min(counts)}'
        )
