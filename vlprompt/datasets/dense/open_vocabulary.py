"""Two test sets of segmentation by words that mmseg does not have: VOC20 and COCO-Object.

Imports mmseg, so configs name this module in ``custom_imports``; :mod:`vlprompt.datasets` does not import it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from mmseg.datasets import BaseSegDataset, COCOStuffDataset, PascalVOCDataset

from vlprompt.registry import DATASETS

THINGS = 80
"""Classes of COCO that are objects: the first ones of COCO-Stuff's 171."""
UNLABELLED = 255


@DATASETS.register_module()
class VOC20Dataset(BaseSegDataset):
    """PASCAL VOC 2012 without its background, whose pixels are unlabelled: 20 classes.

    The files are those of mmseg's ``PascalVOCDataset``, with the same arguments.
    """

    METAINFO = dict(classes=PascalVOCDataset.METAINFO['classes'][1:], palette=PascalVOCDataset.METAINFO['palette'][1:])

    def __init__(self, ann_file: str, img_suffix: str = '.jpg', seg_map_suffix: str = '.png', **kwargs: Any) -> None:
        super().__init__(
            ann_file=ann_file, img_suffix=img_suffix, seg_map_suffix=seg_map_suffix, reduce_zero_label=True, **kwargs
        )


@DATASETS.register_module()
class COCOObjectDataset(BaseSegDataset):
    """COCO's 80 kinds of objects, and a background of all other pixels, those without a label too: 81 classes.

    The files are those of mmseg's ``COCOStuffDataset`` (``*_labelTrainIds.png``).  Published code reads masks that were
    converted to the same ids before.
    """

    METAINFO = dict(
        classes=('background', *COCOStuffDataset.METAINFO['classes'][:THINGS]),
        palette=[[0, 0, 0], *COCOStuffDataset.METAINFO['palette'][:THINGS]],
    )

    def __init__(self, img_suffix: str = '.jpg', seg_map_suffix: str = '_labelTrainIds.png', **kwargs: Any) -> None:
        super().__init__(img_suffix=img_suffix, seg_map_suffix=seg_map_suffix, **kwargs)

    @classmethod
    def get_label_map(cls, new_classes: Sequence | None = None) -> dict[int, int]:
        """Id in the files -> class."""
        stuff = range(THINGS, len(COCOStuffDataset.METAINFO['classes']))
        return {thing: thing + 1 for thing in range(THINGS)} | dict.fromkeys([*stuff, UNLABELLED], 0)
