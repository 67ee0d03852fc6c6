"""Detection and instance segmentation from COCO annotation files that may hold mistakes.

Imports mmdet, so configs name this module in ``custom_imports``; :mod:`vlprompt.datasets` does not import it.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from mmdet.datasets import CocoDataset
from mmdet.datasets.api_wrappers import COCO
from mmdet.evaluation import CocoMetric
from mmengine.logging import print_log
from pycocotools.coco import COCO as PlainCOCO

from vlprompt.datasets.dense.coco_json import CocoError, category_names, read_coco, shared_names
from vlprompt.datasets.dense.palette import voc_palette
from vlprompt.datasets.images import list_images, naming_dataset_image
from vlprompt.datasets.reader import first_existing, require_data_root, require_place
from vlprompt.registry import DATASETS, METRICS

LISTED = 20
"""Number of skipped entries that the log lists; the others are only counted."""


@DATASETS.register_module()
class CocoInstances(CocoDataset):
    """mmdet's ``CocoDataset`` for your own files: classes from the file, and every entry checked before training.

    ::

        data_root/
        ├── annotations/instances_<split>.json      or annotations/<split>.json
        └── images/<split>/...

    Labels follow the order of ``classes``, or of the categories in the training file: those of other splits have the
    same names, in any order and with any ids, which need not be consecutive.  Boxes
    less than a pixel wide or high, on which mmdet does not train, are named in the log; the metric counts them.
    Measure with :class:`CocoInstancesMetric`, which compares with exactly these annotations.

    Args:
        data_root: the folder.
        split: name of the split in the default ``ann_file`` and ``data_prefix``.
        ann_file: annotation file, relative to ``data_root`` unless absolute; None: as above.
        data_prefix: ``dict(img=...)``, folder of the images, relative to ``data_root`` unless absolute; None: as above.
        classes: K names among the categories, in the order of the labels; None: all categories of the file, in the
            order of ``annotations/instances_train.json`` or ``annotations/train.json`` where ``ann_file`` is None and
            there is one, else in its own.
        masks: every object needs a mask.
        broken: ``'error'`` on a broken entry, or ``'skip'`` it; the log counts and lists what was skipped.
        palette: K RGB colours for pictures; by default those of PASCAL VOC's masks, without black.
        **kwargs: of mmdet's ``CocoDataset``, such as ``pipeline``, ``filter_cfg`` and ``test_mode``.

    Attributes:
        skipped: one line for every skipped entry.
        filtered_out: number of images that ``filter_cfg`` leaves out.
        unlisted: images of the split's own folder, in the default ``data_prefix``, without an entry in the file.

    Raises:
        FileNotFoundError: no such annotation file.
        CocoError: see :func:`~vlprompt.datasets.dense.coco_json.read_coco` and
            :func:`~vlprompt.datasets.dense.coco_json.shared_names`; also if no image is left, or all boxes are less
            than a pixel wide or high.
        ValueError: the numbers of colours and classes differ; or ``metainfo``, which ``classes`` and ``palette`` are.
    """

    def __init__(
        self,
        data_root: str,
        split: str = 'train',
        ann_file: str | None = None,
        data_prefix: dict[str, str] | None = None,
        classes: Sequence[str] | None = None,
        masks: bool = False,
        broken: str = 'error',
        palette: Sequence[Sequence[int]] | None = None,
        **kwargs: Any,
    ) -> None:
        if 'metainfo' in kwargs:
            raise ValueError('CocoInstances: metainfo has no effect; give classes=[...] and palette=[...] themselves')
        train_file = None if ann_file else Path(data_root, _annotation_file(data_root, 'train'))
        if not ann_file:
            ann_file = _annotation_file(data_root, split)
            require_data_root(data_root)
            require_place(
                Path(data_root, ann_file), split, f'It lists the images of images/{split}/ in the form of COCO.'
            )
        self.unlisted: list[str] = []
        self._own_folder = not data_prefix
        if not data_prefix:
            data_prefix = dict(img=f'images/{split}')
            require_place(Path(data_root, data_prefix['img']), split)
        # Kept in metainfo for the metric; joining a folder and an absolute path gives the absolute path.
        self._source = dict(
            ann_file=str(Path(data_root, ann_file)),
            image_folder=str(Path(data_root, data_prefix['img'])),
            classes=list(classes or _all_names(Path(data_root, ann_file), train_file)),
            masks=masks,
            broken=broken,
        )
        names = self._source['classes']
        palette = voc_palette(len(names) + 1)[1:] if palette is None else [list(colour) for colour in palette]
        if len(palette) != len(names):
            raise ValueError(f'CocoInstances: {len(names)} classes, but {len(palette)} colours in palette')
        self.skipped: list[str] = []
        self.filtered_out = 0
        metainfo = dict(classes=tuple(names), palette=[tuple(colour) for colour in palette], coco=self._source)
        super().__init__(
            data_root=data_root, ann_file=ann_file, data_prefix=dict(data_prefix), metainfo=metainfo, **kwargs
        )

    def load_data_list(self) -> list[dict]:
        """One dict per image in mmdet's form, without broken entries."""
        content, self.skipped = read_coco(**self._source)
        self._warn('broken entries left out', self.skipped)
        if not content['images']:
            raise CocoError(f'{self.ann_file}: no image is left of {len(self.skipped)} entries; see above which')
        if not self.test_mode:
            self._warn_of_tiny_boxes(content['annotations'])
        if self._own_folder:
            entries = {image['file_name'] for image in content['images']}
            self.unlisted = [name for name in list_images(self._source['image_folder']).images if name not in entries]
        self.COCOAPI = _api_of(content)
        try:
            return super().load_data_list()
        finally:
            del self.COCOAPI  # restores the method of the class: datasets are pickled

    def filter_data(self) -> list[dict]:
        """The images that pass ``filter_cfg``."""
        kept = super().filter_data()
        if not kept:
            raise CocoError(
                f'{self.ann_file}: filter_cfg={self.filter_cfg} leaves none of {len(self.data_list)} images: none is '
                f'large enough and has an object of the classes {", ".join(self.metainfo["classes"])}'
            )
        self.filtered_out = len(self.data_list) - len(kept)
        return kept

    def prepare_data(self, idx: int) -> dict:
        """Sample ``idx`` through the pipeline, whose errors name the image."""
        with naming_dataset_image(lambda: self.get_data_info(idx)):
            return super().prepare_data(idx)

    def notes(self) -> list[str]:
        """Images that are left out: by ``filter_cfg``, or without an entry; broken entries were listed on reading."""
        lines = []
        if self.filtered_out:
            lines.append(
                f'{self.ann_file}: images without an object, or smaller than filter_cfg={self.filter_cfg} allows, are '
                f'left out: {self.filtered_out}'
            )
        if self.unlisted:
            lines.append(
                f'{self._source["image_folder"]}: images without a usable entry in {self.ann_file} are left out: '
                f'{len(self.unlisted)}, the first is {self.unlisted[0]}'
            )
        return lines

    def _warn_of_tiny_boxes(self, annotations: list[dict]) -> None:
        tiny = [f'annotation {a["id"]}: its bbox is {a["bbox"]}' for a in annotations if min(a['bbox'][2:]) < 1]
        if tiny and len(tiny) == len(annotations):
            raise CocoError(
                f'{self.ann_file}: all boxes are less than a pixel wide or high, e.g. {tiny[0]}: they must be in '
                'pixels x, y, width, height'
            )
        self._warn('boxes less than a pixel wide or high, which mmdet does not train on', tiny)

    def _warn(self, what: str, lines: list[str]) -> None:
        if lines:
            more = [f'  and {len(lines) - LISTED} more'] if len(lines) > LISTED else []
            text = [f'{self.ann_file}: {len(lines)} {what}:', *(f'  {line}' for line in lines[:LISTED]), *more]
            print_log('\n'.join(text), logger='current', level=logging.WARNING)


def _annotation_file(data_root: str, split: str) -> str:
    """The annotation file of a split, relative to the folder."""
    return first_existing(data_root, f'annotations/instances_{split}.json', f'annotations/{split}.json')


def _all_names(ann_file: Path, train_file: Path | None) -> list[str]:
    """All categories of a file, in the order of the training file if there is one."""
    known = train_file is not None and train_file.is_file()
    return shared_names(train_file, ann_file) if known else category_names(ann_file)


class CocoAnnotations(COCO):
    """pycocotools' index, which is otherwise built from a path, of annotations in memory, even of none.

    Args:
        content: of an annotation file.
    """

    def __init__(self, content: dict[str, Any]) -> None:
        super().__init__()
        self.dataset = content
        self.createIndex()
        self.img_ann_map, self.cat_img_map = self.imgToAnns, self.catToImgs

    def loadRes(self, results: Any) -> PlainCOCO:
        """Index of detections.  pycocotools fails if there are none, and mmdet then reports no AP at all."""
        return super().loadRes(results) if len(results) else CocoAnnotations(dict(self.dataset, annotations=[]))


def _api_of(content: dict[str, Any]) -> Callable[[str], COCO]:
    """Replacement for the class that mmdet calls with a path."""
    return lambda _: CocoAnnotations(content)


@METRICS.register_module()
class CocoInstancesMetric(CocoMetric):
    """mmdet's ``CocoMetric`` against the annotations that a :class:`CocoInstances` holds, or those of a file.

    Broken entries that the dataset skipped are not evaluated.  If nothing was detected in any image, AP is 0.

    Args:
        ann_file: of another dataset; None: the annotations of the :class:`CocoInstances`.
        **kwargs: of mmdet's ``CocoMetric``.
    """

    def __init__(self, ann_file: str | None = None, **kwargs: Any) -> None:
        super().__init__(ann_file=ann_file, **kwargs)
        if self._coco_api is not None:
            self._coco_api = CocoAnnotations(self._coco_api.dataset)

    def process(self, data_batch: dict, data_samples: Sequence[dict]) -> None:
        """Record the predictions of a batch.

        Raises:
            ValueError: the dataset is not a :class:`CocoInstances`.
        """
        if self._coco_api is None:
            source = (self.dataset_meta or {}).get('coco')
            if source is None:
                raise ValueError(
                    "CocoInstancesMetric needs a dataset of type 'vlprompt.CocoInstances'; for another one give "
                    'ann_file=...'
                )
            content, _ = read_coco(**source)
            self._coco_api = CocoAnnotations(content)
        super().process(data_batch, data_samples)
