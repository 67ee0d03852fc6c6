"""Visual prompts made from text prompts: MaPLe (Khattak et al., CVPR 2023, section 3.2)."""

from __future__ import annotations

from copy import deepcopy

from torch import nn

from vlprompt.clip.visual_prompts import VisualTokens
from vlprompt.prompts.base import ImagePrompt, TextPrompt
from vlprompt.prompts.context import ContextPrompt
from vlprompt.registry import MODELS


@MODELS.register_module()
class CoupledPrompt(ImagePrompt):
    """One linear layer per block that maps the text prompt's vectors to tokens of the image tower.

    With P_i the n vectors before block i = 0 .. J - 1 of the text tower, the image tower gets::

        P~_i = F_i(P_i)        F_i: W -> width, with bias

    before its block i; in the first, they pass through ``ln_pre`` like the patches.  MaPLe is this together with a
    ``ContextPrompt(depth=9, n_ctx=2, init='a photo of a')``.

    Args:
        width: of the image tower's tokens.
        layers: blocks of the image tower.
        patch_size: unused.
        prompt: the text prompt beside it.

    The parameters are ``projections.{i}.{weight,bias}``, those of i >= 1 equal at first, as published.

    Raises:
        ValueError: a text prompt without context vectors that all classes share, several prompts per class, or more
            depth than the image tower has blocks.
    """

    needs_text = True

    def __init__(self, width: int, layers: int, patch_size: int, prompt: TextPrompt) -> None:
        super().__init__()
        if not isinstance(prompt, ContextPrompt) or prompt.class_specific or prompt.n_prompts != 1:
            raise ValueError(
                'CoupledPrompt: visual tokens are made from one set of context vectors that all classes share: use a '
                'ContextPrompt with n_prompts=1 and class_specific=False'
            )
        if prompt.depth > layers:
            raise ValueError(f'CoupledPrompt: depth={prompt.depth}, but the image tower has {layers} blocks')
        first, deeper = (nn.Linear(prompt.context.shape[-1], width) for _ in range(2))
        self.projections = nn.ModuleList([first, *(deepcopy(deeper) for _ in range(prompt.depth - 1))])

    def forward(self, prompt: ContextPrompt) -> VisualTokens:
        """(n_ctx, width) tokens of the blocks 0 .. J - 1."""
        vectors = prompt.vectors()
        blocks = (project(tokens[0]) for project, tokens in zip(self.projections, vectors, strict=True))
        return VisualTokens(tuple(blocks), after_norm=False)
