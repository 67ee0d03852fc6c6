"""Tuning by visual prompts (VPT, LPT's first phase), and by group prompts that each image chooses (LPT's second)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from vlprompt.alignment.key_matching import KeyMatch
from vlprompt.clip import VisionTransformer, run_blocks
from vlprompt.clip.visual_prompts import Entry
from vlprompt.models.tuners.base import Terms, Tuner, class_feature, first_tokens
from vlprompt.registry import MODELS


@MODELS.register_module()
class PromptTuner(Tuner):
    """The class token of a trunk with a :class:`~vlprompt.prompts.VisualPrompt` that is the same for all images.

    Args:
        visual: the trunk, for its sizes.
        num_classes: C; not used.
        prompt: config of the prompt.

    Raises:
        ValueError: a prompt that needs text, or several sets of prompts.
    """

    def __init__(self, visual: VisionTransformer, num_classes: int, prompt: dict[str, Any]) -> None:
        super().__init__(visual, num_classes)
        if prompt.get('sets') or getattr(MODELS.get(prompt['type']), 'needs_text', False):
            raise ValueError(f'{type(self).__name__}: coupled prompts and sets of prompts belong to a TextClassifier')
        self.prompt = MODELS.build(prompt, default_args=visual.prompt_sizes())

    def feature(self, visual: VisionTransformer, images: Tensor) -> tuple[Tensor, Terms]:
        return self.query(visual, images), Terms()

    def query(self, visual: VisionTransformer, images: Tensor) -> Tensor:
        """(B, width) class tokens under the shared prompts alone."""
        return class_feature(visual, images, self.shared(visual, images))

    def shared(self, visual: VisionTransformer, images: Tensor) -> Sequence[Entry]:
        """(P, width) prompts of every block, the same for all images."""
        return self.prompt().entries(visual.ln_pre, images.shape[0])


@MODELS.register_module()
class GroupedPromptTuner(PromptTuner):
    """Shared prompts, and for the last blocks group prompts of a pool, matched by the query (LPT, section 3.3).

    ``feature`` also gives the loss ``key``, 1 - S / k of the cosines to the matched keys, and the field
    ``matched_groups`` (B, k).

    Args:
        visual: the trunk, for its sizes.
        num_classes: C; not used.
        prompt: config of the shared :class:`~vlprompt.prompts.VisualPrompt`, in every block.
        pool: config of a :class:`~vlprompt.prompts.PromptPool`.

    Attributes:
        two_passes: compute as published, in two full passes over all tokens; the reference for tests and benchmarks.

    Raises:
        ValueError: shared prompts that some blocks lack.
    """

    two_passes = False

    def __init__(
        self, visual: VisionTransformer, num_classes: int, prompt: dict[str, Any], pool: dict[str, Any]
    ) -> None:
        super().__init__(visual, num_classes, prompt)
        if len(self.prompt.tokens) < self.prompt.layers:
            raise ValueError(
                'GroupedPromptTuner: group prompts need shared prompts in every block: leave prompt.depth out'
            )
        sizes = visual.prompt_sizes()
        self.pool = MODELS.build(pool, default_args=dict(width=sizes['width'], layers=sizes['layers']))
        self.from_features = 'pool.keys' if self.pool.needs_queries else ''

    def feature(self, visual: VisionTransformer, images: Tensor) -> tuple[Tensor, Terms]:
        way = self._in_two_passes if self.two_passes else self._once
        feature, match = (way if isinstance(visual, VisionTransformer) else self._of_timm)(visual, images)
        return feature, Terms(dict(key=1 - match.similarity.mean(1)), dict(matched_groups=match.index))

    def start_from_features(self, features: Tensor, labels: Tensor, generator: torch.Generator) -> list[Tensor]:
        self.pool.fit(features, generator)
        return [self.pool.keys, self.pool.mean_query]

    def _once(self, visual: VisionTransformer, images: Tensor) -> tuple[Tensor, KeyMatch]:
        """Feature (B, width) and match; shared parts are computed once.

        The query (class feature under the shared prompts alone) and the main pass are the same in the blocks before
        ``pool.first_block``, which therefore run once::

            image -> blocks 0 .. K-1 (shared) -+-> blocks K .. L-1 (shared)          -> q -> keys -> r
                                               +-> blocks K .. L-1 (shared and r)    -> feature

        The query has no gradient.
        """
        blocks, shared, first = visual.transformer.resblocks, self.shared(visual, images), self.pool.first_block
        x, _ = run_blocks(blocks[:first], first_tokens(visual, images), shared[:first])
        with torch.no_grad():
            query, _ = run_blocks(blocks[first:], x, shared[first:], queries=1)
            query = visual.ln_post(query[:, 0])
        match = self.pool.match(query)
        both = [*zip(shared[first:], self.pool(match), strict=True)]
        x, _ = run_blocks(blocks[first:], x, both, queries=1)
        return visual.ln_post(x[:, 0]), match

    def _of_timm(self, visual: nn.Module, images: Tensor) -> tuple[Tensor, KeyMatch]:
        """On a tower of timm: two passes."""
        shared, first = self.shared(visual, images), self.pool.first_block
        with torch.no_grad():
            query = class_feature(visual, images, shared)
        match = self.pool.match(query)
        both = [*shared[:first], *zip(shared[first:], self.pool(match), strict=True)]
        return class_feature(visual, images, both), match

    def _in_two_passes(self, visual: VisionTransformer, images: Tensor) -> tuple[Tensor, KeyMatch]:
        blocks, shared, first = visual.transformer.resblocks, self.shared(visual, images), self.pool.first_block
        with torch.no_grad():
            query, _ = run_blocks(blocks, first_tokens(visual, images), shared, reference=True)
            query = visual.ln_post(query)[:, 0]
        match = self.pool.match(query)
        group = self.pool.tokens[match.index].mean(1).unbind(1)
        both = [*shared[:first], *zip(shared[first:], group, strict=True)]
        x, _ = run_blocks(blocks, first_tokens(visual, images), both, reference=True)
        return visual.ln_post(x)[:, 0], match
