"""Prompts as input of the text tower: embeddings, with the shared part separate."""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from vlprompt.clip.text.packing import TextLayout


@dataclass
class PromptTokens:
    """P prompts for each of K classes, before position embeddings are added.

    The part that all classes of a prompt share is in ``prefix``, which the text tower computes once. So
    sharing is a property of the data and not a flag: with class-specific context the prefix is the start
    token alone, with context before the name it is start token + context.

    Attributes:
        prefix: (P, S, W) positions 0 .. S-1: start token and everything that all classes share; S >= 1 if the tower
            has a start token.
        suffix: (P, K, R, W) positions S .. S+R-1, class by class. Rows after the end token must be finite, and have no
            effect. May be an expanded view.
        layout: where the P x K texts end, S <= end < S + R.
        deep: deep prompts (MaPLe, IVLP): entry i, (P, n, W) with n < S, replaces the residual stream at positions
            1 .. n before block i + 1.  They carry no position embedding.  Since these positions are in the
            prefix, their keys and values are shared by all classes too.

    Raises:
        ValueError: inconsistent shapes, or deep prompts that reach beyond the prefix.
    """

    prefix: Tensor
    suffix: Tensor
    layout: TextLayout
    deep: tuple[Tensor, ...] = ()

    def __post_init__(self) -> None:
        ends = (self.layout.num_prompts, self.layout.num_classes)
        shapes = f'prefix {tuple(self.prefix.shape)}, suffix {tuple(self.suffix.shape)}, layout {ends}'
        if self.prefix.dim() != 3 or self.suffix.dim() != 4:
            raise ValueError(f'expected prefix (P, S, W), suffix (P, K, R, W), layout (P, K); got {shapes}')
        prompts, shared, width = self.prefix.shape
        if tuple(self.suffix.shape[:2]) != ends or self.suffix.shape[0] != prompts or self.suffix.shape[3] != width:
            raise ValueError(
                f'P, K and W must agree between prefix (P, S, W), suffix (P, K, R, W), layout (P, K); got {shapes}'
            )
        for tokens in self.deep:
            if tokens.dim() != 3 or tokens.shape[::2] != self.prefix.shape[::2] or tokens.shape[1] >= shared:
                raise ValueError(
                    f'deep prompts must be (P, n, W) = ({prompts}, n, {width}) and lie after the start token in a '
                    f'prefix of {shared} positions, so n < {shared}; got {tuple(tokens.shape)}'
                )

    @property
    def eot(self) -> Tensor:
        """(P, K) absolute positions of the end tokens, on the CPU."""
        return self.layout.tensor()

    @property
    def num_classes(self) -> int:
        """K."""
        return self.suffix.shape[1]

    @property
    def shared_length(self) -> int:
        """S."""
        return self.prefix.shape[1]

    def select_classes(self, classes: Tensor | slice) -> PromptTokens:
        """The same prompts for some of the classes: an index tensor (K',) or a slice."""
        return replace(self, suffix=self.suffix[:, classes], layout=self.layout.select(classes))

    def embeddings(self, length: int) -> Tensor:
        """The input of the first block in full: (P, K, length, W), zeros elsewhere.

        Raises:
            ValueError: an end token is at or after ``length``.
        """
        if self.layout.last >= length:
            raise ValueError(f'an end token stands at position {self.layout.last}, outside of {length} positions')
        shared = self.prefix.unsqueeze(1).expand(-1, self.num_classes, -1, -1)
        full = torch.cat([shared, self.suffix], dim=2)[:, :, :length]
        return torch.nn.functional.pad(full, (0, 0, 0, length - full.shape[2]))
