"""Class weights that are learned themselves, started from text: the second stage of 2SFS (Farina et al., CVPR 2025)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from vlprompt.clip.features import ClipFeatures
from vlprompt.clip.text.encoder import TextEncoder
from vlprompt.clip.text.tokens import PromptTokens
from vlprompt.prompts.base import TextPrompt, readable
from vlprompt.prompts.template import TemplatePrompt
from vlprompt.registry import MODELS


@MODELS.register_module()
class ClassWeights(TextPrompt):
    """A learned vector for each class, in place of its text feature once training has begun.

    The parameter ``weight`` (K, D) starts, in the first training step, as the normalised text features of the K
    classes, from a text tower that then holds what an earlier phase has learned.  The buffer ``known`` (K, L) keeps the
    token ids of the names of these classes; it is zero before.

    **Selective inference.**  When other class names are set, a class that the weights know keeps its row, and any other
    class has its text feature.  Before training that is every class, so the model is zero-shot CLIP.

    Args:
        class_names: K names.
        text: the text tower.
        templates: as in :class:`~vlprompt.prompts.TemplatePrompt`; the features of several are normalised and averaged.

    Raises:
        ValueError: no template, one without ``{}``, or a class name too long for the context.
    """

    n_prompts = 1
    kept_whole = ('weight',)
    """Written in the first forward pass, so not shared out (:mod:`vlprompt.engine.fsdp`)."""

    def __init__(
        self,
        class_names: Sequence[str],
        text: TextEncoder,
        templates: str | Sequence[str] = 'a photo of a {}.',
    ) -> None:
        super().__init__()
        self.words = TemplatePrompt(class_names, text, templates)
        self.weight = nn.Parameter(torch.zeros(len(class_names), text.embed_dim))
        self.register_buffer('known', torch.zeros(len(class_names), text.context_length, dtype=torch.long))
        self._started = False
        self.set_class_names(class_names)

    def set_class_names(self, class_names: Sequence[str]) -> None:
        """Set other classes; before training the weights get as many rows, afterwards they stay as they are."""
        self.class_names = tuple(class_names)
        ids = self._name_ids()
        if not self._started and len(self.weight) != len(ids):
            self._resize(len(ids))
        self._rows = _rows_of(ids, self.known) if self._started else [None] * len(ids)
        unknown = [name for name, row in zip(class_names, self._rows, strict=True) if row is None]
        self.words.set_class_names(unknown or class_names)

    def meet_checkpoint(self, state: Mapping[str, Tensor]) -> None:
        """Give ``weight`` and ``known`` the number of rows that they have in the tensors of a checkpoint."""
        if 'weight' in state and len(state['weight']) != len(self.weight):
            self._resize(len(state['weight']))

    def _resize(self, rows: int) -> None:
        """Other numbers of rows in the same parameter, which an optimizer may hold."""
        self.weight.data = self.weight.new_zeros(rows, self.weight.shape[1])
        self.known = self.known.new_zeros(rows, self.known.shape[1])

    def _load_from_state_dict(self, *args: Any, **kwargs: Any) -> None:
        super()._load_from_state_dict(*args, **kwargs)
        self._started = bool(self.known.any())
        self.set_class_names(self.class_names)

    def _name_ids(self) -> Tensor:
        """(K, L) token ids of the names alone."""
        return self.words.tokenizer.tokenize(
            [readable(name) for name in self.class_names], self.known.shape[1], list(self.class_names)
        )

    def forward(self, text: TextEncoder) -> PromptTokens:
        """The prompts of the classes that the weights do not know, all of them before training."""
        return self.words(text)

    def encode(self, text: TextEncoder, features: ClipFeatures | None = None, reference: bool = False) -> Tensor:
        """(1, K, D): rows of the weights, and text features, which are normalised, of other classes."""
        if not self._started:
            if not (self.training and torch.is_grad_enabled()):
                return self._of_text(text, reference)[None]
            self._start(text)
        if self._rows == list(range(len(self.weight))):
            return self.weight[None]
        known = [row for row in self._rows if row is not None]
        parts = [self.weight[known]]
        if len(known) < len(self._rows):
            parts.append(self._of_text(text, reference).to(self.weight.dtype))
        order = sorted(range(len(self._rows)), key=lambda k: self._rows[k] is None)  # known classes first
        places = torch.tensor(order, device=self.weight.device).argsort()
        return torch.cat(parts)[places][None]

    def _of_text(self, text: TextEncoder, reference: bool) -> Tensor:
        """(K, D) normalised mean of the templates' normalised features."""
        features = F.normalize(self.words.encode(text, reference=reference), dim=-1)
        return F.normalize(features.mean(0), dim=-1)

    @torch.no_grad()
    def _start(self, text: TextEncoder) -> None:
        self.weight.copy_(self._of_text(text, reference=False))
        self.known.copy_(self._name_ids())
        self._started, self._rows = True, list(range(len(self.weight)))

    def extra_repr(self) -> str:
        return f'classes={len(self.class_names)}'


def _rows_of(ids: Tensor, known: Tensor) -> list[int | None]:
    """Row of ``known`` (R, L) for each of K names (K, L), None if there is none.

    Of equal names, such as ImageNet's two cranes, the first has the first row, and so on.
    """
    places: dict[tuple[int, ...], list[int]] = {}
    for row, name in enumerate(known.tolist()):
        places.setdefault(tuple(name), []).append(row)
    found: list[int | None] = []
    seen: dict[tuple[int, ...], int] = {}
    for name in map(tuple, ids.tolist()):
        rows = places.get(name, [])
        number = seen[name] = seen.get(name, -1) + 1
        found.append(rows[min(number, len(rows) - 1)] if rows else None)
    return found
