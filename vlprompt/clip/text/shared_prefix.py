"""A causal transformer over sequences with a common prefix, which is computed once.

Position i of a causal transformer attends to positions 0 .. i only. Two exact savings follow:

* the prefix that a prompt's classes share (start token, context) attends only to itself, so it is computed
  once per prompt (:func:`prefix_keys_values`), and the classes attend to its keys and values, which are
  never copied per class;
* only the end token is read out, so nothing after it is computed, and in the last block only the end token
  (:func:`end_token_features`).

Both hold for gradients too: autograd sums the gradients of the shared keys and values over the classes.
The results differ from the plain computation only in the order of summation.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from vlprompt.clip.layers import Attention, ResidualAttentionBlock
from vlprompt.clip.text.packing import Group

KeysValues = list[tuple[Tensor, Tensor]]
"""For each block, keys and values (P, H, S, W / H) of the shared positions."""


def prefix_keys_values(blocks: nn.ModuleList, x: Tensor, deep: Sequence[Tensor] = ()) -> KeysValues:
    """Run the shared positions through all blocks.

    Args:
        blocks: the :class:`ResidualAttentionBlock` s.
        x: (P, S, W) embeddings of the shared positions, position embedding added.
        deep: see :class:`~vlprompt.clip.PromptTokens`.

    Returns:
        Keys and values for every block, with gradient.
    """
    cache: KeysValues = []
    for index, block in enumerate(blocks[:-1]):
        q, k, v = block.attn.project(block.ln_1(x))
        cache.append((k, v))
        x = x + block.attn.merge(F.scaled_dot_product_attention(q, k, v, is_causal=True))
        x = insert_deep(block.feed_forward(x), deep, index + 1)
    cache.append(blocks[-1].attn.project_key_value(blocks[-1].ln_1(x)))
    return cache


def insert_deep(x: Tensor, deep: Sequence[Tensor], block: int) -> Tensor:
    """The input (P, L, W) of a block, with positions 1 .. n replaced if there is a deep prompt for it."""
    if not 1 <= block <= len(deep):
        return x
    tokens = deep[block - 1].to(x.dtype)
    return torch.cat([x[:, :1], tokens, x[:, 1 + tokens.shape[1] :]], dim=1)


def end_token_features(blocks: nn.ModuleList, x: Tensor, groups: Sequence[Group], cache: KeysValues) -> Tensor:
    """Run packed sequences through all blocks and return their last tokens.

    Args:
        blocks: the :class:`ResidualAttentionBlock` s.
        x: (T, W) the groups' tokens one after another, each group in the order (p, n, r), position
            embedding added.
        groups: layout of the rows of x.
        cache: keys and values of the shared positions.

    Returns:
        (number of sequences, W), in the groups' order.
    """
    for block, shared in zip(blocks[:-1], cache[:-1], strict=True):
        x = x + _attend_all(block.attn, block.ln_1(x), groups, shared)
        x = block.feed_forward(x)
    return _last_block(blocks[-1], x, groups, cache[-1])


def _attend_all(attn: Attention, x: Tensor, groups: Sequence[Group], shared: tuple[Tensor, Tensor]) -> Tensor:
    """Every token attends to the shared positions and to those before it in its own sequence."""
    packed = attn.packed(x)
    parts = []
    for rows, group in zip(packed.split([g.num_tokens for g in groups]), groups, strict=True):
        q, k, v = _heads(rows, group, 3, attn.heads)
        future = torch.ones(group.length, group.length, dtype=torch.bool, device=x.device).triu(1)
        parts.append(_join_heads(_attend(q, k, v, *_of_prompts(shared, group), future)))
    return attn.out_proj(torch.cat(parts))


def _last_block(
    block: ResidualAttentionBlock, x: Tensor, groups: Sequence[Group], shared: tuple[Tensor, Tensor]
) -> Tensor:
    """The block for end tokens only: (T, W) -> (number of sequences, W)."""
    attn = block.attn
    normed = block.ln_1(x)
    sizes = [g.num_tokens for g in groups]
    ends = torch.cat(
        [
            torch.arange(group.length - 1, size, group.length) + offset
            for group, size, offset in zip(groups, sizes, _offsets(sizes), strict=True)
        ]
    ).to(x.device)
    query = attn.packed(normed[ends], 'q')
    key_value = attn.packed(normed, 'kv')
    parts = []
    queries = query.split([g.num_sequences for g in groups])
    for end_rows, rows, group in zip(queries, key_value.split(sizes), groups, strict=True):
        (q,) = _heads(end_rows, group, 1, attn.heads)
        k, v = _heads(rows, group, 2, attn.heads)
        parts.append(_join_heads(_attend(q, k, v, *_of_prompts(shared, group))))
    return block.feed_forward(x[ends] + attn.out_proj(torch.cat(parts)))


def _attend(q: Tensor, k: Tensor, v: Tensor, k0: Tensor, v0: Tensor, hidden: Tensor | None = None) -> Tensor:
    """Softmax attention to two sets of keys, of which the first is common to n sequences.

    Args:
        q: (p, H, n, t, d) queries.
        k: (p, H, n, r, d) keys of each sequence.
        v: (p, H, n, r, d) values of each sequence.
        k0: (p, H, S, d) shared keys.
        v0: (p, H, S, d) shared values.
        hidden: (t, r) True where a query must not attend to a key of its sequence.

    Returns:
        (p, H, n, t, d).
    """
    shared_scores = (q.flatten(2, 3) @ k0.transpose(-1, -2)).unflatten(2, q.shape[2:4])
    own_scores = q @ k.transpose(-1, -2)
    if hidden is not None:
        own_scores = own_scores.masked_fill(hidden, -torch.inf)
    scores = torch.cat([shared_scores, own_scores], dim=-1) * q.shape[-1] ** -0.5
    weights = scores.softmax(dim=-1, dtype=torch.promote_types(scores.dtype, torch.float32)).to(v.dtype)
    shared_weights, own_weights = weights.split([k0.shape[-2], k.shape[-2]], dim=-1)
    return (shared_weights.flatten(2, 3) @ v0).unflatten(2, q.shape[2:4]) + own_weights @ v


def _heads(rows: Tensor, group: Group, parts: int, heads: int) -> tuple[Tensor, ...]:
    """Rows (p * n * t, parts * W) of a group -> parts tensors (p, H, n, t, W / H).

    Copied, since products of permuted views would copy each of them anyway, and since a view would keep all
    groups' rows for the backward pass.
    """
    p, n = group.classes.shape
    split = rows.view(p, n, -1, parts, heads, rows.shape[-1] // (parts * heads)).permute(3, 0, 4, 1, 2, 5)
    return split.clone(memory_format=torch.contiguous_format).unbind(0)


def _join_heads(x: Tensor) -> Tensor:
    """(p, H, n, t, d) -> rows (p * n * t, H * d)."""
    return x.permute(0, 2, 3, 1, 4).flatten(3).flatten(0, 2)


def _of_prompts(shared: tuple[Tensor, Tensor], group: Group) -> tuple[Tensor, Tensor]:
    """Keys and values of the group's prompts: all of them, or one."""
    if len(group.prompts) == shared[0].shape[0]:
        return shared
    index = int(group.prompts[0])
    return shared[0][index : index + 1], shared[1][index : index + 1]


def _offsets(sizes: Sequence[int]) -> list[int]:
    """Start of each part."""
    return [sum(sizes[:i]) for i in range(len(sizes))]
