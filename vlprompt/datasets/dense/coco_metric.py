"""Average precision of COCO, also of a detector that finds nothing.

Imports mmdet, as :mod:`~vlprompt.datasets.dense.coco_instances`, which imports this module.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from typing import Any

from mmdet.datasets.api_wrappers import COCO
from mmdet.evaluation import CocoMetric
from mmengine.logging import print_log

from vlprompt.registry import METRICS


@METRICS.register_module()
class CocoAPMetric(CocoMetric):
    """mmdet's ``CocoMetric``, which also measures a detector that finds no box at all: its AP is 0.

    mmdet's own logs an error and returns no metric then, so that the best checkpoint, a curve or a table lacks a value.

    Args:
        ann_file: the annotations that it compares with.
        **kwargs: of mmdet's ``CocoMetric``.
    """

    def __init__(self, ann_file: str | None, **kwargs: Any) -> None:
        super().__init__(ann_file=ann_file, **kwargs)
        if self._coco_api is not None:
            accept_no_boxes(self._coco_api)


def accept_no_boxes(api: COCO) -> None:
    """Let ``api.loadRes`` take an empty list of detections, at which pycocotools fails."""
    load = api.loadRes

    def load_any(found: Sequence[Mapping]) -> COCO:
        if len(found):
            return load(found)
        print_log('No object was found in any image: AP is 0', logger='current', level=logging.WARNING)
        nothing = COCO()
        nothing.dataset = dict(api.dataset, annotations=[])
        nothing.createIndex()
        return nothing

    api.loadRes = load_any
