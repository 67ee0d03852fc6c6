"""PLOT++'s contexts as published, in which a template that is too short takes words of the class name."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from vlprompt.clip.text.encoder import TextEncoder
from vlprompt.clip.text.packing import TextLayout
from vlprompt.prompts.context import ContextPrompt
from vlprompt.registry import MODELS

_PLACEHOLDER = 'x'  # one token, whose vector is overwritten


@MODELS.register_module()
class PublishedContextPrompt(ContextPrompt):
    """A :class:`ContextPrompt` that reproduces a defect of the published PLOT++: for tests of parity alone.

    Its templates have different numbers of words, but all of them as many vectors as the first.  A template that is a
    word short starts its last vector from the end token, and every class name loses its first token::

        ImageNet, third template "this is a":    [SOT] this is a [EOT] fan .  [EOT]         ("ceiling fan")

    Args:
        class_names: K names.
        text: the text tower.
        init: P texts.
        n_ctx: vectors of each prompt.
        **kwargs: of :class:`ContextPrompt`.

    Raises:
        ValueError: a text that is more than one token short, or a context that is not before the name.
    """

    def __init__(
        self, class_names: Sequence[str], text: TextEncoder, init: Sequence[str], n_ctx: int, **kwargs: Any
    ) -> None:
        self.lost = [max(n_ctx - len(text.tokenizer.encode(words)), 0) for words in init]
        if max(self.lost) > 1 or kwargs.get('position', 'end') != 'end':
            raise ValueError(f'PublishedContextPrompt: {list(init)} must be at most one token short, before the name')
        full = [f'{words} {_PLACEHOLDER}' if lost else words for words, lost in zip(init, self.lost, strict=True)]
        super().__init__(class_names, text, n_prompts=len(full), n_ctx=n_ctx, init=full, **kwargs)
        end = text.token_embedding.weight[self.tokenizer.end]
        self.context.data[[lost > 0 for lost in self.lost], -1] = end.detach()

    def _tokenize(self, class_names: Sequence[str]) -> None:
        super()._tokenize(class_names)
        ends = zip(self.layout.ends, self.lost, strict=True)
        self.layout = TextLayout([[end - lost for end in row] for row, lost in ends])

    def _words(self, text: TextEncoder) -> tuple[Tensor, Tensor]:
        fixed, words = super()._words(text)
        lost = [names.roll(-count, dims=1) for names, count in zip(words, self.lost, strict=True)]
        return fixed, torch.stack(lost)  # what is rolled to the end comes after the end token
