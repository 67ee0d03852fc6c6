"""The text tower's fast path: what classes share is computed once, and nothing after an end token.

The result equals the plain path up to the order of summation; see :mod:`~vlprompt.clip.text.shared_prefix` and
:mod:`~vlprompt.clip.text.packing`.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from vlprompt.clip.text.packing import Group, group_by_length, original_order, pack_chunks
from vlprompt.clip.text.shared_prefix import KeysValues, end_token_features, prefix_keys_values
from vlprompt.clip.text.tokens import PromptTokens


def encode_shared(tower: nn.Module, tokens: PromptTokens, lengths: list[list[int]]) -> Tensor:
    """(P, K, D) text features in the joint space, not normalised.

    Args:
        tower: the :class:`~vlprompt.clip.TextEncoder`; its ``memory_budget`` decides how many sequences run at a time.
        tokens: P prompts for K classes.
        lengths: [P][K] tokens from the end of the prefix to the end token.
    """
    prefix = tokens.prefix + tower.positions(0, tokens.shared_length, tokens.prefix)
    cache = prefix_keys_values(tower.transformer.resblocks, prefix, tokens.deep)
    chunks, recompute = _split(tower, tokens, cache, lengths)
    features = [
        checkpoint(_encode_chunk, tower, tokens, chunk, cache, use_reentrant=False)
        if recompute
        else _encode_chunk(tower, tokens, chunk, cache)
        for chunk in chunks
    ]
    order = original_order([group for chunk in chunks for group in chunk], tokens.num_classes)
    return torch.cat(features)[order.to(features[0].device)].unflatten(0, tokens.eot.shape)


def _split(
    tower: nn.Module, tokens: PromptTokens, cache: KeysValues, lengths: list[list[int]]
) -> tuple[list[list[Group]], bool]:
    """Chunks of sequences under the memory budget, and whether they are recomputed in the backward pass."""
    groups = group_by_length(lengths)
    total = sum(group.num_tokens for group in groups)
    longest = tokens.shared_length + groups[-1].length
    needs_grad = torch.is_grad_enabled() and (
        any(keys.requires_grad for keys, _ in cache)
        or tokens.suffix.requires_grad
        or any(p.requires_grad for p in tower.parameters())
    )
    bytes_per_token = saved_bytes_per_token if needs_grad else working_bytes_per_token
    max_tokens = tower.memory_budget // bytes_per_token(tower, longest, tokens.prefix.element_size())
    return pack_chunks(groups, max(1, max_tokens)), needs_grad and total > max_tokens


def _encode_chunk(tower: nn.Module, tokens: PromptTokens, groups: list[Group], cache: KeysValues) -> Tensor:
    """(number of sequences, D) features of the groups' end tokens."""
    start = tokens.shared_length
    rows = []
    for group in groups:
        prompts, classes = group.prompts.to(tokens.suffix.device), group.classes.to(tokens.suffix.device)
        own = tokens.suffix[:, :, : group.length][prompts[:, None], classes]
        own = own + tower.positions(start, start + group.length, own)
        rows.append(own.flatten(0, 2))
    ends = end_token_features(tower.transformer.resblocks, torch.cat(rows), groups, cache)
    return tower.ln_final(ends) @ tower.text_projection


def saved_bytes_per_token(tower: nn.Module, longest: int, element_size: int = 4) -> int:
    """Estimate of the bytes kept for the backward pass per position.

    In each block the inputs of both norms, queries, keys, values and the hidden layer of the MLP are kept (9 W), and
    attention weights twice; with trainable blocks also the inputs of the linear layers (7 W).

    Args:
        tower: the :class:`~vlprompt.clip.TextEncoder`.
        longest: positions that a query sees at most.
        element_size: bytes of one number.
    """
    blocks = tower.transformer.resblocks
    trainable = any(parameter.requires_grad for parameter in blocks.parameters())
    per_block = (16 if trainable else 9) * tower.width + 2 * blocks[0].attn.heads * longest
    return len(blocks) * per_block * element_size


def working_bytes_per_token(tower: nn.Module, longest: int, element_size: int = 4) -> int:
    """Estimate of the bytes in use at the same time per position, without gradient.

    The peak is in the MLP: its input and three tensors of its hidden width.  Arguments are those of
    :func:`saved_bytes_per_token`.
    """
    return (14 * tower.width + 2 * tower.transformer.resblocks[0].attn.heads * longest) * element_size
