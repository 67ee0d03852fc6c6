"""Few-shot classification data: benchmarks and your own images."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from functools import partial
from pathlib import Path

from mmengine.logging import print_log

from vlprompt.clip.classnames import subset_range
from vlprompt.datasets.build_reader import build_classification_reader
from vlprompt.datasets.classification.dataset import ClassificationDataset
from vlprompt.datasets.classification.draw_files import SUFFIX, read_draw
from vlprompt.datasets.classification.few_shot_draws import DRAWS, draw_few_shot, take_subset
from vlprompt.datasets.classification.items import Item
from vlprompt.datasets.presets import DATA, find_preset
from vlprompt.registry import DATASETS


@DATASETS.register_module()
class FewShotDataset(ClassificationDataset):
    """Images with class labels, of which k per class are drawn for training.

    A benchmark is given by ``dataset``; its folder is ``data_root``, by default its own below ``data/``
    (data/README.md).  Your own data is in ``data_root`` too and is described by ``ann_file``:

    ===================  =========================================================================
    ``ann_file``         content
    ===================  =========================================================================
    ``None``             a folder per class: ``<data_root>/<split>/<class name>/<image>``
    ``*.json``           ``{"train": [[path, label, class name], ...], "val": ..., "test": ...}``
    ``*.csv``            columns ``path``, ``label`` and optionally ``split``
    ``*.txt``            lines ``path label``, ``path,label`` or ``path,label,split``
    ===================  =========================================================================

    ``'{split}.txt'`` is a list per split, ``'split*.json'`` the one file in ``data_root`` that matches.  Folders and
    split files contain the class names; those of lists come from ``classes``, or from ``classnames.txt`` in
    ``data_root`` if there is one, or are the labels in the training list.

    Draws are those of the CoOp-family papers or of CLIP-LoRA, number for number (see
    :func:`~vlprompt.datasets.classification.few_shot_draws.draw_few_shot`): ``shots`` training images
    per class and min(``shots``, 4) validation images.  The test split is never drawn from, nor is ImageNet's
    validation split, which is its test split, unless ``val_shots`` says so.  Base and new classes are selected, and
    renumbered from 0, after the draw.

    ``metainfo`` has ``classes``, the C class names in label order as the source spells them, and ``dataset``;
    ``class_counts`` are the C numbers of images.

    Args:
        data_root: the folder of this dataset; None: that of the benchmark below ``data/``.
        dataset: a benchmark, e.g. ``'caltech101'``; None for your own data.
        ann_file: annotation file of your own data, relative to ``data_root``.
        data_prefix: folder that image paths are relative to, itself relative to ``data_root``.
        classes: the class names of your own folders or lists in label order: names, or a text file in
            ``data_root`` with one name per line.
        split: ``'train'``, ``'val'`` or ``'test'``.
        shots: images per class; None takes all.
        val_shots: validation images per class; None: min(``shots``, 4).
        draw: ``'coop'`` or ``'clip-lora'``, which draws the validation images first, and so needs some; or a file of
            draws (``.jsonl``, see :mod:`~vlprompt.datasets.classification.draw_files`), in whose name ``{split}``,
            ``{shots}`` and ``{seed}`` stand for those of the dataset, and ``{folder}`` for its folder.
        subset: ``'all'``, ``'base'`` (the first ceil(C / 2) classes) or ``'new'`` (the rest).
        seed: of the draw and of the augmentation.
        pipeline: transforms of an image.
        lazy_init: read the files on first use instead of now.

    Raises:
        FileNotFoundError: a missing file or folder; the message says where to get it.
        ValueError: inconsistent entries; the message names file, entry and class.
    """

    def __init__(
        self,
        data_root: str | None = None,
        dataset: str | None = None,
        classes: str | Sequence[str] | None = None,
        split: str = 'train',
        shots: int | None = None,
        val_shots: int | None = None,
        subset: str = 'all',
        draw: str = 'coop',
        **kwargs,
    ) -> None:
        if shots is not None and shots < 1:
            raise ValueError(f'shots must be at least 1, or None for all images; got {shots}')
        if val_shots is not None and (val_shots < 1 or shots is None):
            raise ValueError(f'val_shots must be at least 1, and needs shots; got {val_shots} with shots={shots}')
        if draw not in DRAWS and not draw.endswith(SUFFIX):
            raise ValueError(f'draw={draw!r} must be one of {", ".join(DRAWS)}, or a file of draws ({SUFFIX})')
        self.shots, self.val_shots = shots, val_shots
        self.subset = subset
        self.draw = draw
        benchmark = data_root is None and dataset is not None
        self.folder = DATA / find_preset('few_shot', dataset).folder if benchmark else data_root
        build = partial(build_classification_reader, classes=classes, split=split)
        super().__init__(build, data_root, dataset, split=split, **kwargs)

    def load_data_list(self) -> list[dict]:
        """``img_path`` and ``gt_label`` of every image."""
        names = self.reader.classes
        first, last = subset_range(len(names), self.subset)
        self._metainfo.update(classes=names[first:last], dataset=self.dataset or 'custom')
        items = take_subset(self.drawn(), len(names), self.subset)
        if not items:
            raise ValueError(f'{self.reader.source}: split {self.split!r} has no {self.subset} classes')
        counts = Counter(item.label for item in items)
        self.class_counts = [counts[label] for label in range(last - first)]
        return self.samples(items)

    @property
    def _draws_val(self) -> bool:
        return self.dataset is None or self.val_shots is not None or find_preset('few_shot', self.dataset).draw_val

    @property
    def draws(self) -> bool:
        """Whether the images of the split are drawn; otherwise they are all of it."""
        return self.shots is not None and self.split != 'test' and (self.split == 'train' or self._draws_val)

    @property
    def draw_file(self) -> Path | None:
        """The file of draws of this split, its shots and its seed; None if the images are drawn here.

        Raises:
            ValueError: braces in its name that stand for nothing.
        """
        if not self.draws or not self.draw.endswith(SUFFIX):
            return None
        places = dict(split=self.split, shots=self.shots, seed=self.seed, folder=self.folder)
        try:
            return Path(self.draw.format(**places))
        except (LookupError, ValueError) as error:
            known = ', '.join(f'{{{name}}}' for name in places)
            raise ValueError(f'draw={self.draw!r} may have {known} and no other braces') from error

    def drawn(self) -> list[Item]:
        """The images of the split, those of all classes, before the halving: paths relative to the images' folder."""
        items = self.reader.read(self.split)
        if not self.draws:
            return items
        if (file := self.draw_file) is not None:
            most = self.shots if self.split == 'train' else self.val_shots
            return read_draw(file, self.reader, self.split, most)
        if self.split == 'val':
            return draw_few_shot(self.reader.read('train'), items, self.shots, self.seed, self.draw, self.val_shots)[1]
        val_first = self.draw == 'clip-lora' and self._draws_val
        val = self.reader.read('val') if val_first else ()
        drawn = draw_few_shot(items, val, self.shots, self.seed, self.draw, self.val_shots)[0]
        message = f'{len(drawn)} of {len(items)} training images: {self.shots} shots (shots=None takes all)'
        print_log(message, logger='current')
        return drawn

    def __repr__(self) -> str:
        self.full_init()
        counts = self.class_counts
        return (
            f'{type(self).__name__}({self.metainfo["dataset"]}, split={self.split}, subset={self.subset}, '
            f'shots={self.shots}, seed={self.seed}): {sum(counts)} images of {len(counts)} classes '
            f'({min(counts)} to {max(counts)} each)'
        )
