"""Pictures of detections beside the ground truth."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from vlprompt.engine.hooks.dense_images import DenseImageHook
from vlprompt.registry import HOOKS


@HOOKS.register_module()
class DetectionImageHook(DenseImageHook):
    """Write one PNG per test image: ``<out_dir>/<number>_<file name>.png``.

    The ground truth is drawn if the test pipeline loads it after the resize, as mmdet's pipelines do: boxes and masks
    are then those of the file.

    Args:
        out_dir: folder of the pictures, created if needed.
        interval: write every n-th image.
        score: smallest score of a prediction that is drawn.
    """

    def __init__(self, out_dir: str, interval: int = 1, score: float = 0.3) -> None:
        super().__init__(out_dir, interval)
        self.score = score

    def draw(self, sample: Any, path: Path, title: str) -> Any:
        from vlprompt.visualization import draw_objects, objects_of, read_image  # training needs none

        panels = {f'predicted, {100 * self.score:.0f} % and more': objects_of(sample.pred_instances).above(self.score)}
        if 'bboxes' in sample.get('gt_instances', ()):
            panels['ground truth'] = objects_of(sample.gt_instances)
        return draw_objects(read_image(path), panels, self._classes, self._palette, title)
