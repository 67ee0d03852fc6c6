"""Triplet loss with the hardest positive and negative of the batch (Hermans et al., 2017)."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F


def hard_distances(features: Tensor, labels: Tensor, half: bool = False) -> tuple[Tensor, Tensor]:
    """Distances of every sample to its farthest positive and its nearest negative.

    Args:
        features: (B, D), not normalised.
        labels: (B,) long.  A sample counts as its own positive, at distance zero.
        half: take the products of features in float16, as the published code does under autocast (squared norms stay in
            float32): squared distances of features of norm 25 are then off by up to 0.5.

    Returns:
        (B,) and (B,) Euclidean distances, at least 1e-6, in float32; the second are NaN if all labels are equal, since
        there is no negative then.
    """
    with torch.autocast(features.device.type, enabled=False):
        features = features.float()
        if half:
            squared, factors = features.square().sum(1), features.half()
            distance = (squared[:, None] + squared - 2 * (factors @ factors.T).float()).clamp(min=1e-12).sqrt()
        else:  # no product, which a GPU may round
            distance = torch.cdist(features, features, compute_mode='donot_use_mm_for_euclid_dist').clamp(min=1e-6)
    same = labels[:, None] == labels
    farthest = distance.masked_fill(~same, -torch.inf).amax(1)
    nearest = distance.masked_fill(same, torch.inf).amin(1)
    return farthest, nearest.masked_fill(nearest.isinf(), torch.nan)


def batch_hard_triplet(features: Tensor, labels: Tensor, margin: float | None = 0.3, half: bool = False) -> Tensor:
    """Mean of ``relu(d_ap - d_an + margin)`` over the samples, of the :func:`hard_distances`; a float32 scalar.

    NaN if all labels are equal, since there is no negative: batches need several identities
    (``sampler=dict(type='vlprompt.PKSampler')``).

    Args:
        features: (B, D), not normalised.
        labels: (B,) long.
        margin: None: the soft margin ``log(1 + exp(d_ap - d_an))``.
        half: see :func:`hard_distances`.
    """
    farthest, nearest = hard_distances(features, labels, half)
    difference = farthest - nearest
    return (F.softplus(difference) if margin is None else F.relu(difference + margin)).mean()
