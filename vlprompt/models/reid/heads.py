"""The head of re-identification: batch norm and classifier (Luo et al., 2019, "BNNeck")."""

from __future__ import annotations

from collections.abc import Iterator

from torch import Tensor, nn


class IdentityHead(nn.Module):
    """Batch norm without a learned bias, then a classifier without bias, as in CLIP-ReID and TransReID.

    Args:
        channels: C of the features.
        num_ids: K; None: no classifier.
    """

    def __init__(self, channels: int, num_ids: int | None) -> None:
        super().__init__()
        self.norm = nn.BatchNorm1d(channels)
        self.norm.bias.requires_grad_(False)
        self.classifier = None
        if num_ids is not None:
            self.classifier = nn.Linear(channels, num_ids, bias=False)
            nn.init.normal_(self.classifier.weight, std=0.001)

    def shard_parts(self) -> Iterator[nn.Module]:
        """Parts that are gathered on their own (:mod:`vlprompt.engine.fsdp`): the classifier."""
        if self.classifier is not None:
            yield self.classifier

    def forward(self, features: Tensor) -> Tensor:
        """(B, C) features -> (B, K) scores."""
        return self.classifier(self.norm(features))
