"""Learned tokens in the image tower: Visual Prompt Tuning (Jia et al., ECCV 2022), LPT's shared prompts (ICLR 2023)."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from vlprompt.registry import MODELS

INITS = ('uniform', 'normal')


@MODELS.register_module()
class VisualPrompt(nn.Module):
    """P tokens in the input of the first block, or of every block, the same for all images.

    * ``deep=False`` (VPT-shallow): the outputs of the tokens flow on through all blocks.
    * ``deep=True`` (VPT-deep, LPT): every block gets P tokens of its own in place of the outputs of those before.

    They carry no position, so it does not matter where in the sequence they stand.  On CLIP's image tower they join
    after ``ln_pre``.

    Args:
        width: of the trunk's tokens.
        layers: L, blocks of the trunk.
        patch_size: of the trunk in pixels; only the uniform initialisation asks for it.
        length: P.
        deep: P tokens for each of the L blocks.
        init: ``'normal'``, N(0, 0.02), as LPT; ``'uniform'``, in +- sqrt(6 / (3 patch_size^2 + D')), as VPT.
        project: D' of the stored tokens, brought to ``width`` by one linear layer; None: no projection.
        dropout: on the (projected) tokens of every block in training; all images of a step share one mask.

    The parameter ``tokens`` is (L, P, D') if deep, else (1, P, D').

    Raises:
        ValueError: ``length`` below 1 or an unknown ``init``.
    """

    def __init__(
        self,
        width: int,
        layers: int,
        patch_size: int,
        length: int = 10,
        deep: bool = True,
        init: str = 'normal',
        project: int | None = None,
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        if length < 1 or init not in INITS:
            raise ValueError(f'VisualPrompt: length={length} must be at least 1 and init={init!r} one of {INITS}')
        self.deep = deep
        stored = width if project is None else project
        self.tokens = nn.Parameter(torch.empty(layers if deep else 1, length, stored))
        if init == 'normal':
            nn.init.normal_(self.tokens, std=0.02)
        else:
            bound = (6 / (3 * patch_size**2 + stored)) ** 0.5
            nn.init.uniform_(self.tokens, -bound, bound)
        self.projection = nn.Identity() if project is None else nn.Linear(project, width)
        if project is not None:
            nn.init.kaiming_normal_(self.projection.weight, a=0, mode='fan_out')
        self.dropout = nn.Dropout(dropout)

    def forward(self) -> tuple[Tensor, ...]:
        """(P, width) tokens of the blocks 0, 1, ..., L - 1, or of block 0 alone."""
        return self.dropout(self.projection(self.tokens)).unbind(0)

    def extra_repr(self) -> str:
        return f'tokens={tuple(self.tokens.shape)}, deep={self.deep}'
