"""Learned tokens in the image tower: VPT (Jia et al., ECCV 2022), LPT's shared prompts (ICLR 2023), PLOT++'s sets."""

from __future__ import annotations

import torch
from torch import nn

from vlprompt.arguments import is_count
from vlprompt.clip.visual_prompts import VisualTokens
from vlprompt.prompts.base import ImagePrompt, TextPrompt
from vlprompt.registry import MODELS

INITS = ('uniform', 'normal')


@MODELS.register_module()
class VisualPrompt(ImagePrompt):
    """P tokens in the input of the first J blocks, the same for all images.

    Each of these blocks gets its own P tokens in place of the outputs of earlier ones, and after the last of them the
    outputs flow on: ``depth=1`` is VPT-shallow, ``depth=None``, every block, VPT-deep and LPT; PromptSRC has 9 of 12.

    They have no position embedding, so their place in the sequence does not matter.

    Args:
        width: of the trunk's tokens.
        layers: L, blocks of the trunk.
        patch_size: of the trunk in pixels; only the uniform initialisation uses it.
        length: P.
        depth: J, blocks with their own tokens; None: all L.
        init: ``'normal'``, N(0, 0.02), as in LPT; ``'uniform'``, in +- sqrt(6 / (3 patch_size^2 + D')), as in VPT.
        project: D' of the stored tokens, projected to ``width`` by one linear layer; None: no projection.
        dropout: on the (projected) tokens of every block in training; all images of a step share one mask.
        after_norm: on CLIP's image tower, join after ``ln_pre``, as in VPT and LPT; False: pass through it like the
            patches, as in PLOT++ and IVLP.
        sets: M alternative prompts of P tokens, each with its own pass (PLOT++); None: one pass.

    The parameter ``tokens`` is (J, P, D'), with sets (J, M, P, D').

    Raises:
        ValueError: ``length``, ``sets`` or ``project`` below 1, a depth beyond the trunk's, an unknown ``init``, or a
            ``dropout`` that is no probability.
    """

    def __init__(
        self,
        width: int,
        layers: int,
        patch_size: int,
        length: int = 10,
        depth: int | None = None,
        init: str = 'normal',
        project: int | None = None,
        dropout: float = 0.0,
        after_norm: bool = True,
        sets: int | None = None,
    ) -> None:
        super().__init__()
        if length < 1 or init not in INITS:
            raise ValueError(f'VisualPrompt: length={length} must be at least 1 and init={init!r} one of {INITS}')
        if sets is not None and sets < 1:
            raise ValueError(f'VisualPrompt: sets={sets} must be at least 1, or None for one pass without sets')
        if project is not None and not is_count(project):
            raise ValueError(
                f'VisualPrompt: project={project!r} must be a whole number, at least 1, or None for no projection'
            )
        depth = layers if depth is None else depth
        if not 1 <= depth <= layers:
            raise ValueError(f'VisualPrompt: depth={depth} must be from 1 to {layers}, the blocks of the image tower')
        self.layers, self.after_norm, self.sets = layers, after_norm, sets
        stored = width if project is None else project
        shape = (length, stored) if sets is None else (sets, length, stored)
        self.tokens = nn.Parameter(torch.empty(depth, *shape))
        if init == 'normal':
            nn.init.normal_(self.tokens, std=0.02)
        else:
            bound = (6 / (3 * patch_size**2 + stored)) ** 0.5
            nn.init.uniform_(self.tokens, -bound, bound)
        self.projection = nn.Identity() if project is None else nn.Linear(project, width)
        if project is not None:
            nn.init.kaiming_normal_(self.projection.weight, a=0, mode='fan_out')
        self.dropout = nn.Dropout(dropout)

    def forward(self, prompt: TextPrompt | None = None) -> VisualTokens:
        """(P, width) or (M, P, width) tokens of the blocks 0 .. J - 1."""
        blocks = self.dropout(self.projection(self.tokens)).unbind(0)
        return VisualTokens(blocks, self.after_norm, self.sets)

    def extra_repr(self) -> str:
        return f'tokens={tuple(self.tokens.shape)} of {self.layers} blocks'
