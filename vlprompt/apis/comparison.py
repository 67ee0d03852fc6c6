"""Predictions of a classifier for its whole test set, to compare them with those of another."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from vlprompt.apis.inference import predict_dataset
from vlprompt.apis.inferencers.classification import ClassificationInferencer
from vlprompt.apis.model import init_model
from vlprompt.datasets.exif import applies_exif
from vlprompt.engine.hooks.data import agree_with_data
from vlprompt.errors import ConfigError
from vlprompt.prompts import readable
from vlprompt.registry import DATASETS
from vlprompt.visualization import read_image


@dataclass(frozen=True)
class TestPredictions:
    """Of the B images of a test set.

    Attributes:
        class_names: K names.
        paths: B files.
        labels: (B,) int64 true classes.
        scores: (B, K) float32 probabilities.
        upright: whether the pipeline turns images by their EXIF orientation.
    """

    __test__ = False  # no class of tests, for pytest

    class_names: list[str]
    paths: list[str]
    labels: Tensor
    scores: Tensor
    upright: bool

    @property
    def accuracy(self) -> float:
        """Share of the images whose most likely class is the true one."""
        return (self.scores.argmax(1) == self.labels).float().mean().item()

    def picture(self, number: int) -> np.ndarray:
        """An image (H, W, 3) uint8 RGB."""
        return read_image(self.paths[number], self.upright)


def predict_test_set(
    model: str, cfg_options: Mapping[str, Any] | None = None, device: str | torch.device = 'cpu'
) -> TestPredictions:
    """Build a classifier and predict the test set of its config.

    Args:
        model: ``CONFIG``, ``CONFIG=CHECKPOINT`` or an adapter.
        cfg_options: see :func:`~vlprompt.engine.load_config`.
        device: of the model.

    Raises:
        ConfigError: no classifier, or one for other classes than the test set has.
        Exception: as for :func:`~vlprompt.apis.init_model`.
    """
    config, _, checkpoint = model.partition('=')
    built = init_model(config, checkpoint or None, dict(cfg_options or {}), device)
    if not ClassificationInferencer.fits(built):
        raise ConfigError(f'{model}: {type(built).__name__} is no classifier, so it has no scores of classes')
    loader = built.cfg.test_dataloader
    dataset = DATASETS.build(loader.dataset)
    agree_with_data(built, dataset, f'the test set of {config}')
    samples = list(predict_dataset(built, dataset, loader.batch_size, loader.num_workers))
    return TestPredictions(
        class_names=[readable(name) for name in built.class_names],
        paths=[str(sample.img_path) for sample in samples],
        labels=torch.stack([sample.gt_label for sample in samples]).reshape(-1).cpu(),
        scores=torch.stack([sample.pred_score for sample in samples]).float().cpu(),
        upright=applies_exif(loader.dataset.pipeline),
    )
