"""Pixel-text score maps (DenseCLIP, Rao et al., CVPR 2022)."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor


def score_map(z: Tensor, text: Tensor) -> Tensor:
    """Cosine similarity of every pixel to every class: ``s[b, k, y, x] = <z^[b, :, y, x], t^[b, k, :]>``.

    Raw cosines in [-1, 1].  DenseCLIP *divides* them by a temperature of 0.07 in the auxiliary loss and, in detection,
    also before the maps are concatenated; in segmentation raw cosines are concatenated.

    Args:
        z: (B, C, h, w) dense image embedding in the joint space, not normalised.
        text: (B, K, C) text features of each image, or (1, K, C) shared by all; not normalised.

    Returns:
        (B, K, h, w) float32, also under autocast.

    Raises:
        ValueError: inconsistent shapes.
    """
    if z.dim() != 4 or text.dim() != 3 or z.shape[1] != text.shape[2] or text.shape[0] not in (1, z.shape[0]):
        raise ValueError(
            f'expected z (B, C, h, w) and text (B or 1, K, C), got {tuple(z.shape)} and {tuple(text.shape)}'
        )
    with torch.autocast(z.device.type, enabled=False):
        pixels = F.normalize(z.float(), dim=1).flatten(2)
        return (F.normalize(text.float(), dim=-1) @ pixels).unflatten(-1, z.shape[-2:])
