"""The result of an alignment of image and text."""

from __future__ import annotations

from dataclasses import dataclass, field

import torch
from torch import Tensor

from vlprompt.clip.features import ClipFeatures


@dataclass
class Alignment:
    """Result of comparing image features with text features.

    Attributes:
        logits: (B, K) class scores, already multiplied by the logit scale.
        maps: (B, K, h, w) cosine similarity of every local token to the class (mean over its prompts), or
            None if the alignment reads the global feature only.
        plan: (B, K, M, N) transport plan between M = h*w local tokens and N prompts, or None.
        log: scalars for the training log, by name.
        text: (P, K, D) or (B, P, K, D) the text features, not normalised, for losses on them; set by the model.
        image: the features of the B images, not normalised; set by the model.
    """

    logits: Tensor
    maps: Tensor | None = None
    plan: Tensor | None = None
    log: dict[str, Tensor] = field(default_factory=dict)
    text: Tensor | None = None
    image: ClipFeatures | None = None


def inner_products(image: Tensor, text: Tensor) -> Tensor:
    """Image features (B, D) times text features of classes, (K, D) or of each image (B, K, D): (B, K)."""
    return image @ text.t() if text.dim() == 2 else torch.einsum('bd,bkd->bk', image, text)
