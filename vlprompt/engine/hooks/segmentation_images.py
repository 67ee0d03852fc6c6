"""Pictures of segmentations: the image, the prediction and the truth."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from mmengine.hooks import Hook
from mmengine.runner import Runner

from vlprompt.registry import HOOKS


@HOOKS.register_module()
class SegmentationImageHook(Hook):
    """Write one PNG per test image: ``<out_dir>/<number>_<file name>.png``.

    Args:
        out_dir: folder of the pictures, created if needed.
        interval: write every n-th image.
    """

    def __init__(self, out_dir: str, interval: int = 1) -> None:
        if interval < 1:
            raise ValueError(f'SegmentationImageHook: interval must be at least 1, got {interval}')
        self.out_dir = Path(out_dir)
        self.interval = interval
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
        # Training needs none of these.
        from vlprompt.visualization import Segmentation, draw_segmentation, fit, read_image, save_figure

        path = Path(sample.img_path)
        image = fit(read_image(path))
        truth = sample.gt_sem_seg.data[0].cpu().numpy() if 'gt_sem_seg' in sample else None
        prediction = sample.pred_sem_seg.data.squeeze(0).cpu().numpy()
        shown = Segmentation(prediction, self._classes, self._palette, truth).resized(image.shape[:2])
        title = str(Path(*path.parts[-3:]))
        save_figure(draw_segmentation(image, shown, title), self.out_dir / f'{number:06d}_{path.stem}.png')
