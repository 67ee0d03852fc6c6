"""Classes of images."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np
from PIL import Image
from torch import nn

from vlprompt.apis.inferencers.base import Inferencer
from vlprompt.apis.inferencers.prediction import Prediction
from vlprompt.messages import quoted


class ClassificationInferencer(Inferencer):
    """Classes of images, by any classifier: few-shot, long-tailed, or zero-shot by words.

    Results: ``'dict'``: ``[{'label', 'score'}, ...]``, the best class first; ``'array'``: (K,) float32 scores in the
    order of ``class_names``; ``'picture'``: the image beside bars of its classes.

    Args:
        *args: see :class:`.Inferencer`.
        top_k: classes in a result and in a picture; None: all of them.
        **kwargs: see :class:`.Inferencer`.

    Example:
        >>> infer = ClassificationInferencer('zero_shot/zero-shot_vit-b16', class_names=['cat', 'dog'])
        >>> infer('photo.jpg')
        [{'label': 'cat', 'score': 0.93}, {'label': 'dog', 'score': 0.07}]
        >>> infer(cv2.imread('photo.jpg'), channel_order='bgr', class_names=['lawn', 'sofa', 'street'], top_k=1)
    """

    task = 'classification'
    default_options: ClassVar[Mapping[str, Any]] = dict(top_k=5)

    @classmethod
    def fits(cls, model: nn.Module) -> bool:
        others = {'BaseSegmentor', 'BaseDetector'}  # of mmseg and mmdet, which need not be imported
        return not hasattr(model, 'describe') and not others & {base.__name__ for base in type(model).__mro__}

    def to_dict(self, prediction: Prediction) -> list[dict[str, Any]]:
        top_k = prediction.options['top_k']
        count = len(prediction.class_names)
        found = prediction.sample.pred_score.topk(count if top_k is None else min(top_k, count))
        return [
            dict(label=prediction.class_names[label], score=score)
            for label, score in zip(found.indices.tolist(), found.values.tolist(), strict=True)
        ]

    def to_array(self, prediction: Prediction) -> np.ndarray:
        return prediction.sample.pred_score.float().cpu().numpy()

    def summary(self, prediction: Prediction) -> str:
        found = self.to_dict(prediction)
        return ', '.join(f'{quoted(entry["label"])} {100 * entry["score"]:.1f} %' for entry in found)

    def draw(self, prediction: Prediction) -> Image.Image:
        from vlprompt.visualization import draw_prediction, fit_longest_side  # imports matplotlib

        names, top_k = prediction.class_names, prediction.options['top_k']
        image = fit_longest_side(prediction.picture())
        return draw_prediction(image, prediction.sample.pred_score.cpu(), names, top_k=top_k or len(names))
