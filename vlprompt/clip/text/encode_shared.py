"""The text tower's fast path: what classes share is computed once, and nothing that no end token reads.

The result equals the plain path up to the order of summation; see :mod:`~vlprompt.clip.text.shared_prefix` and
:mod:`~vlprompt.clip.text.packing`.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from vlprompt.clip.text.costs import pass_costs
from vlprompt.clip.text.packing import Chunk, PassCosts, Plan
from vlprompt.clip.text.shared_prefix import end_token_features, prefix_keys_values
from vlprompt.clip.text.tokens import PromptTokens


def encode_shared(tower: nn.Module, tokens: PromptTokens) -> Tensor:
    """(P, K, D) text features in the joint space, not normalised.

    Args:
        tower: the :class:`~vlprompt.clip.TextEncoder`; its ``memory_budget`` decides how many sequences run at a time.
        tokens: P prompts for K classes.
    """
    shared, last = tokens.shared_length, tokens.layout.last
    prefix = tokens.prefix + tower.positions(0, shared, tokens.prefix)
    suffix = tokens.suffix[:, :, : last + 1 - shared]
    same = len(suffix) > 1 and suffix.stride(0) == 0  # one suffix, expanded to all prompts
    suffix = suffix[:1] if same else suffix
    own = (suffix + tower.positions(shared, last + 1, suffix)).flatten(0, 2)
    costs = pass_costs(tower, tokens) if tower.costs == 'device' else tower.costs
    needs_grad = torch.is_grad_enabled() and (
        prefix.requires_grad
        or own.requires_grad
        or any(vectors.requires_grad for vectors in tokens.deep)
        or any(p.requires_grad for p in tower.parameters())
    )
    plan = _plan(tower, tokens, costs, needs_grad, same)
    blocks, fused = tower.transformer.resblocks, costs is not None
    if len(plan.chunks) == 1:
        features = _encode(tower, own, plan.chunks[0], prefix=prefix, deep=tokens.deep, fused=fused)
    else:
        options = dict(cache=prefix_keys_values(blocks, prefix, tokens.deep), fused=fused)
        features = torch.cat(
            [
                checkpoint(_encode, tower, own, chunk, use_reentrant=False, **options)
                if needs_grad
                else _encode(tower, own, chunk, **options)
                for chunk in plan.chunks
            ]
        )
    ordered = features if plan.order is None else features.index_select(0, plan.order)
    return ordered.unflatten(0, (tokens.layout.num_prompts, tokens.num_classes))


def _plan(tower: nn.Module, tokens: PromptTokens, costs: PassCosts | None, needs_grad: bool, same: bool) -> Plan:
    """The plan of the pass, in one chunk if that stays below the memory budget."""
    device, dtype = tokens.suffix.device, tokens.prefix.dtype
    if torch.is_autocast_enabled(device.type):
        dtype = torch.get_autocast_dtype(device.type)
    layout, shared = tokens.layout, tokens.shared_length
    buckets = layout.buckets(shared, costs)
    prefixes, longest = layout.num_prompts * shared, layout.last + 1
    total, copied = prefixes + sum(bucket.num_tokens for bucket in buckets), 0.0
    if costs is not None:
        copied = sum(b.num_sequences * (shared + b.length) for b in buckets) / total
    bytes_per_token = saved_bytes_per_token if needs_grad else working_bytes_per_token
    max_tokens = max(1, tower.memory_budget // bytes_per_token(tower, longest, tokens.prefix.element_size(), copied))
    return layout.plan(shared, costs, None if total <= max_tokens else max_tokens, device, dtype, same)


def _encode(tower: nn.Module, own: Tensor, chunk: Chunk, **options) -> Tensor:
    """(number of sequences, D) features of the chunk's end tokens.

    Args:
        tower: the text tower.
        own: (P * K * R, W) rows of the suffix, position embedding added; (K * R, W) if all prompts have the same.
        chunk: which of them.
        **options: of :func:`~vlprompt.clip.text.shared_prefix.end_token_features`.
    """
    rows = own if chunk.rows is None else own.index_select(0, chunk.rows)
    ends = end_token_features(tower.transformer.resblocks, rows, chunk, **options)
    return tower.ln_final(ends) @ tower.text_projection


def saved_bytes_per_token(tower: nn.Module, longest: int, element_size: int = 4, copied: float = 0) -> int:
    """Estimate of the bytes kept for the backward pass per position.

    In each block the inputs of both norms, queries, keys, values and the hidden layer of the MLP are kept (9 W), and
    attention weights twice; with trainable blocks also the inputs of the linear layers (7 W).

    Args:
        tower: the :class:`~vlprompt.clip.TextEncoder`.
        longest: positions that a query sees at most.
        element_size: bytes of one number.
        copied: positions whose keys and values are copied for one token.
    """
    blocks = tower.transformer.resblocks
    trainable = any(parameter.requires_grad for parameter in blocks.parameters())
    per_block = (16 if trainable else 9) * tower.width + 2 * blocks[0].attn.heads * longest
    return round(len(blocks) * (per_block + 2 * copied * tower.width) * element_size)


def working_bytes_per_token(tower: nn.Module, longest: int, element_size: int = 4, copied: float = 0) -> int:
    """Estimate of the bytes in use at the same time per position, without gradient.

    The peak is in the MLP: its input and three tensors of its hidden width.  Arguments are those of
    :func:`saved_bytes_per_token`.
    """
    heads = tower.transformer.resblocks[0].attn.heads
    return round((14 * tower.width + 2 * heads * longest + 2 * copied * tower.width) * element_size)
