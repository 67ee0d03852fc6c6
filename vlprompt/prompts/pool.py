"""Group prompts that images choose from by their own features: phase 2 of LPT (Dong et al., ICLR 2023, section 3.3)."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from vlprompt.alignment.key_matching import KeyMatch, match_keys, spherical_kmeans
from vlprompt.clip.tracing import is_exporting
from vlprompt.registry import MODELS

KEY_INITS = ('normal', 'kmeans')


@MODELS.register_module()
class PromptPool(nn.Module):
    """m groups of prompts for the last blocks, each with a key; an image takes the mean of its k best groups.

    With q the class feature under the shared prompts alone and w the k keys of the highest cosine::

        r = (1 / k) sum_{i in w} tokens_i            joins the shared prompts in the blocks K .. L - 1
        S / k = (1 / k) sum_{i in w} cos(q, key_i)   trains the keys, through the model's ``loss_key`` alone

    Nothing keeps the keys apart: if features share a strong mean, a few keys win every image (watch ``keys_used``
    of :class:`~vlprompt.engine.PromptUsageHook`).  ``key_init='kmeans'`` and ``center`` are remedies of ours.

    Args:
        width: of the trunk's tokens.
        layers: L, blocks of the trunk.
        size: m.
        length: P tokens of a group in a block.
        first_block: K, the first block with group prompts; those before have shared prompts only.
        topk: k.
        key_init: ``'normal'``, N(0, 0.02), as published; ``'kmeans'``: centres of spherical k-means over the queries
            of training images, computed before training by :class:`~vlprompt.engine.StartFromFeaturesHook`.
        center: subtract the mean query of training images, computed by the same hook, before matching.

    Parameters: ``tokens`` (m, L - K, P, width), ``keys`` (m, width).  Buffers: ``mean_query`` (width,), zero and not
    saved unless ``center``; ``usage`` (m,), how often each group was chosen since :meth:`reset_usage`, not saved.

    Raises:
        ValueError: inconsistent sizes, or an unknown ``key_init``.
    """

    def __init__(
        self,
        width: int,
        layers: int,
        size: int = 20,
        length: int = 10,
        first_block: int = 6,
        topk: int = 2,
        key_init: str = 'normal',
        center: bool = False,
    ) -> None:
        super().__init__()
        if not 1 <= topk <= size:
            raise ValueError(f'PromptPool: topk={topk} must be from 1 to size={size}')
        if not 0 <= first_block < layers:
            raise ValueError(f'PromptPool: first_block={first_block} must be from 0 to {layers - 1}, the last block')
        if length < 1:
            raise ValueError(f'PromptPool: length={length} must be at least 1')
        if key_init not in KEY_INITS:
            raise ValueError(f'PromptPool: key_init must be one of {KEY_INITS}, got {key_init!r}')
        self.first_block, self.topk, self.key_init, self.center = first_block, topk, key_init, center
        self.tokens = nn.Parameter(torch.empty(size, layers - first_block, length, width))
        self.keys = nn.Parameter(torch.empty(size, width))
        nn.init.normal_(self.tokens, std=0.02)
        nn.init.normal_(self.keys, std=0.02)
        self.register_buffer('mean_query', torch.zeros(width), persistent=center)
        self.register_buffer('usage', torch.zeros(size), persistent=False)

    @property
    def needs_queries(self) -> bool:
        """Whether :meth:`fit` must be called before training."""
        return self.center or self.key_init == 'kmeans'

    @torch.no_grad()
    def fit(self, queries: Tensor, generator: torch.Generator) -> None:
        """Set the mean query and the keys from (N, width) queries of training images, according to the options."""
        if self.center:
            self.mean_query.copy_(queries.mean(0))
        if self.key_init == 'kmeans':
            centred = (queries - self.mean_query.to(queries)).cpu()
            scale = self.keys.norm(dim=1).mean()  # the length for which weight decay and learning rate were chosen
            self.keys.copy_(spherical_kmeans(centred, len(self.keys), generator) * scale)

    def match(self, query: Tensor) -> KeyMatch:
        """The groups chosen by the queries (B, width), not normalised; counted in ``usage``."""
        match = match_keys(query - self.mean_query, self.keys, self.topk)
        if not is_exporting():
            chosen = match.index.flatten()
            self.usage.index_add_(0, chosen, self.usage.new_ones(len(chosen)))
        return match

    def forward(self, match: KeyMatch) -> tuple[Tensor, ...]:
        """The mean group prompts (B, P, width) of B images for the blocks K, K + 1, ..., L - 1.

        Every image has its own, even if others chose the same: to find that out would wait for the device, and keys and
        values of a few prompts cost little.
        """
        return self.tokens[match.index].mean(1).unbind(1)

    def reset_usage(self) -> None:
        """Reset the usage counts."""
        self.usage.zero_()

    def extra_repr(self) -> str:
        return f'tokens={tuple(self.tokens.shape)}, first_block={self.first_block}, topk={self.topk}'
