"""Pictures of predictions: the image the model saw under a line with its answer and the truth."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from mmengine.hooks import Hook
from mmengine.runner import Runner
from PIL import Image, ImageDraw, ImageFont
from torch import Tensor

from vlprompt.registry import HOOKS

_RIGHT, _WRONG, _UNKNOWN = '#1b7f3b', '#b3261e', '#444444'


@HOOKS.register_module()
class PredictionImageHook(Hook):
    """Write one PNG per test image: ``<out_dir>/<right|wrong>/<number>_<file name>.png``.

    Args:
        out_dir: folder of the pictures, created if needed.
        interval: write every n-th image.
        min_width: smaller images are enlarged to this width, in pixels, so that the line fits.
    """

    def __init__(self, out_dir: str, interval: int = 1, min_width: int = 320) -> None:
        if interval < 1:
            raise ValueError(f'PredictionImageHook: interval must be at least 1, got {interval}')
        self.out_dir = Path(out_dir)
        self.interval = interval
        self.min_width = min_width
        self._seen = 0

    def before_test(self, runner: Runner) -> None:
        self._seen = 0
        classes = runner.test_dataloader.dataset.metainfo.get('classes')
        if classes is None:
            raise ValueError(
                'PredictionImageHook: the test dataset has no metainfo["classes"] to name predictions with'
            )
        self._classes = list(classes)

    def after_test_iter(
        self, runner: Runner, batch_idx: int, data_batch: dict[str, Any], outputs: Sequence[Any]
    ) -> None:
        for image, sample in zip(data_batch['inputs'], outputs, strict=True):
            number = self._seen * runner.world_size + runner.rank
            self._seen += 1
            if number % self.interval == 0:
                self._write(image, sample, number)

    def _write(self, image: Tensor, sample: Any, number: int) -> None:
        predicted = int(sample.pred_label)
        text = f'{self._classes[predicted]} {float(sample.pred_score[predicted]):.2f}'
        folder, colour = 'unlabelled', _UNKNOWN
        if 'gt_label' in sample:
            true = int(sample.gt_label[0])
            folder, colour = ('right', _RIGHT) if true == predicted else ('wrong', _WRONG)
            text += '' if true == predicted else f'  (is: {self._classes[true]})'
        name = Path(str(sample.get('img_path') or 'image')).stem
        target = self.out_dir / folder / f'{number:06d}_{name}.png'
        target.parent.mkdir(parents=True, exist_ok=True)
        draw_prediction(image, text, colour, self.min_width).save(target)


def draw_prediction(image: Tensor, text: str, colour: str, min_width: int = 320) -> Image.Image:
    """A picture of an image (3, H, W), uint8 RGB, under a coloured line of text."""
    picture = Image.fromarray(np.ascontiguousarray(image.cpu().numpy().transpose(1, 2, 0)))
    if picture.width < min_width:
        picture = picture.resize((min_width, round(picture.height * min_width / picture.width)), Image.BICUBIC)
    font = ImageFont.load_default(size=16)
    canvas = Image.new('RGB', (picture.width, picture.height + 26), 'white')
    canvas.paste(picture, (0, 26))
    ImageDraw.Draw(canvas).text((6, 3), text, fill=colour, font=font)
    return canvas
