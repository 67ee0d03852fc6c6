"""CLIP: an image tower, a text tower and a temperature: https://arxiv.org/abs/2103.00020."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from math import log
from typing import Any

import torch
from torch import Tensor, nn

from vlprompt.clip.architectures import Architecture, find_architecture
from vlprompt.clip.features import ClipFeatures
from vlprompt.clip.low_rank import LoraOptions
from vlprompt.clip.open_clip_config import OpenClipArchitecture
from vlprompt.clip.preprocessing import Preprocessing
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

    An architecture of open_clip whose image tower is timm's (SigLIP, PE-Core, EVA, MobileCLIP, ...) has a
    :class:`~vlprompt.clip.open_clip_towers.TimmImageTower`, and a text tower of its own kind where that is not CLIP's.

    Args:
        arch: name, dict of sizes, or :class:`Architecture`.
        quick_gelu: OpenAI's activation instead of GELU, in both towers; None: as OpenAI's models, or the config of
            open_clip, have it.
        image_size: pixels (side, or (H, W)) that determine the size of the image tower's position embedding,
            if it differs from the architecture's.
        vision: further options of the image tower: ``local`` (the form of local features) for all, ``interpolation``
            for both of ours, ``last_stride`` for :class:`~vlprompt.clip.ModifiedResNet`, ``patch_stride`` and
            ``drop_path`` for :class:`~vlprompt.clip.VisionTransformer`, ``out_indices`` for the latter and towers of
            timm.

    Raises:
        ValueError: an option that this kind of image tower does not have, or a wrong value of one.

    Attributes:
        visual: the image tower.
        text: the text tower.
        logit_scale: logarithm of the factor of the cosines.
        logit_bias: added to the logits by a model trained with sigmoids (SigLIP), else None; it changes no softmax.
        preprocessing: how images were prepared in training; None where the weights do not tell.
        arch: the architecture.
        source: source of the weights, None for random ones.
        lora: where the towers have low-rank branches; None: nowhere.
    """

    def __init__(
        self,
        arch: str | Mapping | Architecture | OpenClipArchitecture,
        quick_gelu: bool | None = None,
        image_size: int | tuple[int, int] | None = None,
        vision: Mapping[str, Any] | None = None,
    ) -> None:
        super().__init__()
        self.arch = arch = find_architecture(arch)
        self.source: ClipSource | None = None
        self.lora: LoraOptions | None = None
        self.preprocessing: Preprocessing | None = None
        if quick_gelu is None:
            quick_gelu = isinstance(arch, Architecture) or arch.quick_gelu
        self.quick_gelu = quick_gelu
        self.logit_scale = nn.Parameter(torch.tensor(log(1 / 0.07)))
        self.register_buffer('logit_bias', None)
        if isinstance(arch, Architecture):
            self._build_own_towers(arch, quick_gelu, image_size, vision)
        else:
            self._build_foreign_towers(replace(arch, quick_gelu=quick_gelu), image_size, vision)

    def _build_foreign_towers(
        self, arch: OpenClipArchitecture, image_size: int | tuple[int, int] | None, vision: Mapping[str, Any] | None
    ) -> None:
        from vlprompt.clip.open_clip_towers import build_towers  # which loads open_clip and timm

        options = dict(vision or {})
        if (local := options.pop('local', 'native')) != 'native':
            raise ValueError(
                f"clip.vision.local={local!r}: {arch.name} has {arch.described}, whose form is 'native' alone: leave "
                'it out (--cfg-options model.clip.vision=None)'
            )
        if unknown := sorted(set(options) - {'out_indices'}):
            raise ValueError(
                f'clip.vision has {", ".join(unknown)}, but the only option of {arch.name}, {arch.described}, is '
                'out_indices: leave the others out (--cfg-options model.clip.vision=None)'
            )
        self.visual, self.text = build_towers(arch, image_size, **options)
        if arch.logit_bias:
            self.register_buffer('logit_bias', torch.tensor(-10.0))

    def _build_own_towers(
        self,
        arch: Architecture,
        quick_gelu: bool,
        image_size: int | tuple[int, int] | None,
        vision: Mapping[str, Any] | None,
    ) -> None:
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

    @property
    def cell_size(self) -> int:
        """Side in pixels of the square that one local feature stands for."""
        return self.arch.cell_size if isinstance(self.arch, Architecture) else self.visual.cell_size

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
            prompts: visual prompts, for a vision transformer.
            saliency: also return the attention of the global token to the cells.

        Returns:
            ClipFeatures, nothing normalised.

        Raises:
            ValueError: visual prompts for a tower that takes none.
            ImageSizeError: another size than a tower of timm was built for.
        """
        if prompts is None:
            return self.visual(images, local=local, maps=maps, saliency=saliency)
        self.visual.prompt_sizes()  # or an error: this tower takes none
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
