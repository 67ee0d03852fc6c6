"""Pictures of detections: what was found beside what is there."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from mmengine.hooks import Hook
from mmengine.runner import Runner

from vlprompt.registry import HOOKS


@HOOKS.register_module()
class DetectionImageHook(Hook):
    """Write one PNG per test image: ``<out_dir>/<number>_<file name>.png``.

    The truth is drawn where the test pipeline loads it, after the resize, as mmdet's pipelines do: boxes and masks are
    then those of the file.

    Args:
        out_dir: folder of the pictures, created if needed.
        interval: write every n-th image.
        score: predictions below it are not drawn.
    """

    def __init__(self, out_dir: str, interval: int = 1, score: float = 0.3) -> None:
        if interval < 1:
            raise ValueError(f'DetectionImageHook: interval must be at least 1, got {interval}')
        self.out_dir = Path(out_dir)
        self.interval, self.score = interval, score
        self._seen = 0

    def before_test(self, runner: Runner) -> None:
        self._seen = 0
        meta = runner.test_dataloader.dataset.metainfo
        self._classes, self._palette = list(meta['classes']), meta['palette']

    def after_test_iter(
        self, runner: Runner, batch_idx: int, data_batch: dict[str, Any], outputs: Sequence[Any]
    ) -> None:
        for sample in outputs:
            number = self._seen * runner.world_size + runner.rank
            self._seen += 1
            if number % self.interval == 0:
                self._write(sample, number)

    def _write(self, sample: Any, number: int) -> None:
        from vlprompt.visualization import draw_objects, objects_of, read_image, save_figure  # training needs none

        path = Path(sample.img_path)
        panels = {f'predicted, {100 * self.score:.0f} % and more': objects_of(sample.pred_instances).above(self.score)}
        if 'bboxes' in sample.get('gt_instances', ()):
            panels['ground truth'] = objects_of(sample.gt_instances)
        title = str(Path(*path.parts[-3:]))
        figure = draw_objects(read_image(path), panels, self._classes, self._palette, title)
        save_figure(figure, self.out_dir / f'{number:06d}_{path.stem}.png')
