"""Losses of pretraining."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor


def contrastive_loss(image: Tensor, text: Tensor, scale: Tensor) -> Tensor:
    """Mean of the cross-entropies image -> text and text -> image over the batch.

    Args:
        image: (N, D) features, not normalised.
        text: (N, D), text i is about image i.
        scale: factor of the cosines.
    """
    return _cross_entropies(_logits(image, text, scale))


def masked_contrast(image: Tensor, text: Tensor, truth: Tensor, scale: Tensor) -> Tensor:
    """:func:`contrastive_loss` whose negatives are wrong: texts that are true of an image by chance are left out.

    Args:
        image: (N, D) features, not normalised.
        text: (N, D), text i is about image i.
        truth: (N, N) bool, whether text j is true of image i.
        scale: factor of the cosines.
    """
    own = torch.eye(len(truth), dtype=torch.bool, device=truth.device)
    return _cross_entropies(_logits(image, text, scale).masked_fill(truth & ~own, float('-inf')))


def imitation_loss(student: Tensor, teacher: Tensor, text: Tensor, scale: Tensor) -> Tensor:
    """KL(teacher || student) of their distributions over texts, mean over images (https://arxiv.org/abs/1503.02531).

    Args:
        student: (B, D) features, not normalised.
        teacher: (B, D) of the same images, without gradient.
        text: (N, D) any texts.
        scale: factor of the cosines, of both.
    """
    ours, theirs = (_logits(image, text, scale).log_softmax(dim=1) for image in (student, teacher))
    return F.kl_div(ours, theirs, log_target=True, reduction='batchmean')


def _logits(image: Tensor, text: Tensor, scale: Tensor) -> Tensor:
    return scale * F.normalize(image, dim=-1) @ F.normalize(text, dim=-1).T


def _cross_entropies(logits: Tensor) -> Tensor:
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
