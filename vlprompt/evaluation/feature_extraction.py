"""One pass over images for all analyses of features."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from vlprompt.models.tuners import Tuner, class_feature

TRUNK, TUNED = 'trunk', 'tuned'


@dataclass
class FeatureTable:
    """Features of N images under one or two models.

    Attributes:
        features: ``'trunk'``: of the frozen trunk alone; ``'tuned'``: with what was learned; each (N, D) float32 on the
            CPU, not normalised.  One of them is missing where the other says it all.
        labels: (N,) int64; -1 where an image has none.
        groups: (N, k) int64, the group prompts an image has chosen; None for a model without a pool.
    """

    features: dict[str, Tensor]
    labels: Tensor
    groups: Tensor | None = None


@torch.no_grad()
def extract_features(model: nn.Module, batches: Iterable[dict]) -> FeatureTable:
    """Features of the batches of a data loader, in their order.

    Args:
        model: a :class:`~vlprompt.models.HeadClassifier`, whose feature is the class token before the head, or
            a model with a frozen ``clip``, whose image feature is taken; in eval mode.
        batches: ``inputs`` and ``data_samples`` as ``pseudo_collate`` makes them.

    Raises:
        TypeError: a model that is neither.
        ValueError: no batch.
    """
    features: dict[str, list[Tensor]] = {}
    labels: list[Tensor] = []
    groups: list[Tensor] = []
    for batch in batches:
        data = model.data_preprocessor(batch)
        views, chosen = _views(model, data['inputs'])
        for name, view in views.items():
            features.setdefault(name, []).append(view.float().cpu())
        labels += [sample.get('gt_label', torch.tensor([-1])).cpu() for sample in data['data_samples']]
        if chosen is not None:
            groups.append(chosen.cpu())
    if not labels:
        raise ValueError('there is no image to compute features of')
    return FeatureTable(
        {name: torch.cat(parts) for name, parts in features.items()},
        torch.cat(labels),
        torch.cat(groups) if groups else None,
    )


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
