"""A narrow branch beside each MLP: AdaptFormer (Chen et al., NeurIPS 2022) as used by LIFT (Shi et al., ICML 2024)."""

from __future__ import annotations

from math import log2

import torch
from torch import Tensor, nn

from vlprompt.clip import VisionTransformer
from vlprompt.clip.layers import LayerNorm
from vlprompt.models.tuners.base import Terms, Tuner, class_feature
from vlprompt.registry import MODELS


@MODELS.register_module()
class AdaptFormer(Tuner):
    """One :class:`Bottleneck` for each of the L blocks of a trunk.

    Args:
        visual: the trunk, for its width and its L blocks.
        num_classes: C, from which the default rank follows.
        rank: r; None: 2^max(0, floor(log2(C / 2L))), so that it has about as many parameters as the
            classifier: 4 for 100 classes, 8 for 365, 32 for 1000, 256 for 8142 in 12 blocks.
    """

    def __init__(self, visual: VisionTransformer, num_classes: int, rank: int | None = None) -> None:
        super().__init__(visual, num_classes)
        if not hasattr(visual, 'transformer'):
            raise ValueError(f'AdaptFormer: {visual.name} has blocks without a place for branches: take a ViT of CLIP')
        layers = len(visual.transformer.resblocks)
        self.rank = default_rank(num_classes, layers) if rank is None else rank
        self.branches = nn.ModuleList(Bottleneck(visual.width, self.rank) for _ in range(layers))

    def feature(self, visual: VisionTransformer, images: Tensor) -> tuple[Tensor, Terms]:
        return class_feature(visual, images, adapters=list(self.branches)), Terms()


class Bottleneck(nn.Module):
    """``scale * Up(ReLU(Down(LN(x))))``, initially zero; ``scale`` is learned and starts at 1."""

    def __init__(self, width: int, rank: int) -> None:
        super().__init__()
        self.norm = LayerNorm(width)
        self.down = nn.Linear(width, rank)
        self.up = nn.Linear(rank, width)
        self.scale = nn.Parameter(torch.ones(1))
        nn.init.kaiming_normal_(self.down.weight, a=5**0.5)
        for parameter in (self.down.bias, self.up.weight, self.up.bias):
            nn.init.zeros_(parameter)

    def forward(self, x: Tensor) -> Tensor:
        """(..., width) -> (..., width)."""
        return self.scale * self.up(self.down(self.norm(x)).relu())


def default_rank(num_classes: int, layers: int) -> int:
    """LIFT's rank of the adapters: the largest power of two up to C / 2L, at least 1."""
    return 2 ** max(0, int(log2(num_classes / (2 * layers)) // 1))
