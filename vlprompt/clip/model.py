"""CLIP: an image tower, a text tower and a temperature: https://arxiv.org/abs/2103.00020."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from math import log
from typing import Any

import torch
from torch import Tensor, nn

from vlprompt.clip.architectures import Architecture, find_architecture
from vlprompt.clip.features import ClipFeatures
from vlprompt.clip.low_rank import LoraOptions
from vlprompt.clip.resnet import ModifiedResNet
from vlprompt.clip.text.encoder import TextEncoder
from vlprompt.clip.text.tokens import PromptTokens
from vlprompt.clip.visual_prompts import VisualTokens
from vlprompt.clip.vit import VisionTransformer


@dataclass(frozen=True)
class ClipSource:
    """Source of weights.

    Attributes:
        name: the requested weights, such as ``'RN50:openai'`` or ``'file:ViT-B-32.pt'``.
        sha256: hash of the tensors (names, shapes and fp32 values), independent of file format and
            stored precision.
    """

    name: str
    sha256: str


VISION_OPTIONS = {
    ModifiedResNet: ('interpolation', 'last_stride', 'local'),
    VisionTransformer: ('drop_path', 'interpolation', 'local', 'out_indices', 'patch_stride'),
}
"""Image tower -> its options beside those that follow from the architecture."""


class CLIP(nn.Module):
    """Image and text tower with CLIP's initialisation; :func:`~vlprompt.clip.build_clip` adds weights.

    State-dict names are OpenAI's, with the text tower's under ``text.``.

    Args:
        arch: name, dict of sizes, or :class:`Architecture`.
        quick_gelu: OpenAI's activation instead of GELU, in both towers.
        image_size: pixels (side, or (H, W)) that determine the size of the image tower's position embedding,
            if it differs from the architecture's.
        vision: further options of the image tower: ``interpolation`` and ``local`` (the form of local features) for
            both, ``last_stride`` for :class:`~vlprompt.clip.ModifiedResNet`, ``patch_stride``, ``out_indices`` and
            ``drop_path`` for :class:`~vlprompt.clip.VisionTransformer`.

    Raises:
        ValueError: an option that this kind of image tower does not have, or a wrong value of one.

    Attributes:
        visual: the image tower.
        text: the text tower.
        logit_scale: logarithm of the factor of the cosines.
        arch: the architecture.
        source: source of the weights, None for random ones.
        lora: where the towers have low-rank branches; None: nowhere.
    """

    def __init__(
        self,
        arch: str | Mapping | Architecture,
        quick_gelu: bool = True,
        image_size: int | tuple[int, int] | None = None,
        vision: Mapping[str, Any] | None = None,
    ) -> None:
        super().__init__()
        self.arch = arch = find_architecture(arch)
        self.source: ClipSource | None = None
        self.lora: LoraOptions | None = None
        self.quick_gelu = quick_gelu
        tower = VisionTransformer if arch.is_vit else ModifiedResNet
        if unknown := sorted(set(vision or {}) - set(VISION_OPTIONS[tower])):
            raise ValueError(
                f'clip.vision has {", ".join(unknown)}, but the options of {arch.name}, a {tower.__name__}, are '
                f'{", ".join(VISION_OPTIONS[tower])}'
            )
        size = arch.image_size if image_size is None else image_size
        size = (size, size) if isinstance(size, int) else tuple(size)
        common = dict(
            layers=arch.vision_layers,
            width=arch.vision_width,
            embed_dim=arch.embed_dim,
            image_size=size,
            heads=arch.vision_heads,
            **(vision or {}),
        )
        self.visual: ModifiedResNet | VisionTransformer
        if arch.is_vit:
            common |= dict(patch_size=arch.vision_patch_size, mlp_width=arch.vision_mlp_width)
            self.visual = VisionTransformer(quick_gelu=quick_gelu, **common)
        else:
            common.setdefault('last_stride', arch.vision_stride // 16)
            self.visual = ModifiedResNet(**common)
        self.text = TextEncoder(
            embed_dim=arch.embed_dim,
            context_length=arch.context_length,
            vocab_size=arch.vocab_size,
            width=arch.transformer_width,
            heads=arch.transformer_heads,
            layers=arch.transformer_layers,
            quick_gelu=quick_gelu,
        )
        self.logit_scale = nn.Parameter(torch.tensor(log(1 / 0.07)))

    @property
    def embed_dim(self) -> int:
        """D of the joint space."""
        return self.arch.embed_dim

    def encode_image(
        self,
        images: Tensor,
        local: bool = True,
        maps: bool = True,
        prompts: VisualTokens | None = None,
        saliency: bool = False,
    ) -> ClipFeatures:
        """Features of normalised images (B, 3, H, W) of any size.

        Args:
            images: normalised with CLIP's mean and standard deviation.
            local: also compute the local features.
            maps: also return the stage maps.
            prompts: visual prompts, for a :class:`~vlprompt.clip.VisionTransformer`.
            saliency: also return the attention of the global token to the cells.

        Returns:
            ClipFeatures, nothing normalised.

        Raises:
            ValueError: visual prompts for a ResNet.
        """
        if prompts is None:
            return self.visual(images, local=local, maps=maps, saliency=saliency)
        if not self.arch.is_vit:
            raise ValueError(f'visual prompts need a vision transformer; {self.arch.name} is a ResNet')
        return self.visual(images, local=local, maps=maps, prompts=prompts, saliency=saliency)

    def encode_text(self, text: PromptTokens | Tensor, reference: bool = False) -> Tensor:
        """Text features in the joint space, not normalised.

        Args:
            text: prompts, or token ids (N, L) of plain texts.
            reference: compute all positions, see :class:`~vlprompt.clip.TextEncoder`.

        Returns:
            (P, K, D) for prompts, (N, D) for token ids.
        """
        if isinstance(text, PromptTokens):
            return self.text(text, reference=reference)
        return self.text(self.text.from_ids(text.unsqueeze(0)), reference=reference)[0]
