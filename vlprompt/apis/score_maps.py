"""Score maps of a DenseCLIP for any names."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from vlprompt.apis.inferencers.class_names import other_names


@torch.no_grad()
def score_maps_of(model: nn.Module, sample: Mapping[str, Any], names: Sequence[str] | None = None) -> Tensor:
    """Cosines of the places of an image and names.

    Args:
        model: a DenseCLIP segmentor or detector, as :func:`~vlprompt.apis.init_model` returns it.
        sample: of its test pipeline, with ``inputs`` and ``data_samples``.
        names: K names; None: those of the model's classes.

    Returns:
        (K, h, w), without what pads the image.
    """
    batch = dict(inputs=[sample['inputs']], data_samples=[sample['data_samples']])
    inputs = model.data_preprocessor(batch)['inputs']
    scores = score_maps(model, inputs, names)
    return without_padding(scores, tuple(inputs.shape[-2:]), tuple(sample['data_samples'].img_shape[:2]))


def score_maps(model: nn.Module, inputs: Tensor, names: Sequence[str] | None) -> Tensor:
    """(K, h, w) cosines of a preprocessed image (1, 3, H, W) to ``names``, or to the model's own classes."""
    with other_names(model, names):
        return model.score_map(inputs)[0]


def without_padding(scores: Tensor, padded: tuple[int, int], size: tuple[int, int]) -> Tensor:
    """The part of (K, h, w) scores of a padded input (H, W) that belongs to the image in its upper left corner."""
    if padded == size:
        return scores
    large = F.interpolate(scores[None], size=padded, mode='bilinear', align_corners=False)[0]
    return large[:, : size[0], : size[1]]
