"""Hand-written templates: 'a photo of a {}.' (Radford et al., 2021, section 3.1.4)."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from vlprompt.clip.features import ClipFeatures
from vlprompt.clip.templates import places_of_name
from vlprompt.clip.templates import templates as named_templates
from vlprompt.clip.text.encoder import TextEncoder
from vlprompt.clip.text.packing import shared_part
from vlprompt.clip.text.tokens import PromptTokens
from vlprompt.prompts.base import TextPrompt, readable
from vlprompt.registry import MODELS


@MODELS.register_module()
class TemplatePrompt(TextPrompt):
    """Frozen prompts, one per template and class; nothing is learned.

    Args:
        class_names: K names.
        text: the text tower.
        templates: one or several strings with ``{}`` for the class name, or a name for
            :func:`vlprompt.clip.templates.templates` (a dataset's key, ``'ensemble-7'``, ``'ensemble-80'``).

    Raises:
        ValueError: no template, one without ``{}``, or a class name too long for the context.
    """

    def __init__(
        self,
        class_names: Sequence[str],
        text: TextEncoder,
        templates: str | Sequence[str] = 'a photo of a {}.',
    ) -> None:
        super().__init__()
        if isinstance(templates, str):
            templates = [templates] if '{}' in templates else named_templates(templates)
        if not templates:
            raise ValueError("TemplatePrompt: templates is empty; give one or more, such as ['a photo of a {}.']")
        for template in templates:
            if places_of_name(template) != 1:
                raise ValueError(
                    f'TemplatePrompt: template {template!r} must have {{}} for the class name once, and no other braces'
                )
        self.templates = tuple(templates)
        self.n_prompts = len(self.templates)
        self.context_length, self.tokenizer = text.context_length, text.tokenizer
        self._causal = text.causal
        self.register_buffer('ids', None, persistent=False)
        self.set_class_names(class_names)

    def set_class_names(self, class_names: Sequence[str]) -> None:
        self.class_names = tuple(class_names)
        rows = [
            self.tokenizer.tokenize(
                [t.format(readable(n)) for n in class_names], self.context_length, names=list(class_names)
            )
            for t in self.templates
        ]
        self.set_ids(torch.stack(rows))

    def set_ids(self, ids: Tensor) -> None:
        """Set the texts themselves: (P, K, L) token ids, on the CPU, each with an end token."""
        ends = ids.argmax(-1) if self._causal else self.tokenizer.ends(ids)  # CLIP's end token has the largest id
        ids = ids[..., : int(ends.max()) + 1]
        self._common = shared_part(ids, ends, self._causal)
        self._parts = [shared_part(ids[p : p + 1], ends[p : p + 1], self._causal) for p in range(len(ids))]
        self.ids = ids.to(self.ids.device if self.ids is not None else 'cpu')

    def forward(self, text: TextEncoder) -> PromptTokens:
        return text.from_ids(self.ids, self._common)

    def encode(self, text: TextEncoder, features: ClipFeatures | None = None, reference: bool = False) -> Tensor:
        """(P, K, D); one template at a time: the embeddings of 80 templates x 1000 classes fill gigabytes."""
        texts = zip(self.ids, self._parts, strict=True)
        return torch.cat([text(text.from_ids(ids[None], part), reference=reference) for ids, part in texts])

    def extra_repr(self) -> str:
        return f'templates={self.n_prompts}, classes={len(self.class_names)}'
