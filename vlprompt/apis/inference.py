"""Predictions of any model for image files without annotation."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import torch
from mmengine.dataset import Compose
from mmengine.structures import BaseDataElement
from torch import nn
from torch.utils.data import Dataset

from vlprompt.engine.features import image_loader
from vlprompt.errors import ConfigError

ANNOTATION_LOADERS = ('LoadAnnotations', 'LoadMask')
"""Steps of test pipelines that need annotations."""


class ImageFiles(Dataset):
    """Images without annotation, through the test pipeline of a config.

    Args:
        paths: of the images.
        pipeline: transforms of the test set, which begin with loading; those that read annotations are skipped.
        info: further entries for every image that a dataset would provide, such as ``camid``.
    """

    def __init__(self, paths: Sequence[str | Path], pipeline: Sequence[dict], **info: Any) -> None:
        self.paths = [str(path) for path in paths]
        self.pipeline = Compose([step for step in pipeline if not step['type'].endswith(ANNOTATION_LOADERS)])
        self.info = info

    def __len__(self) -> int:
        return len(self.paths)

    def __getitem__(self, index: int) -> dict:
        return self.pipeline(dict(img_path=self.paths[index], sample_idx=index, img_id=index, **self.info))


def load_files(model: nn.Module, paths: Sequence[str | Path], **info: Any) -> ImageFiles:
    """:class:`ImageFiles` as the test set of a model's config would load them.

    Raises:
        ConfigError: the config has no test set with a pipeline.
    """
    pipeline = ((model.cfg.get('test_dataloader') or {}).get('dataset') or {}).get('pipeline')
    if not pipeline:
        raise ConfigError('test_dataloader.dataset.pipeline: the config does not say how images are loaded')
    return ImageFiles(paths, pipeline, **info)


@torch.no_grad()
def predict_dataset(
    model: nn.Module, dataset: Dataset, batch_size: int = 1, num_workers: int = 0
) -> Iterator[BaseDataElement]:
    """The data samples of a dataset, in its order, with predictions.

    Args:
        model: as :func:`~vlprompt.apis.init_model` returns it.
        dataset: samples packed by the model's test pipeline.
        batch_size: images per batch; they must have one size after the pipeline, except for detectors, which pad.
        num_workers: processes that load images.
    """
    for batch in image_loader(dataset, batch_size, num_workers):
        yield from model.test_step(batch)


def predict_images(
    model: nn.Module, paths: Sequence[str | Path], batch_size: int = 1, num_workers: int = 0
) -> Iterator[BaseDataElement]:
    """Predictions for image files, one by one, in the order of ``paths``.

    Args:
        model: as :func:`~vlprompt.apis.init_model` returns it.
        paths: of the images.
        batch_size: images per batch, see :func:`predict_dataset`.
        num_workers: processes that load images.

    Yields:
        The task's data sample: ``pred_score`` (K,) and ``pred_label`` of classifiers, ``pred_sem_seg.data`` (1, H, W)
        of segmentors, ``pred_instances`` of detectors in pixels of the file, ``feature`` (D,) in re-identification.

    Example:
        >>> model = init_model('configs/plot/plot_rn50.py', 'work_dirs/plot/epoch_200.pth')
        >>> for sample in predict_images(model, ['a.jpg', 'b.jpg']):
        ...     print(sample.img_path, model.dataset_meta['classes'][int(sample.pred_label)])
    """
    return predict_dataset(model, load_files(model, paths), batch_size, num_workers)
