"""Pictures of predictions beside the truth: classes, segmentations and objects, one file per test image."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from mmengine.dist import barrier, is_main_process
from mmengine.hooks import Hook
from mmengine.runner import Runner
from torch import Tensor

from vlprompt.datasets.exif import applies_exif
from vlprompt.datasets.images import numbered_name, numbered_pattern
from vlprompt.files import set_aside
from vlprompt.prompts import readable
from vlprompt.registry import HOOKS

FOLDERS = ('right', 'wrong', 'unlabelled')
"""Of pictures of classified images."""


def _set_pictures_aside(folder: Path, *parts: str) -> None:
    if is_main_process():
        set_aside(folder, [str(Path(part, numbered_pattern())) for part in parts])
    barrier()  # nobody writes before that


@HOOKS.register_module()
class PredictionImageHook(Hook):
    """Write one PNG per test image: ``<out_dir>/<right|wrong>/<number>_<file name>.png``.

    Pictures of an earlier test are set aside.  Of an image with several views, such as five crops, the last is drawn.

    Args:
        out_dir: folder of the pictures, created if needed.
        interval: write every n-th image.
        top_k: classes shown with their scores.
    """

    reads_images = True
    """A test on stored features has no images."""

    def __init__(self, out_dir: str, interval: int = 1, top_k: int = 5) -> None:
        if interval < 1:
            raise ValueError(f'PredictionImageHook: interval must be at least 1, got {interval}')
        self.out_dir = Path(out_dir)
        self.interval = interval
        self.top_k = top_k
        self._seen = 0

    def before_test(self, runner: Runner) -> None:
        self._seen, self._images = 0, len(runner.test_dataloader.dataset)
        classes = runner.test_dataloader.dataset.metainfo.get('classes')
        if classes is None:
            raise ValueError(
                'PredictionImageHook: the test dataset has no metainfo["classes"] to name predictions with. '
                'Re-identification is drawn by vlprompt show-rank-list'
            )
        self._classes = [readable(name) for name in classes]
        _set_pictures_aside(self.out_dir, *FOLDERS)

    def after_test_iter(
        self, runner: Runner, batch_idx: int, data_batch: dict[str, Any], outputs: Sequence[Any]
    ) -> None:
        for image, sample in zip(data_batch['inputs'], outputs, strict=True):
            number = self._seen * runner.world_size + runner.rank
            self._seen += 1
            if number < self._images and number % self.interval == 0:  # not the samplers' repeats
                self._write(image if image.dim() == 3 else image[-1], sample, number)

    def _write(self, image: Tensor, sample: Any, number: int) -> None:
        from vlprompt.visualization import draw_prediction  # imported here: training needs no matplotlib

        true = int(sample.gt_label) if 'gt_label' in sample else None
        right, wrong, unlabelled = FOLDERS
        folder = unlabelled if true is None else right if true == int(sample.pred_label) else wrong
        target = self.out_dir / folder / numbered_name(number, sample.get('img_path') or 'image')
        target.parent.mkdir(parents=True, exist_ok=True)
        pixels = np.ascontiguousarray(image.cpu().numpy().transpose(1, 2, 0))
        draw_prediction(pixels, sample.pred_score.cpu(), self._classes, true, self.top_k).save(target)


class DenseImageHook(Hook):
    """Write one PNG per test image: ``<out_dir>/<number>_<file name>.png``.  Those of an earlier test are set aside.

    Args:
        out_dir: folder of the pictures, created if needed.
        interval: write every n-th image.

    Raises:
        ValueError: ``interval`` is below 1.
    """

    def __init__(self, out_dir: str, interval: int = 1) -> None:
        if interval < 1:
            raise ValueError(f'{type(self).__name__}: interval must be at least 1, got {interval}')
        self.out_dir = Path(out_dir)
        self.interval = interval
        self._seen = 0

    def before_test(self, runner: Runner) -> None:
        dataset = runner.test_dataloader.dataset
        self._seen, self._images = 0, len(dataset)
        meta = dataset.metainfo
        self._upright = applies_exif(getattr(getattr(dataset, 'pipeline', None), 'transforms', ()))
        self._classes, self._palette = list(meta['classes']), meta['palette']
        _set_pictures_aside(self.out_dir, '')

    def after_test_iter(
        self, runner: Runner, batch_idx: int, data_batch: dict[str, Any], outputs: Sequence[Any]
    ) -> None:
        from vlprompt.visualization import read_image, save_figure, title_of  # training needs none

        for sample in outputs:
            number = self._seen * runner.world_size + runner.rank
            self._seen += 1
            if number < self._images and number % self.interval == 0:  # not the samplers' repeats
                figure = self.draw(sample, read_image(sample.img_path, self._upright), title_of(sample.img_path))
                save_figure(figure, self.out_dir / numbered_name(number, sample.img_path))

    @abstractmethod
    def draw(self, sample: Any, image: np.ndarray, title: str) -> Any:
        """The figure of a predicted data sample of ``image`` (H, W, 3) uint8 RGB, as its pipeline loads it."""


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

    def draw(self, sample: Any, image: np.ndarray, title: str) -> Any:
        from vlprompt.visualization import draw_objects, objects_of  # training needs none

        panels = {f'predicted, {100 * self.score:.0f} % and more': objects_of(sample.pred_instances).above(self.score)}
        if 'bboxes' in sample.get('gt_instances', ()):
            panels['ground truth'] = objects_of(sample.gt_instances)
        return draw_objects(image, panels, self._classes, self._palette, title)


@HOOKS.register_module()
class SegmentationImageHook(DenseImageHook):
    """Write one PNG per test image: ``<out_dir>/<number>_<file name>.png``."""

    def draw(self, sample: Any, image: np.ndarray, title: str) -> Any:
        from vlprompt.visualization import Segmentation, draw_segmentation, fit_longest_side  # training needs none

        image = fit_longest_side(image)
        truth = sample.gt_sem_seg.data[0].cpu().numpy() if 'gt_sem_seg' in sample else None
        prediction = sample.pred_sem_seg.data.squeeze(0).cpu().numpy()
        shown = Segmentation(prediction, self._classes, self._palette, truth).resized(image.shape[:2])
        return draw_segmentation(image, shown, title)
