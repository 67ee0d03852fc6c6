"""Pictures of segmentations: the image, the prediction and the truth."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from vlprompt.engine.hooks.dense_images import DenseImageHook
from vlprompt.registry import HOOKS


@HOOKS.register_module()
class SegmentationImageHook(DenseImageHook):
    """Write one PNG per test image: ``<out_dir>/<number>_<file name>.png``."""

    def draw(self, sample: Any, path: Path, title: str) -> Any:
        from vlprompt.visualization import (  # training needs none
            Segmentation,
            draw_segmentation,
            fit_longest_side,
            read_image,
        )

        image = fit_longest_side(read_image(path))
        truth = sample.gt_sem_seg.data[0].cpu().numpy() if 'gt_sem_seg' in sample else None
        prediction = sample.pred_sem_seg.data.squeeze(0).cpu().numpy()
        shown = Segmentation(prediction, self._classes, self._palette, truth).resized(image.shape[:2])
        return draw_segmentation(image, shown, title)
