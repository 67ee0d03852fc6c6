"""Descriptors of images for re-identification, and the metric of a config."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from mmengine.config import Config
from torch import nn
from torch.utils.data import Dataset

from vlprompt.apis.inference import ImageFiles, load_files, predict_dataset
from vlprompt.apis.sources import ChannelOrder, ImageSource
from vlprompt.evaluation.ranking import Descriptors
from vlprompt.evaluation.retrieval import RetrievalMetric
from vlprompt.evaluation.same_files import same_files
from vlprompt.registry import METRICS
from vlprompt.structures import ReIDSample


def person_files(
    model: nn.Module,
    images: ImageSource | Sequence[ImageSource],
    camid: int = -1,
    channel_order: ChannelOrder = 'rgb',
) -> ImageFiles:
    """Images for a re-identifier: of unknown identity, all from one camera.

    Args:
        model: a re-identifier, as :func:`~vlprompt.apis.init_model` returns it.
        images: as for :func:`~vlprompt.apis.predict_images`.
        camid: the camera, counted from 0; -1: unknown.
        channel_order: of arrays.
    """
    return load_files(model, images, channel_order, pid=-1, camid=camid, viewid=0, role='gallery')


def describe_images(
    model: nn.Module,
    dataset: Dataset,
    batch_size: int = 64,
    num_workers: int = 0,
) -> list[ReIDSample]:
    """The samples of a dataset, each with its descriptor as ``feature`` (D,) float32 on the CPU.

    Args:
        model: a re-identifier, as :func:`~vlprompt.apis.init_model` returns it.
        dataset: a :class:`~vlprompt.datasets.reid.dataset.ReIDDataset` or :func:`person_files`.
        batch_size: images per batch.
        num_workers: processes that load images.

    Raises:
        TypeError: the model predicts no descriptors.
    """
    samples = []
    for sample in predict_dataset(model, dataset, batch_size, num_workers):
        if 'feature' not in sample:
            raise TypeError(f'{type(model).__name__} predicts no descriptors; use a model for re-identification')
        samples.append(sample.set_feature(sample.feature.float().cpu()))
    return samples


def stack_descriptors(samples: Sequence[ReIDSample]) -> Descriptors:
    """Features (N, D), identities, cameras and files (N,) of samples.

    Files have equal numbers if they have the same content.  The numbers of two calls have nothing to do with each
    other: stack queries and gallery at once, and part them with :meth:`~vlprompt.evaluation.ranking.Descriptors.take`.
    """
    pids, camids = (torch.tensor([getattr(sample, key) for sample in samples]) for key in ('pid', 'camid'))
    files = torch.from_numpy(same_files([sample.img_path for sample in samples]).numbers)
    return Descriptors(torch.stack([sample.feature for sample in samples]), pids, camids, files)


def retrieval_metric(cfg: Config, **changes: Any) -> RetrievalMetric:
    """The metric by which a config tests re-identification, or a plain one if it has none.

    Args:
        cfg: config of a model.
        changes: other arguments of :class:`~vlprompt.evaluation.RetrievalMetric`.
    """
    evaluators = cfg.get('test_evaluator') or []
    for options in [evaluators] if isinstance(evaluators, dict) else evaluators:
        kind = METRICS.get(options['type']) if isinstance(options['type'], str) else options['type']
        if isinstance(kind, type) and issubclass(kind, RetrievalMetric):
            return METRICS.build({**options, **changes})
    return RetrievalMetric(**changes)
