"""Objects in images."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Mapping
from functools import cached_property
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from mmengine.config import ConfigDict
from PIL import Image
from torch import nn

from vlprompt.apis.inferencers.base import Inferencer
from vlprompt.apis.inferencers.prediction import Prediction
from vlprompt.errors import ConfigError
from vlprompt.messages import quoted

if TYPE_CHECKING:
    from vlprompt.visualization import Objects

_log = logging.getLogger(__name__)

DEFAULT_SCORE = 0.3

MAX_DRAWN = 100
"""Largest number of objects in a picture."""


class DetectionInferencer(Inferencer):
    """Object detection and instance segmentation, by a model of mmdet.

    Results: ``'dict'``: ``[{'label', 'score', 'box': {'xmin', 'ymin', 'xmax', 'ymax'}}, ...]``, the best object first,
    in whole pixels of the image, with ``'mask'``, a PIL image of mode L with 0 and 255, if the model has masks;
    ``'array'``: (N, 6) float32, x1, y1, x2, y2 in pixels, score, and position in ``class_names``; ``'picture'``: the
    image with boxes and masks.  Samples (``'sample'``) also hold the objects below ``score``.

    Args:
        *args: see :class:`.Inferencer`.
        score: objects with a lower one are left out.  None: 0.3, or the ``score_thr`` in the model's own ``test_cfg``
            if that is higher.  The model's own is lowered to it where it is higher.
        **kwargs: see :class:`.Inferencer`.

    Example:
        >>> infer = DetectionInferencer('denseclip_det/mask-rcnn_denseclip-rn50_fpn_1x_coco', 'epoch_12.pth')
        >>> infer('photo.jpg', score=0.5)[0]
        {'label': 'cat', 'score': 0.93, 'box': {'xmin': 12, 'ymin': 40, 'xmax': 301, 'ymax': 220}, 'mask': <PIL...>}
    """

    task = 'detection'
    default_options: ClassVar[Mapping[str, Any]] = dict(score=None)

    @classmethod
    def fits(cls, model: nn.Module) -> bool:
        return 'BaseDetector' in {base.__name__ for base in type(model).__mro__}  # of mmdet

    def _checked(self, options: Mapping[str, Any]) -> dict[str, Any]:
        checked = super()._checked(options)
        score = checked['score']
        if score is not None and not 0 <= score <= 1:
            raise ConfigError(f'score={score!r} must be from 0 to 1')
        return checked

    @cached_property
    def _thresholds(self) -> list[tuple[ConfigDict, float]]:
        """Where the model keeps its own thresholds, and their values before a call lowers them."""
        return [(part, part['score_thr']) for part in thresholds_of(self.model)]

    def threshold(self, options: Mapping[str, Any]) -> float:
        """The lowest score of an object that counts."""
        if options['score'] is not None:
            return options['score']
        return max([DEFAULT_SCORE, *(own for _, own in self._thresholds)])

    def prepare(self, options: Mapping[str, Any]) -> None:
        """Let the model find all objects that count, which it would drop before."""
        score = self.threshold(options)
        for part, own in self._thresholds:
            if part['score_thr'] > score:
                _log.warning("score=%g: the model's own threshold is lowered to it (score_thr=%g)", score, own)
            part['score_thr'] = min(own, score)

    def objects(self, prediction: Prediction) -> Objects:
        """Those that count, the best one last."""
        from vlprompt.visualization import objects_of  # imports matplotlib

        return objects_of(prediction.sample.pred_instances).above(self.threshold(prediction.options))

    def to_dict(self, prediction: Prediction) -> list[dict[str, Any]]:
        found = self.objects(prediction)
        entries = []
        for number, (label, score, box) in enumerate(zip(found.labels, found.scores, found.boxes, strict=True)):
            corners = dict(zip(('xmin', 'ymin', 'xmax', 'ymax'), (round(float(x)) for x in box), strict=True))
            entry = dict(label=prediction.class_names[label], score=float(score), box=corners)
            if found.masks is not None:
                entry['mask'] = Image.fromarray(np.where(found.masks[number], 255, 0).astype(np.uint8))
            entries.append(entry)
        return entries[::-1]

    def to_array(self, prediction: Prediction) -> np.ndarray:
        found = self.objects(prediction)
        columns = (found.boxes, found.scores[:, None], found.labels[:, None])
        return np.concatenate(columns, 1).astype(np.float32)[::-1].copy()

    def summary(self, prediction: Prediction) -> str:
        found = self.objects(prediction)
        names = [prediction.class_names[label] for label in found.labels[::-1]]
        best = dict(zip(names[::-1], found.scores, strict=True))
        counts = Counter(names)
        return ', '.join(f'{n} {quoted(name)} ({100 * best[name]:.0f} %)' for name, n in counts.items()) or 'nothing'

    def draw(self, prediction: Prediction) -> Image.Image:
        from vlprompt.visualization import draw_objects, figure_to_image, title_of  # imports matplotlib

        found, score = self.objects(prediction), self.threshold(prediction.options)
        heading = f'{100 * score:.0f} % and more'
        if len(found.labels) > MAX_DRAWN:
            heading = f'{heading}, best of {len(found.labels)}'
        panel = {heading: found.last(MAX_DRAWN)}
        names, palette = prediction.class_names, prediction.palette
        return figure_to_image(draw_objects(prediction.picture(), panel, names, palette, title_of(prediction.name, 1)))


def thresholds_of(model: nn.Module) -> list[ConfigDict]:
    """The parts of the ``test_cfg`` of a detector and its heads that hold a ``score_thr``, each once."""
    found: dict[int, ConfigDict] = {}
    for module in model.modules():
        settings = getattr(module, 'test_cfg', None) or {}
        for part in (settings, *settings.values()):
            if isinstance(part, dict) and part.get('score_thr') is not None:
                found[id(part)] = part
    return list(found.values())
