"""What every alignment returns: how text met the image."""

from __future__ import annotations

from dataclasses import dataclass, field

from torch import Tensor


@dataclass
class Alignment:
    """Result of holding text features against image features.

    Attributes:
        logits: (B, K) class scores, already multiplied by the logit scale.
        maps: (B, K, h, w) cosine similarity of every local token to the class (mean over its prompts), or
            None where the alignment looks at the global feature only.
        plan: (B, K, M, N) transport plan between M = h*w local tokens and N prompts, or None.
        log: scalars worth a line in the training log, by name.
    """

    logits: Tensor
    maps: Tensor | None = None
    plan: Tensor | None = None
    log: dict[str, Tensor] = field(default_factory=dict)
