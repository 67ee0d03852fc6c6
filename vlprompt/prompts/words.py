"""The words around a learned context: initial words, fixed words, class names, and their positions."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from vlprompt.clip.text.encoder import TextEncoder
from vlprompt.clip.text.tokenizer import Tokenizer
from vlprompt.files import read_lines
from vlprompt.prompts.base import readable


def initial_texts(init: str | Sequence[str], position: str, tokenizer: Tokenizer) -> str | list[str]:
    """The words of ``init`` without the place of the class name.

    Args:
        init: one text or several, or a text file (``.txt``) with one a line; each may contain ``{}`` for the class
            name, as in ``'a photo of a {}.'`` or ``'{} seen from afar'``.
        position: where the class name stands, ``'end'``, ``'middle'`` or ``'front'``.
        tokenizer: of the text tower; says which words are half of the vectors for ``'middle'``.

    Raises:
        ValueError: ``{}`` is elsewhere than ``position`` says.
        DataError: the file cannot be read.
    """
    if isinstance(init, str) and init.endswith('.txt'):
        init = [line for _, line in read_lines(init, 'templates')]

    def words(text: str) -> str:
        before, found, after = (part.strip() for part in text.partition('{}'))
        after = after.rstrip('.').rstrip()
        if found and position != ('front' if not before and after else 'end' if not after else 'middle'):
            raise ValueError(
                f'ContextPrompt: init {text!r} does not have the class name where position={position!r} has it: '
                "'front' before all words, 'end' after them"
            )
        if not (found and before and after):
            return before or after
        leading, both = len(tokenizer.encode(readable(before))), f'{before} {after}'
        if leading != (total := len(tokenizer.encode(readable(both)))) // 2:
            raise ValueError(
                f'ContextPrompt: init {text!r} has {leading} of its {total} tokens before the class name, but '
                f"position='middle' puts {total // 2} of {total} vectors there"
            )
        return both

    return words(init) if isinstance(init, str) else [words(text) for text in init]


def start_from_words(
    init: str | Sequence[str], n_prompts: int, n_ctx: int | None, text: TextEncoder
) -> tuple[Tensor, list[list[int]]]:
    """Vectors initialised with the embedding of words, and the remaining words.

    Args:
        init: one text for all prompts, or a text for each.
        n_prompts: P.
        n_ctx: tokens of each text that become vectors; None: all of them.
        text: the text tower.

    Returns:
        (P, n_ctx, W) in full precision, without gradient, and for each prompt the ids of its further tokens.

    Raises:
        ValueError: not P texts, one with fewer than ``n_ctx`` tokens, or without ``n_ctx`` of different counts.
    """
    texts = [readable(init)] * n_prompts if isinstance(init, str) else [readable(t) for t in init]
    if len(texts) != n_prompts:
        raise ValueError(f'ContextPrompt: init gives {len(texts)} texts for n_prompts={n_prompts}')
    ids = [text.tokenizer.encode(words) for words in texts]
    lengths = [len(row) for row in ids]
    if n_ctx is None and (len(set(lengths)) > 1 or lengths[0] < 1):
        counts = ', '.join(f'{t!r}: {n}' for t, n in zip(texts, lengths, strict=True))
        raise ValueError(
            'ContextPrompt: init texts need the same token count, at least one, unless n_ctx says how many tokens of '
            f'each are learned; got {counts}'
        )
    n_ctx = lengths[0] if n_ctx is None else n_ctx
    if not 1 <= n_ctx <= min(lengths):
        shortest = texts[lengths.index(min(lengths))]
        raise ValueError(f'ContextPrompt: n_ctx={n_ctx}, but init {shortest!r} has {min(lengths)} tokens')
    learned = torch.tensor([row[:n_ctx] for row in ids], device=text.token_embedding.weight.device)
    return text.token_embedding(learned).detach().float().clone(), [row[n_ctx:] for row in ids]


def padded(ids: Sequence[Sequence[int]], pad: int) -> Tensor:
    """(P, F) rows of ids, filled up with ``pad``."""
    longest = max(len(row) for row in ids)
    return torch.tensor([[*row, *[pad] * (longest - len(row))] for row in ids], dtype=torch.long)


def check_room(
    class_names: Sequence[str], lengths: Sequence[int], special: int, room: int, context_length: int
) -> None:
    """Raise ValueError if the longest class does not fit, naming it and the context length that it needs.

    Args:
        class_names: K names, for the message.
        lengths: tokens of its text in the prompt, for each class.
        special: start and end tokens.
        room: positions left for start token, text and end token besides context and fixed words.
        context_length: all positions.
    """
    longest = max(range(len(lengths)), key=lengths.__getitem__)
    needed = lengths[longest] + special
    if needed > room:
        raise ValueError(
            f'ContextPrompt: class {class_names[longest]!r} takes {lengths[longest]} tokens; with '
            f'{context_length - room} context vectors and fixed words, start and end token it needs '
            f'context_length={context_length - room + needed}, but context_length is {context_length}. Raise it '
            '(no text tower of CLIP has more than 77), use fewer context vectors or shorten the name'
        )


def context_rows(n_ctx: int, leading: int, name_lengths: Tensor, n_words: int) -> Tensor:
    """(K, n_ctx + T) order of [context (n_ctx), words (T)] after the start token.

    Computed by sorting keys: words of the name have 0, the context before it -1 and after it 1, the rest 2.

    Args:
        n_ctx: context vectors.
        leading: number of them before the name.
        name_lengths: (K,) tokens of each name.
        n_words: T.
    """
    context_key = torch.ones(len(name_lengths), n_ctx)
    context_key[:, :leading] = -1
    words = torch.arange(n_words).expand(len(name_lengths), -1)
    word_key = torch.where(words < name_lengths[:, None], 0.0, 2.0)
    return torch.cat([context_key, word_key], 1).argsort(dim=1, stable=True)
