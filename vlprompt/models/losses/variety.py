"""Variety loss: pushes the prompts of a class apart (the "V" rows of PLOT's ablation)."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from vlprompt.registry import MODELS


@MODELS.register_module()
class VarietyLoss(nn.Module):
    """``weight * mean over classes and pairs n < n' of cos(t_nc, t_n'c)``.

    The paper names the constraint but publishes neither its form nor its weight; this form is ours.

    Args:
        weight: factor of the loss.
    """

    name = 'variety'

    def __init__(self, weight: float = 1.0) -> None:
        super().__init__()
        self.weight = weight

    def forward(self, text: Tensor) -> Tensor:
        """Text features (P, K, D), or (B, P, K, D) of each image, not normalised -> scalar.

        Raises:
            ValueError: fewer than two prompts, so there are no pairs.
        """
        n_prompts = text.shape[-3]
        if n_prompts < 2:
            raise ValueError(f'VarietyLoss: needs at least 2 prompts per class, got {n_prompts}')
        with torch.autocast(text.device.type, enabled=False):
            text = F.normalize(text.float(), dim=-1)
            cosine = torch.einsum('...pkd,...qkd->...kpq', text, text)
        first, second = torch.triu_indices(n_prompts, n_prompts, offset=1, device=text.device)
        return self.weight * cosine[..., first, second].mean()
