"""Pictures of predictions: the image the model saw, the truth and the most likely classes."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from mmengine.hooks import Hook
from mmengine.runner import Runner
from torch import Tensor

from vlprompt.prompts import readable
from vlprompt.registry import HOOKS


@HOOKS.register_module()
class PredictionImageHook(Hook):
    """Write one PNG per test image: ``<out_dir>/<right|wrong>/<number>_<file name>.png``.

    Args:
        out_dir: folder of the pictures, created if needed.
        interval: write every n-th image.
        top_k: classes shown with their scores.
    """

    def __init__(self, out_dir: str, interval: int = 1, top_k: int = 5) -> None:
        if interval < 1:
            raise ValueError(f'PredictionImageHook: interval must be at least 1, got {interval}')
        self.out_dir = Path(out_dir)
        self.interval = interval
        self.top_k = top_k
        self._seen = 0

    def before_test(self, runner: Runner) -> None:
        self._seen = 0
        classes = runner.test_dataloader.dataset.metainfo.get('classes')
        if classes is None:
            raise ValueError(
                'PredictionImageHook: the test dataset has no metainfo["classes"] to name predictions with'
            )
        self._classes = [readable(name) for name in classes]

    def after_test_iter(
        self, runner: Runner, batch_idx: int, data_batch: dict[str, Any], outputs: Sequence[Any]
    ) -> None:
        for image, sample in zip(data_batch['inputs'], outputs, strict=True):
            number = self._seen * runner.world_size + runner.rank
            self._seen += 1
            if number % self.interval == 0:
                self._write(image, sample, number)

    def _write(self, image: Tensor, sample: Any, number: int) -> None:
        from vlprompt.visualization import draw_prediction  # imported here: training needs no matplotlib

        true = int(sample.gt_label) if 'gt_label' in sample else None
        folder = 'unlabelled' if true is None else 'right' if true == int(sample.pred_label) else 'wrong'
        target = self.out_dir / folder / f'{number:06d}_{Path(str(sample.get("img_path") or "image")).stem}.png'
        target.parent.mkdir(parents=True, exist_ok=True)
        pixels = np.ascontiguousarray(image.cpu().numpy().transpose(1, 2, 0))
        draw_prediction(pixels, sample.pred_score.cpu(), self._classes, true, self.top_k).save(target)
