"""The class feature of an image under visual prompts, and under group prompts chosen by it (LPT, section 3.3)."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from vlprompt.alignment.key_matching import KeyMatch
from vlprompt.clip import VisionTransformer, run_blocks
from vlprompt.prompts.pool import PromptPool


def prompted_feature(
    visual: VisionTransformer,
    images: Tensor,
    prompts: Sequence[Tensor] = (),
    adapters: Sequence[nn.Module] | None = None,
) -> Tensor:
    """(B, width) class token after the final norm.

    Args:
        visual: the trunk.
        images: (B, 3, H, W) normalised.
        prompts: (P, width) tokens by block.
        adapters: branches parallel to the MLPs, one a block.
    """
    x, _ = run_blocks(visual.transformer.resblocks, _start(visual, images), prompts, queries=1, adapters=adapters)
    return visual.ln_post(x[:, 0])


def grouped_feature(
    visual: VisionTransformer, images: Tensor, shared: Sequence[Tensor], pool: PromptPool
) -> tuple[Tensor, KeyMatch]:
    """The class feature under shared and group prompts, with everything computed once.

    The query (class feature under the shared prompts alone) and the main pass are the same through the blocks in front
    of ``pool.first_block``, which therefore run once::

        image -> blocks 0 .. K-1 (shared) -+-> blocks K .. L-1 (shared)          -> q -> keys -> r
                                           +-> blocks K .. L-1 (shared and r)    -> feature

    Args:
        visual: the trunk.
        images: (B, 3, H, W) normalised.
        shared: (P, width) tokens of each of the L blocks.
        pool: the group prompts.

    Returns:
        (B, width) class token after the final norm, and the keys that were matched.  The query has no gradient.
    """
    blocks, first = visual.transformer.resblocks, pool.first_block
    x, _ = run_blocks(blocks[:first], _start(visual, images), shared[:first])
    with torch.no_grad():
        query, _ = run_blocks(blocks[first:], x, shared[first:], queries=1)
        query = visual.ln_post(query[:, 0])
    match = pool.match(query)
    both = [*zip(shared[first:], pool(match), strict=True)]
    x, _ = run_blocks(blocks[first:], x, both, queries=1)
    return visual.ln_post(x[:, 0]), match


def grouped_feature_two_passes(
    visual: VisionTransformer, images: Tensor, shared: Sequence[Tensor], pool: PromptPool
) -> tuple[Tensor, KeyMatch]:
    """:func:`grouped_feature` as published: two passes from the image, every token through every computation.

    The reference for tests and benchmarks.
    """
    blocks, first = visual.transformer.resblocks, pool.first_block
    with torch.no_grad():
        query, _ = run_blocks(blocks, _start(visual, images), shared, reference=True)
        query = visual.ln_post(query)[:, 0]
    match = pool.match(query)
    group = pool.tokens[match.index].mean(1).unbind(1)
    both = [*shared[:first], *zip(shared[first:], group, strict=True)]
    x, _ = run_blocks(blocks, _start(visual, images), both, reference=True)
    return visual.ln_post(x)[:, 0], match


def _start(visual: VisionTransformer, images: Tensor) -> Tensor:
    """(B, 1 + h * w, width) tokens in front of the first block."""
    return visual.ln_pre(visual.embed(images)[0])
