"""The self-supervised tower whose places attend to one another in place of CLIP's (ProxyCLIP)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from vlprompt.clip.timm_vit import PRETRAINED, build_timm_vit

IMAGENET_MEAN, IMAGENET_STD = (123.675, 116.28, 103.53), (58.395, 57.12, 57.375)


class ProxyTower(nn.Module):
    """A plain vision transformer of timm, by default DINO's ViT-B/8, and what ProxyCLIP makes of its last map.

    Args:
        name, weights, arch: of :func:`~vlprompt.clip.timm_vit.build_timm_vit`.
        mean, std: of the pixels that it was trained on, 0 to 255.
        beta, gamma: of :func:`~vlprompt.clip.proxy_tokens.proxy_attention`.
    """

    def __init__(
        self,
        name: str | None = 'vit_base_patch8_224.dino',
        weights: str | None = PRETRAINED,
        arch: Mapping[str, Any] | None = None,
        mean: Sequence[float] = IMAGENET_MEAN,
        std: Sequence[float] = IMAGENET_STD,
        beta: float = 1.2,
        gamma: float = 3.0,
    ) -> None:
        super().__init__()
        self.visual, self.source = build_timm_vit(name, weights, arch)
        self.beta, self.gamma = beta, gamma
        self.register_buffer('mean', torch.tensor(mean).view(3, 1, 1), persistent=False)
        self.register_buffer('std', torch.tensor(std).view(3, 1, 1), persistent=False)

    def forward(self, pixels: Tensor) -> Tensor:
        """Last map (B, C, h, w), after the final norm, of images (B, 3, H, W) from 0 to 255."""
        tokens, grid = self.visual.embed((pixels - self.mean) / self.std)
        tokens, _ = self.visual.encode(tokens)
        return self.visual.to_map(self.visual.ln_post(tokens), grid)
