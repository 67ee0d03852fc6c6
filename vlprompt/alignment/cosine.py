"""Cosine alignment: the global image feature against one or several prompts per class."""

from __future__ import annotations

from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from vlprompt.alignment.base import Alignment, inner_products
from vlprompt.arguments import check_choices
from vlprompt.clip.features import ClipFeatures
from vlprompt.registry import MODELS


@MODELS.register_module()
class CosineAlignment(nn.Module):
    """Zero-shot CLIP, CoOp and the "G" ablation of PLOT.

    With ``^`` for L2 normalisation and s the logit scale:

    * ``ensemble='features'``: ``s <g^, (mean_p t_p^)^>``, CLIP's prompt ensembling;
    * ``ensemble='logits'``: ``s mean_p <g^, t_p^>``, every prompt votes (PLOT's "G").

    Both are ``s <g^, t^>`` for a single prompt (CoOp).  Computed in float32, also under autocast: in half precision the
    scale, about 100, turns the rounding of cosines into errors of the logits.
    """

    needs_local = False

    def __init__(self, ensemble: Literal['features', 'logits'] = 'features') -> None:
        super().__init__()
        check_choices(self, ensemble=ensemble)
        self.ensemble = ensemble

    def forward(self, features: ClipFeatures, text: Tensor, logit_scale: Tensor) -> Alignment:
        """
        Args:
            features: image features; only ``cls (B, D)`` is read, not normalised.
            text: (P, K, D) text features, or (B, P, K, D) of each image, not normalised.
            logit_scale: scalar that *multiplies* the similarities.

        Returns:
            Alignment with ``logits (B, K)`` and neither maps nor plan.
        """
        dtype = torch.promote_types(text.dtype, torch.float32)
        with torch.autocast(text.device.type, enabled=False):
            image = F.normalize(features.cls.to(dtype), dim=-1)
            return Alignment(inner_products(logit_scale.to(dtype) * image, self.class_weights(text.to(dtype))))

    def class_weights(self, text: Tensor) -> Tensor:
        """([B,] K, D), of which the logits are inner products, from text features ([B,] P, K, D), not normalised."""
        text = F.normalize(text, dim=-1).mean(-3)
        return F.normalize(text, dim=-1) if self.ensemble == 'features' else text

    def extra_repr(self) -> str:
        return f'ensemble={self.ensemble!r}'
