"""Text of classes against pixels: the task-independent half of DenseCLIP (Rao et al., CVPR 2022)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from vlprompt.alignment.score_map import score_map
from vlprompt.clip.features import ClipFeatures
from vlprompt.clip.text.encoder import TextEncoder
from vlprompt.models.feature_cache import FeatureCache
from vlprompt.prompts import ContextPrompt, TextPrompt
from vlprompt.registry import MODELS

PROMPTING = ('post', 'pre')


@dataclass
class PixelText:
    """Text features and score maps of B images.

    Attributes:
        text: (B, K, C) text features, or (1, K, C) if they do not depend on the image; not normalised.
        scores: (B, K, h, w) cosines on the grid of the dense embedding, no temperature.
        maps: (B, C_i, h_i, w_i) maps of the trunk, without scores.
    """

    text: Tensor
    scores: Tensor
    maps: tuple[Tensor, ...] = ()


class PixelTextMatching(nn.Module):
    """Prompts, text tower and context decoder: image features in, text features and score maps out.

    With g the global and z the dense image embedding, ``memory = [g; z]``, T the text tower and D the context
    decoder::

        post    t = T([context, names]);  text = t + gamma * D(t, memory)          (post-model prompting)
        pre     context = D(queries, memory);  text = T([context, names])          (pre-model prompting)
        (no context decoder)              text = T([context, names])

    and ``scores = cos(z, text)``.  Post-model prompting runs the tower on K sequences, and under ``no_grad`` once
    for all images, windows and scales.  Pre-model prompting runs it on K sequences for every image; the learned
    queries are the prompt's ``context``, in the tower's width W.

    Args:
        text: the text tower.  It is cut to the prompt's ``context_length``.
        class_names: K names.
        prompt: config of a :class:`~vlprompt.prompts.TextPrompt` with one prompt per class.
        context_decoder: config of a :class:`~vlprompt.models.decoders.ContextDecoder`, or None.
        prompting: ``'post'`` or ``'pre'``, which needs a context decoder.
        gamma: initial value of the C factors of post-model prompting.

    Raises:
        ValueError: unknown prompting, pre-model prompting without a context decoder or with a prompt that has no
            context shared by all classes, several prompts per class, or a class name that does not fit.
    """

    def __init__(
        self,
        text: TextEncoder,
        class_names: Sequence[str],
        prompt: Mapping[str, Any],
        context_decoder: Mapping[str, Any] | None = None,
        prompting: str = 'post',
        gamma: float = 1e-4,
    ) -> None:
        super().__init__()
        if prompting not in PROMPTING:
            raise ValueError(f'PixelTextMatching: prompting must be one of {PROMPTING}, got {prompting!r}')
        self.prompting = prompting
        self.prompt: TextPrompt = MODELS.build(dict(prompt), default_args=dict(class_names=class_names, text=text))
        if self.prompt.n_prompts != 1:
            raise ValueError(
                f'PixelTextMatching compares pixels with one prompt per class, got {self.prompt.n_prompts}'
            )
        if self.prompt.needs_image:
            raise ValueError(
                f'PixelTextMatching: {type(self.prompt).__name__} makes text for each image; here '
                "prompting='pre' with a ContextPrompt does that"
            )
        text.shorten(self.prompt.context_length)
        self.text = text
        self.context_decoder = None
        if context_decoder is not None:
            dims = dict(query_dim=text.embed_dim if prompting == 'post' else text.width, memory_dim=text.embed_dim)
            self.context_decoder = MODELS.build(dict(context_decoder), default_args=dims)
        if prompting == 'pre':
            self._check_pre_model()
        elif self.context_decoder is not None:
            self.gamma = nn.Parameter(torch.full((text.embed_dim,), gamma))
        self._cache = FeatureCache()

    def _check_pre_model(self) -> None:
        if self.context_decoder is None:
            raise ValueError("PixelTextMatching: prompting='pre' needs a context_decoder")
        if not isinstance(self.prompt, ContextPrompt) or self.prompt.class_specific:
            raise ValueError(
                "PixelTextMatching: prompting='pre' replaces context vectors that all classes share: "
                'use a ContextPrompt with class_specific=False'
            )

    @property
    def class_names(self) -> tuple[str, ...]:
        """The K class names."""
        return self.prompt.class_names

    def set_class_names(self, class_names: Sequence[str]) -> None:
        """Match other classes from now on, with the learned prompts.

        Raises:
            ValueError: a name that does not fit, or a prompt learned for each class.
        """
        self.prompt.set_class_names(class_names)
        self._cache.clear()

    def train(self, mode: bool = True) -> PixelTextMatching:
        self._cache.clear()
        return super().train(mode)

    def text_features(self) -> Tensor:
        """(1, K, C) text features before any context decoder, not normalised; cached under ``no_grad``."""
        return self._cache(lambda: self.prompt.encode(self.text), (self.prompt, self.text))

    @staticmethod
    def memory(features: ClipFeatures) -> Tensor:
        """(B, 1 + N, C) memory of the context decoder: global, then dense embedding, not normalised."""
        return torch.cat([features.cls.unsqueeze(1), features.local], dim=1)

    def condition(self, features: ClipFeatures) -> Tensor:
        """Text features after the context decoder.

        Args:
            features: ``cls (B, C)`` and ``local (B, N, C)``, not normalised.

        Returns:
            (B, K, C), or (1, K, C) without a context decoder; not normalised.
        """
        if self.context_decoder is None:
            return self.text_features()
        memory = self.memory(features)
        if self.prompting == 'pre':
            context = self.context_decoder(self.prompt.context.expand(memory.shape[0], -1, -1), memory)
            return self.text(self.prompt(self.text, context.to(self.prompt.context.dtype)))
        text = self.text_features()
        return text + self.gamma * self.context_decoder(text.expand(memory.shape[0], -1, -1), memory)

    def forward(self, features: ClipFeatures) -> PixelText:
        """Text and score maps for image features in the joint space, ``cls (B, C)``, ``local (B, N, C)``."""
        text = self.condition(features)
        z = features.local.transpose(1, 2).unflatten(2, features.grid)
        return PixelText(text, score_map(z, text), features.maps)

    def extra_repr(self) -> str:
        return f'prompting={self.prompting!r}, classes={len(self.class_names)}'
