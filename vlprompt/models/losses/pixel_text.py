"""Supervision of the score maps: the auxiliary segmentation loss of DenseCLIP (Rao et al., CVPR 2022)."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from vlprompt.registry import MODELS


@MODELS.register_module()
class PixelTextLoss(nn.Module):
    """Cross-entropy of score maps, upsampled to the labels; no parameters.

    Args:
        temperature: *divides* the cosines.
        weight: factor of the loss.
        ignore_index: label without supervision.
        avg_non_ignore: average over labelled pixels.  False, as published, divides by all pixels.

    Raises:
        ValueError: ``temperature`` is not positive.
    """

    def __init__(
        self, temperature: float = 0.07, weight: float = 0.4, ignore_index: int = 255, avg_non_ignore: bool = False
    ) -> None:
        super().__init__()
        if temperature <= 0:
            raise ValueError(f'PixelTextLoss: temperature must be positive, got {temperature}')
        self.temperature, self.weight = temperature, weight
        self.ignore_index, self.avg_non_ignore = ignore_index, avg_non_ignore

    def forward(self, scores: Tensor, labels: Tensor) -> dict[str, Tensor]:
        """
        Args:
            scores: (B, K, h, w) cosines.
            labels: (B, H, W) class ids.

        Returns:
            ``loss_ce`` and ``acc_seg``, the percentage of labelled pixels whose class scores highest.
        """
        with torch.autocast(scores.device.type, enabled=False):
            logits = F.interpolate(
                scores.float() / self.temperature, size=labels.shape[-2:], mode='bilinear', align_corners=False
            )
            total = F.cross_entropy(logits, labels, ignore_index=self.ignore_index, reduction='sum')
        labelled = labels != self.ignore_index
        pixels = labelled.sum().clamp(min=1) if self.avg_non_ignore else labels.numel()
        correct = (logits.argmax(1) == labels) & labelled
        return {
            'loss_ce': self.weight * total / pixels,
            'acc_seg': 100 * correct.sum() / labelled.sum().clamp(min=1),
        }

    def extra_repr(self) -> str:
        return f'temperature={self.temperature}, weight={self.weight}, ignore_index={self.ignore_index}'
