"""Context vectors that depend on the image: CoCoOp (Zhou et al., CVPR 2022, section 3.2)."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from typing import Any

import torch.nn.functional as F
from torch import Tensor, nn

from vlprompt.arguments import is_count
from vlprompt.clip.features import ClipFeatures
from vlprompt.clip.text.encoder import TextEncoder
from vlprompt.prompts.context import ContextPrompt
from vlprompt.registry import MODELS


@MODELS.register_module()
class ConditionalPrompt(ContextPrompt):
    """Context vectors shifted by the output of a small network on the image.

    With x the global image feature, ``^`` for L2 normalisation and v_1 .. v_n the context vectors ::

        pi(x) = W2 relu(W1 x^ + b1) + b2        (the meta net)
        v_i(x) = v_i + pi(x)                    the same shift for every vector

    The text tower runs for every image; B images of P prompts are B * P prompts with one prefix each.

    Args:
        class_names, text, **context: of the :class:`~vlprompt.prompts.ContextPrompt`.
        reduction: the meta net has D // reduction hidden channels, from 1 to D.

    The parameters are those of the context and ``meta_net.linear{1,2}.{weight,bias}``.

    Raises:
        ValueError: as the context; ``reduction`` is no whole number from 1 to D.
    """

    needs_image = True

    def __init__(self, class_names: Sequence[str], text: TextEncoder, reduction: int = 16, **context: Any) -> None:
        super().__init__(class_names, text, **context)
        if not is_count(reduction) or reduction > text.embed_dim:
            raise ValueError(
                f'ConditionalPrompt: reduction={reduction!r} must be a whole number from 1 to {text.embed_dim}, the '
                'channels of a text feature, which it divides'
            )
        hidden = text.embed_dim // reduction
        self.meta_net = nn.Sequential(
            OrderedDict(
                linear1=nn.Linear(text.embed_dim, hidden),
                relu=nn.ReLU(),
                linear2=nn.Linear(hidden, text.width),
            )
        )

    def encode(self, text: TextEncoder, features: ClipFeatures | None = None, reference: bool = False) -> Tensor:
        """(B, P, K, D) text features for the images with the global features ``features.cls`` (B, D)."""
        if features is None:
            raise ValueError('ConditionalPrompt: the text depends on the image; its features must be given')
        shift = self.meta_net(F.normalize(features.cls.float(), dim=-1).to(features.cls.dtype))
        shift = shift.view(len(shift), *(1,) * (self.context.dim() - 1), -1)
        context = (self.context + shift).flatten(0, 1)  # (B * P, n_ctx, W), or (B * P, K, n_ctx, W)
        return text(self(text, context), reference=reference).unflatten(0, (-1, self.n_prompts))
