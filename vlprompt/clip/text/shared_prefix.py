"""A causal transformer over sequences with a common prefix, which is computed once.

Position i of a causal transformer attends to positions 0 .. i only. Two exact savings follow:

* the prefix that a prompt's classes share (start token, context) attends only to itself, so it is computed once per
  prompt, and the classes attend to its keys and values;
* only the end token is read out, so nothing after it is needed, and in the last block only the end token.

Prefixes and sequences are rows of one tensor, so that every linear layer runs once for both.

Both savings hold for gradients too: autograd sums the gradients of the shared keys and values over the classes.
The results differ from the plain computation only in the order of summation.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from vlprompt.clip.layers import Attention
from vlprompt.clip.text.packing import Bucket, Chunk

KeysValues = list[Tensor]
"""For each block, keys and values (P, S, 2, H, W / H) of the shared positions."""


def prefix_keys_values(blocks: nn.ModuleList, x: Tensor, deep: Sequence[Tensor] = ()) -> KeysValues:
    """Run the shared positions alone through all blocks.

    Args:
        blocks: the :class:`~vlprompt.clip.layers.ResidualAttentionBlock` s.
        x: (P, S, W) embeddings of the shared positions, position embedding added.
        deep: see :class:`~vlprompt.clip.PromptTokens`.

    Returns:
        Keys and values for every block, with gradient.
    """
    cache: KeysValues = []
    for index, block in enumerate(blocks[:-1]):
        out, keys_values = _attend_prefix(block.attn, block.attn.packed(block.ln_1(x)))
        cache.append(keys_values)
        x = x + block.attn.out_proj(out)
        x = insert_deep(block.feed_forward(x), deep, index + 1)
    last = blocks[-1]
    return [*cache, last.attn.packed(last.ln_1(x), 'kv').unflatten(-1, (2, last.attn.heads, -1))]


def insert_deep(x: Tensor, deep: Sequence[Tensor], block: int) -> Tensor:
    """The input (P, L, W) of a block, with positions 1 .. n replaced if there is a deep prompt for it."""
    if not 1 <= block <= len(deep):
        return x
    tokens = deep[block - 1].to(x.dtype)
    first, _, rest = x.split([1, tokens.shape[1], x.shape[1] - 1 - tokens.shape[1]], dim=1)
    return torch.cat([first, tokens, rest], dim=1)


def end_token_features(
    blocks: nn.ModuleList,
    own: Tensor,
    chunk: Chunk,
    prefix: Tensor | None = None,
    deep: Sequence[Tensor] = (),
    cache: KeysValues = (),
    fused: bool = False,
) -> Tensor:
    """Run packed sequences through all blocks, with their prefixes or with those' keys and values.

    Args:
        blocks: the :class:`~vlprompt.clip.layers.ResidualAttentionBlock` s.
        own: (T, W) the chunk's tokens, each bucket in the order (p, n, r), position embedding added.
        chunk: layout of these rows.
        prefix: (P, S, W) embeddings of the shared positions, position embedding added; None: ``cache`` is given.
        deep: see :class:`~vlprompt.clip.PromptTokens`; with a ``prefix``.
        cache: of :func:`prefix_keys_values`, without a ``prefix``.
        fused: attend by one fused kernel a bucket, for which the shared keys and values are copied for every sequence;
            else in two products, which copies nothing.

    Returns:
        (number of sequences, W), the last token of every sequence, in packed order.
    """
    shape = (0, 0) if prefix is None else prefix.shape[:2]
    sizes = [shape[0] * shape[1], len(own)]
    tokens = [bucket.num_tokens for bucket in chunk.buckets]
    x = own if prefix is None else torch.cat([prefix.flatten(0, 1), own])
    for index, block in enumerate(blocks[:-1]):
        packed = block.attn.packed(block.ln_1(x))
        parts, outputs = packed.split(tokens if prefix is None else [sizes[0], *tokens]), []
        if prefix is None:
            keys_values = cache[index]
        else:
            shared, *parts = parts
            shared = shared if fused else shared.clone()  # a view would keep all rows for the backward pass
            out, keys_values = _attend_prefix(block.attn, shared.unflatten(0, shape))
            outputs.append(out.flatten(0, 1))
        pairs = [_by_head(block.attn, part, bucket) for part, bucket in zip(parts, chunk.buckets, strict=True)]
        outputs += _attend_buckets(pairs, chunk, keys_values, chunk.masks, fused)
        x = x + block.attn.out_proj(_joined(outputs))
        x = block.feed_forward(x)
        if index + 1 <= len(deep):
            shared, rest = x.split(sizes)
            x = torch.cat([insert_deep(shared.unflatten(0, shape), deep, index + 1).flatten(0, 1), rest])

    block, attn = blocks[-1], blocks[-1].attn  # for end tokens only
    normed = block.ln_1(x)
    key_value = attn.packed(normed, 'kv')
    if prefix is None:
        keys_values, parts = cache[-1], key_value.split(tokens)
    else:
        normed, x = normed[sizes[0] :], x[sizes[0] :]
        shared, *parts = key_value.split([sizes[0], *tokens])
        keys_values = shared.unflatten(0, shape).unflatten(-1, (2, attn.heads, -1))
    queries = attn.packed(normed.index_select(0, chunk.ends), 'q').split([b.num_sequences for b in chunk.buckets])
    pairs = [
        (query.view(*bucket.shape, 1, attn.heads, -1), part.view(*bucket.shape, bucket.length, 2, attn.heads, -1))
        for query, part, bucket in zip(queries, parts, chunk.buckets, strict=True)
    ]
    outputs = _attend_buckets(pairs, chunk, keys_values, chunk.end_masks, fused)
    ends = x.index_select(0, chunk.ends)
    return block.feed_forward(ends + attn.out_proj(_joined(outputs)))


def _joined(parts: Sequence[Tensor]) -> Tensor:
    """The rows of all parts, without a copy if there is one part."""
    return parts[0] if len(parts) == 1 else torch.cat(parts)


def _attend_prefix(attn: Attention, packed: Tensor) -> tuple[Tensor, Tensor]:
    """Causal attention of shared positions.

    Args:
        attn: gives the number of heads.
        packed: (P, S, 3 W) queries, keys and values.

    Returns:
        (P, S, W), not yet projected, and keys and values (P, S, 2, H, d).
    """
    query, keys_values = packed.unflatten(-1, (3, attn.heads, -1)).split([1, 2], dim=2)
    q = query.squeeze(2).transpose(1, 2)
    k, v = (part.transpose(1, 2) for part in keys_values.unbind(2))
    out = F.scaled_dot_product_attention(q, k, v, is_causal=True)
    return out.transpose(1, 2).flatten(2), keys_values


def _by_head(attn: Attention, rows: Tensor, bucket: Bucket) -> tuple[Tensor, Tensor]:
    """Rows (p * n * r, 3 W) of a bucket -> queries (p, n, r, H, d), keys and values (p, n, r, 2, H, d), both views.

    They are parted in this form, so that their gradients are put together in one copy.
    """
    query, keys_values = rows.view(*bucket.shape, bucket.length, 3, attn.heads, -1).split([1, 2], dim=3)
    return query.squeeze(3), keys_values


def _attend_buckets(
    pairs: Sequence[tuple[Tensor, Tensor]],
    chunk: Chunk,
    shared: Tensor,
    masks: Sequence[Tensor | None],
    fused: bool,
) -> list[Tensor]:
    """Attention of the sequences, bucket by bucket, to the shared positions and to themselves.

    Args:
        pairs: for each bucket queries (p, n, t, H, d), t = 1 for end tokens alone, and keys and values
            (p, n, r, 2, H, d).
        chunk: layout of the rows.
        shared: keys and values (P, S, 2, H, d).
        masks: for each bucket, what its queries may attend to, see :class:`~vlprompt.clip.text.packing.Chunk`; None:
            everything.
        fused: see :func:`end_token_features`.

    Returns:
        For each bucket (rows, W).
    """
    attend = _attend_fused if fused else _attend_in_parts
    return [
        attend(query, keys_values, _of_prompts(shared, bucket), mask)
        for bucket, (query, keys_values), mask in zip(chunk.buckets, pairs, masks, strict=True)
    ]


def _of_prompts(shared: Tensor, bucket: Bucket) -> Tensor:
    """Keys and values of the bucket's prompts: all of them, or one."""
    if len(bucket.prompts) == len(shared):
        return shared
    return shared[bucket.prompts[0] : bucket.prompts[0] + 1]


def _attend_fused(query: Tensor, own: Tensor, shared: Tensor, allowed: Tensor | None) -> Tensor:
    """Attention by torch's fused kernels over shared and own keys side by side.

    Args:
        query: (p, n, t, H, d).
        own: (p, n, r, 2, H, d) keys and values of each sequence.
        shared: (p, S, 2, H, d) those of its prompt.
        allowed: (t, S + r), or with t = 1 (p * n, 1, 1, S + r), added to the scores; or None.

    Returns:
        (p * n * t, H * d).
    """
    both = torch.cat([shared.unsqueeze(1).expand(-1, own.shape[1], -1, -1, -1, -1), own], dim=2).flatten(0, 1)
    k, v = (part.transpose(1, 2) for part in both.unbind(2))
    out = F.scaled_dot_product_attention(query.flatten(0, 1).transpose(1, 2), k, v, attn_mask=allowed)
    return out.transpose(1, 2).flatten(2).flatten(0, 1)


def _attend_in_parts(query: Tensor, own: Tensor, shared: Tensor, hidden: Tensor | None) -> Tensor:
    """The same in two products, of all queries with the shared keys and of each sequence with its own.

    Arguments and result are those of :func:`_attend_fused`, but ``hidden`` (t, r) is True where a query must not attend
    to a key of its sequence.
    """
    q = query.permute(0, 3, 1, 2, 4).contiguous()  # (p, H, n, t, d)
    k, v = own.permute(3, 0, 4, 1, 2, 5).clone(memory_format=torch.contiguous_format).unbind(0)  # (p, H, n, r, d)
    k0, v0 = (part.transpose(1, 2) for part in shared.unbind(2))  # (p, H, S, d)
    shared_scores = (q.flatten(2, 3) @ k0.transpose(-1, -2)).unflatten(2, q.shape[2:4])
    own_scores = q @ k.transpose(-1, -2)
    if hidden is not None:
        own_scores = own_scores.masked_fill(hidden, -torch.inf)
    scores = torch.cat([shared_scores, own_scores], dim=-1) * q.shape[-1] ** -0.5
    weights = scores.softmax(dim=-1, dtype=torch.promote_types(scores.dtype, torch.float32)).to(v.dtype)
    shared_weights, own_weights = weights.split([k0.shape[-2], k.shape[-2]], dim=-1)
    out = (shared_weights.flatten(2, 3) @ v0).unflatten(2, q.shape[2:4]) + own_weights @ v
    return out.permute(0, 2, 3, 1, 4).flatten(3).flatten(0, 2)
