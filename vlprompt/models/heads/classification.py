"""Linear and cosine classifiers on a feature."""

from __future__ import annotations

from collections.abc import Iterator
from math import log

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from vlprompt.clip.templates import places_of_name
from vlprompt.registry import MODELS

STARTS = ('random', 'text', 'class_mean')


@MODELS.register_module()
class LinearHead(nn.Module):
    """``W x + b`` of the feature.

    Args:
        in_channels: D of the feature.
        num_classes: C.
        dropout: on the feature in training; LPT uses 0.1.
        init: ``'normal'``, weights N(0, 0.02) and bias 0; ``'vpt'``, weights Kaiming-normal (fan out) and every bias
            -log(99), as in VPT.

    Parameters: ``weight`` (C, D), ``bias`` (C,).

    Raises:
        ValueError: an unknown ``init``.
    """

    start = 'random'
    from_features = ''

    def __init__(self, in_channels: int, num_classes: int, dropout: float = 0.0, init: str = 'normal') -> None:
        super().__init__()
        if init not in ('normal', 'vpt'):
            raise ValueError(f"LinearHead: init must be 'normal' or 'vpt', got {init!r}")
        self.dropout = nn.Dropout(dropout)
        self.weight = nn.Parameter(torch.empty(num_classes, in_channels))
        self.bias = nn.Parameter(torch.empty(num_classes))
        if init == 'vpt':
            nn.init.kaiming_normal_(self.weight, a=0, mode='fan_out')
        else:
            nn.init.normal_(self.weight, std=0.02)
        nn.init.constant_(self.bias, -log(99.0) if init == 'vpt' else 0.0)

    def shard_parts(self) -> Iterator[nn.Module]:
        """Parts that are gathered on their own (:mod:`vlprompt.engine.fsdp`): the head itself."""
        yield self

    def forward(self, feature: Tensor) -> Tensor:
        """(B, D) -> logits (B, C)."""
        return F.linear(self.dropout(feature), self.weight, self.bias)


@MODELS.register_module()
class CosineHead(nn.Module):
    """``scale * cos(x, w_c)``, in fp32 also under mixed precision.

    Args:
        in_channels: D of the feature.
        num_classes: C.
        scale: factor of the cosines: 1 if the loss has its own (LPT), 25 for LIFT.
        dropout: on the feature in training; LPT uses 0.1.
        start: initial weights: ``'random'``, uniform and rescaled to length 1; ``'text'``, the class names' text
            features, mapped from CLIP's joint space by the transposed projection (LIFT); ``'class_mean'``, mean
            frozen features of each class, computed by :class:`~vlprompt.engine.StartFromFeaturesHook`.
        template: sentence for ``'text'``, with ``{}`` for the class name.

    The parameter ``weight`` is (C, D); the official LPT stores its transpose.

    Raises:
        ValueError: an unknown ``start`` or a template without ``{}``.
    """

    def __init__(
        self,
        in_channels: int,
        num_classes: int,
        scale: float = 1.0,
        dropout: float = 0.0,
        start: str = 'random',
        template: str = 'a photo of a {}.',
    ) -> None:
        super().__init__()
        if start not in STARTS or places_of_name(template) != 1:
            raise ValueError(
                f'CosineHead: start={start!r} must be one of {STARTS} and template={template!r} hold {{}} once, and no '
                'other braces'
            )
        self.scale, self.start, self.template = scale, start, template
        self.from_features = 'weight' if start == 'class_mean' else ''
        self.dropout = nn.Dropout(dropout)
        self.weight = nn.Parameter(torch.empty(num_classes, in_channels).uniform_(-1, 1))
        self.set_directions(self.weight.detach())

    @torch.no_grad()
    def set_directions(self, directions: Tensor) -> None:
        """Start from (C, D) directions of any length."""
        self.weight.copy_(F.normalize(directions.float(), dim=1))

    def start_from_features(self, features: Tensor, labels: Tensor, generator: torch.Generator) -> list[Tensor]:
        """Start from the class means of features (N, D) with labels (N,), and return the weight."""
        self.set_directions(torch.stack([features[labels == label].mean(0) for label in range(len(self.weight))]))
        return [self.weight]

    def shard_parts(self) -> Iterator[nn.Module]:
        """Parts that are gathered on their own (:mod:`vlprompt.engine.fsdp`): the head itself."""
        yield self

    def forward(self, feature: Tensor) -> Tensor:
        """(B, D) -> logits (B, C) in [-scale, scale]."""
        with torch.autocast(feature.device.type, enabled=False):
            dtype = torch.promote_types(feature.dtype, torch.float32)
            feature = F.normalize(self.dropout(feature.to(dtype)), dim=-1)
            return self.scale * F.linear(feature, F.normalize(self.weight.to(dtype), dim=-1))

    def extra_repr(self) -> str:
        return f'classes={len(self.weight)}, scale={self.scale}, start={self.start!r}'
