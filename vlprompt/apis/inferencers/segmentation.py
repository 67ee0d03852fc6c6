"""Classes of pixels."""

from __future__ import annotations

from typing import Any

import numpy as np
from PIL import Image
from torch import nn

from vlprompt.apis.inferencers.base import Inferencer
from vlprompt.apis.inferencers.prediction import Prediction
from vlprompt.messages import quoted


class SegmentationInferencer(Inferencer):
    """Semantic segmentation, by a model of mmseg: DenseCLIP, or by words alone.

    Results: ``'dict'``: ``[{'label', 'score', 'mask'}, ...]`` of the classes that occur, the largest first, where the
    score is None and the mask a PIL image of mode L, as large as the image, 255 for the class and 0 elsewhere;
    ``'array'``: (H, W) int64, positions in ``class_names``; ``'picture'``: the image beside its coloured classes.

    Example:
        >>> infer = SegmentationInferencer('segment_by_words/naclip_vit-b16', class_names=['sofa, couch', 'cat'])
        >>> infer('photo.jpg')[0]['mask'].size
        (640, 480)
    """

    task = 'segmentation'

    @classmethod
    def fits(cls, model: nn.Module) -> bool:
        return 'BaseSegmentor' in {base.__name__ for base in type(model).__mro__}  # of mmseg

    def to_dict(self, prediction: Prediction) -> list[dict[str, Any]]:
        mask = self.to_array(prediction)
        return [
            dict(label=name, score=None, mask=Image.fromarray(np.where(mask == index, 255, 0).astype(np.uint8)))
            for index, (name, _) in self._found(prediction)
        ]

    def to_array(self, prediction: Prediction) -> np.ndarray:
        return prediction.sample.pred_sem_seg.data[0].cpu().numpy()

    def shares(self, prediction: Prediction) -> dict[str, float]:
        """Share of the pixels of every class that occurs, the largest first."""
        return dict(found for _, found in self._found(prediction))

    def _found(self, prediction: Prediction) -> list[tuple[int, tuple[str, float]]]:
        mask = self.to_array(prediction)
        labels, counts = np.unique(mask, return_counts=True)
        return [
            (int(labels[i]), (prediction.class_names[labels[i]], float(counts[i]) / mask.size))
            for i in np.argsort(-counts, kind='stable')
        ]

    def summary(self, prediction: Prediction) -> str:
        return ', '.join(f'{quoted(name)} {100 * share:.1f} %' for name, share in self.shares(prediction).items())

    def draw(self, prediction: Prediction) -> Image.Image:
        from vlprompt.visualization import (  # imports matplotlib
            Segmentation,
            draw_segmentation,
            figure_to_image,
            fit_longest_side,
            title_of,
        )

        image = fit_longest_side(prediction.picture())
        found = Segmentation(self.to_array(prediction), prediction.class_names, prediction.palette)
        return figure_to_image(draw_segmentation(image, found.resized(image.shape[:2]), title_of(prediction.name, 1)))
