"""Losses of pretraining."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor


def masked_contrast(image: Tensor, text: Tensor, truth: Tensor, scale: Tensor) -> Tensor:
    """Symmetric contrastive loss whose negatives are wrong: texts that are true of an image by chance are left out.

    Args:
        image: (N, D) features, not normalised.
        text: (N, D), text i is about image i.
        truth: (N, N) bool, whether text j is true of image i.
        scale: factor of the cosines.

    Returns:
        Mean of the cross-entropies image -> text and text -> image.
    """
    logits = scale * F.normalize(image, dim=-1) @ F.normalize(text, dim=-1).T
    own = torch.eye(len(logits), dtype=torch.bool, device=logits.device)
    logits = logits.masked_fill(truth & ~own, float('-inf'))
    target = torch.arange(len(logits), device=logits.device)
    return (F.cross_entropy(logits, target) + F.cross_entropy(logits.T, target)) / 2


def pool_regions(local: Tensor, view: Tensor, weights: Tensor) -> Tensor:
    """Features of R regions: means of normalised local features.

    Args:
        local: (B, n, D) local features, not normalised.
        view: (R,) the view of each region.
        weights: (R, n) shares of the cells that sum to 1.

    Returns:
        (R, D).
    """
    return torch.einsum('rn,rnd->rd', weights, F.normalize(local, dim=-1)[view])
