"""Features of images under the frozen trunk and under the tuned model, for all analyses of features."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.data import Dataset

from vlprompt.engine.features import compute_features
from vlprompt.models.tuners import Tuner, class_feature

TRUNK, TUNED = 'trunk', 'tuned'


@dataclass
class FeatureTable:
    """Features of N images under one or two models.

    Attributes:
        features: ``'trunk'``: of the frozen trunk alone; ``'tuned'``: of the tuned model; each (N, D) float32 on the
            CPU, not normalised.  One of them is missing if both would be equal.
        labels: (N,) int64; -1 for images without a label.
        groups: (N, k) int64, the group prompts chosen by each image; None for a model without a pool.
    """

    features: dict[str, Tensor]
    labels: Tensor
    groups: Tensor | None = None


def feature_table(model: nn.Module, dataset: Dataset, batch_size: int = 64, num_workers: int = 0) -> FeatureTable:
    """Features of all images of a dataset, in its order.

    Args:
        model: a :class:`~vlprompt.models.HeadClassifier`, whose feature is the class token before the head, or
            a model with a frozen ``clip``, whose image feature is used.
        dataset: samples packed by the model's test pipeline.
        batch_size: images per batch.
        num_workers: processes that load images.

    Raises:
        TypeError: another model.
        ValueError: an empty dataset.
    """

    def views(batch: dict[str, Any]) -> dict[str, Tensor]:
        features, groups = _views(model, batch['inputs'])
        found = {name: view.float() for name, view in features.items()}
        found['labels'] = torch.cat([sample.get('gt_label', torch.tensor([-1])) for sample in batch['data_samples']])
        return found if groups is None else found | dict(groups=groups)

    found = compute_features(views, model, dataset, batch_size, num_workers)
    labels, groups = found.pop('labels'), found.pop('groups', None)
    return FeatureTable(found, labels, groups)


def _views(model: nn.Module, images: Tensor) -> tuple[dict[str, Tensor], Tensor | None]:
    """Features by name, (B, D) each, and the chosen groups (B, k)."""
    if hasattr(model, 'visual') and hasattr(model, 'feature'):
        views = {}
        if not any(parameter.requires_grad for parameter in model.visual.parameters()):
            views[TRUNK] = class_feature(model.visual, images)
        groups = None
        if TRUNK not in views or type(model.tuner) is not Tuner:
            views[TUNED], terms = model.feature(images)
            groups = terms.fields.get('matched_groups')
        return views, groups
    if hasattr(model, 'clip'):
        return {TRUNK: model.clip.encode_image(images, local=False, maps=False).cls}, None
    raise TypeError(
        f'{type(model).__name__} has neither a visual trunk with a feature nor a CLIP to take features from'
    )
