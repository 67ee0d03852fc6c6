"""Pictures of dense predictions: one file per test image."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from mmengine.hooks import Hook
from mmengine.runner import Runner


class DenseImageHook(Hook):
    """Write one PNG per test image: ``<out_dir>/<number>_<file name>.png``.

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
        self._seen = 0
        meta = runner.test_dataloader.dataset.metainfo
        self._classes, self._palette = list(meta['classes']), meta['palette']

    def after_test_iter(
        self, runner: Runner, batch_idx: int, data_batch: dict[str, Any], outputs: Sequence[Any]
    ) -> None:
        from vlprompt.visualization import save_figure  # training needs none

        for sample in outputs:
            number = self._seen * runner.world_size + runner.rank
            self._seen += 1
            if number % self.interval == 0:
                path = Path(sample.img_path)
                figure = self.draw(sample, path, str(Path(*path.parts[-3:])))
                save_figure(figure, self.out_dir / f'{number:06d}_{path.stem}.png')

    @abstractmethod
    def draw(self, sample: Any, path: Path, title: str) -> Any:
        """The figure of a predicted data sample, whose image lies at ``path``."""
