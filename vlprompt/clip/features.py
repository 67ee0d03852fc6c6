"""The features that an image tower returns."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor


@dataclass
class ClipFeatures:
    """Features of a batch of B images. Nothing here is L2-normalised.

    Attributes:
        cls: (B, D) global feature in the joint space, the one CLIP compares with text; with M sets of visual prompts
            the mean of the M class features.
        local: (B, N, D) one feature per grid cell in the joint space, N = h * w in row-major order, in the form that
            the tower's option ``local`` names; or None if not requested. With M sets of visual prompts, the M class
            features: N = M, grid (1, M).
        maps: (B, C_i, h_i, w_i) feature maps of the tower's stages, shallow first, *not* in the joint
            space (ResNet: outputs of the 4 stages; ViT: patch tokens after chosen blocks); empty
            if not requested.
        grid: (h, w) of ``local``.
        saliency: (B, N) attention of the global token (class token, or mean token of a ResNet) to the cells in the last
            attention, mean over heads, sum 1; or None if not requested.
    """

    cls: Tensor
    local: Tensor | None
    maps: tuple[Tensor, ...]
    grid: tuple[int, int]
    saliency: Tensor | None = None
