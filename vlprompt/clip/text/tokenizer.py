"""CLIP's byte-pair encoding, with errors that name the class."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

import torch
from torch import Tensor

CONTEXT_LENGTH = 77
START_TOKEN = 49406
END_TOKEN = 49407


@lru_cache(maxsize=1)
def _bpe():
    from open_clip.tokenizer import SimpleTokenizer  # imported here since it loads all of open_clip and timm

    return SimpleTokenizer()


@lru_cache(maxsize=65536)
def _encode(text: str) -> tuple[int, ...]:
    return tuple(_bpe().encode(text))


def encode(text: str) -> list[int]:
    """Token ids of a text, without start and end token. Case, HTML entities and repeated spaces do not matter."""
    return list(_encode(text))


def decode(ids: Sequence[int] | Tensor) -> str:
    """Text of token ids; start, end and padding tokens are not special."""
    return _bpe().decode([int(i) for i in ids])


def bpe_lengths(texts: Sequence[str]) -> list[int]:
    """Number of tokens of each text, without start and end token."""
    return [len(_encode(text)) for text in texts]


def tokenize(
    texts: str | Sequence[str], context_length: int = CONTEXT_LENGTH, names: Sequence[str] | None = None
) -> Tensor:
    """Token ids for CLIP: start token, text, end token, then zeros.

    The end token has the largest id, so its position is ``ids.argmax(-1)``.

    Args:
        texts: one text or N.
        context_length: L.
        names: name of each text in errors, such as its class name; None: the text itself.

    Returns:
        (N, L) long.

    Raises:
        ValueError: a text does not fit into L positions; the message names it.

    Example:
        >>> tokenize('a photo of a cat.')[0, :8].tolist()
        [49406, 320, 1125, 539, 320, 2368, 269, 49407]
    """
    texts = [texts] if isinstance(texts, str) else list(texts)
    if names is not None and len(names) != len(texts):
        raise ValueError(f'{len(names)} names for {len(texts)} texts')
    ids = torch.zeros(len(texts), context_length, dtype=torch.long)
    for row, text in enumerate(texts):
        tokens = (START_TOKEN, *_encode(text), END_TOKEN)
        if len(tokens) > context_length:
            what = f'text {text!r}' if names is None else f'class {names[row]!r} (text {text!r})'
            raise ValueError(
                f'{what} takes {len(tokens)} tokens with start and end token, but the text tower has only '
                f'{context_length} positions; shorten the class name or the context'
            )
        ids[row, : len(tokens)] = torch.tensor(tokens)
    return ids
