"""Prompts that describe identities without names: CLIP-ReID (Li et al., AAAI 2023, section 3.2)."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from vlprompt.clip.features import ClipFeatures
from vlprompt.clip.text.encoder import TextEncoder
from vlprompt.clip.text.packing import TextLayout, uniform_layout
from vlprompt.clip.text.tokens import PromptTokens
from vlprompt.prompts.base import TextPrompt
from vlprompt.registry import MODELS


@MODELS.register_module()
class IdentityPrompt(TextPrompt):
    """``A photo of a X X X X person.``: n_ctx learned vectors for each identity, between fixed words.

    Input of the text tower for identity k::

        [SOT] a photo of a | X_k1 X_k2 X_k3 X_k4 person . [EOT]
        prefix, shared     | suffix

    The prefix is computed once for all identities, and nothing after the end token: of 77 positions 5 + 7 per identity
    are left.

    Args:
        num_ids: K, identities.
        text: the text tower; gives the width W and the embedding of the words.
        noun: what the pictures show, ``'person'`` or ``'vehicle'``, or any words.
        n_ctx: learned vectors of an identity.
        words: the fixed words before them.
        init_std: standard deviation of their initialisation.

    The parameter ``context`` is (K, n_ctx, W).  The buffers ``start`` (S, W) and ``end`` (R, W) are the token
    embeddings before and after it.

    Raises:
        ValueError: no identities, or a text that is longer than the tower.
    """

    n_prompts = 1

    def __init__(
        self,
        num_ids: int,
        text: TextEncoder,
        noun: str = 'person',
        n_ctx: int = 4,
        words: str = 'a photo of a',
        init_std: float = 0.02,
    ) -> None:
        super().__init__()
        if num_ids < 1 or n_ctx < 1:
            raise ValueError(f'IdentityPrompt: num_ids={num_ids} and n_ctx={n_ctx} must be at least 1')
        self.noun, self.n_ctx = noun, n_ctx
        tokenizer = text.tokenizer
        start = [*tokenizer.start, *tokenizer.encode(words)]
        end = [*tokenizer.encode(f'{noun}.', inside=True), tokenizer.end]
        length = len(start) + n_ctx + len(end)
        if length > text.context_length:
            raise ValueError(
                f'IdentityPrompt: {words!r}, {n_ctx} vectors and "{noun}." take {length} positions with start and end '
                f'token, the text tower has {text.context_length}'
            )
        device = text.token_embedding.weight.device
        with torch.no_grad():
            for name, tokens in (('start', start), ('end', end)):
                embedding = text.token_embedding(torch.tensor(tokens, device=device))
                self.register_buffer(name, embedding.float().clone())
        self._layouts: dict[tuple[int, int], TextLayout] = {}  # by number of identities and place of the end token
        self.context = nn.Parameter(torch.randn(num_ids, n_ctx, text.width, device=device) * init_std)

    @property
    def num_ids(self) -> int:
        """K."""
        return len(self.context)

    def set_class_names(self, class_names: Sequence[str]) -> None:
        raise ValueError('IdentityPrompt: the vectors belong to identities, which have no names')

    def forward(self, text: TextEncoder | None = None, ids: Tensor | None = None) -> PromptTokens:
        """
        Args:
            text: unused; the embedding of the words is kept.
            ids: (K',) long, some of the identities; None: all K.

        Returns:
            PromptTokens of one prompt for each of these identities.
        """
        context = self.context if ids is None else self.context[ids]
        suffix = torch.cat([context, self.end.expand(len(context), -1, -1)], 1).unsqueeze(0)
        eot = len(self.start) + suffix.shape[2] - 1
        key = len(context), eot
        if key not in self._layouts:
            self._layouts[key] = uniform_layout(*key)
        return PromptTokens(self.start.unsqueeze(0), suffix, self._layouts[key])

    def encode(
        self,
        text: TextEncoder,
        features: ClipFeatures | None = None,
        reference: bool = False,
        ids: Tensor | None = None,
    ) -> Tensor:
        """(1, K, D) text features, not normalised; ``reference`` takes the tower's path over all positions."""
        return text(self(ids=ids), reference=reference)

    def extra_repr(self) -> str:
        return f'num_ids={self.num_ids}, n_ctx={self.n_ctx}, noun={self.noun!r}'
