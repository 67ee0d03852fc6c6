"""Score maps as extra channels of a feature map (DenseCLIP, Rao et al., CVPR 2022)."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor


class ScoreConcat:
    """Append the K score channels to one of the maps.

    Args:
        stage: index of the map; as published, the last one of a ResNet (3, stride 32) and the one at the stride of the
            tokens of a ViT (2, stride 16), which have the grid of the score map.  For a map of another size the
            scores are resized bilinearly.
        temperature: *divides* the cosines; 1 in segmentation, 0.07 in detection.

    Raises:
        ValueError: ``temperature`` is not positive.
    """

    def __init__(self, stage: int = 3, temperature: float = 1.0) -> None:
        if temperature <= 0:
            raise ValueError(f'ScoreConcat: temperature must be positive, got {temperature}')
        self.stage, self.temperature = stage, temperature

    def __call__(self, maps: Sequence[Tensor], scores: Tensor) -> tuple[Tensor, ...]:
        """
        Args:
            maps: stage maps (B, C_i, h_i, w_i).
            scores: (B, K, h, w) cosines.

        Returns:
            The maps; that of ``stage`` has C_i + K channels, scores last.
        """
        chosen = maps[self.stage]
        scores = (scores / self.temperature).to(chosen.dtype)
        if scores.shape[-2:] != chosen.shape[-2:]:
            scores = F.interpolate(scores, size=chosen.shape[-2:], mode='bilinear', align_corners=False)
        return (*maps[: self.stage], torch.cat([chosen, scores], dim=1), *maps[self.stage + 1 :])

    def channels(self, channels: Sequence[int], num_classes: int) -> list[int]:
        """C_i of the maps, score channels included.

        Raises:
            ValueError: there is no map of index ``stage``.
        """
        if not 0 <= self.stage < len(channels):
            raise ValueError(f'ScoreConcat: stage={self.stage}, but there are maps 0 to {len(channels) - 1}')
        return [c + num_classes * (index == self.stage) for index, c in enumerate(channels)]
