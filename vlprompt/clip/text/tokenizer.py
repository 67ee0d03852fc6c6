"""Tokenizers: CLIP's byte-pair encoding, and what all tokenizers have in common."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

import torch
from torch import Tensor

from vlprompt.clip.text.bpe import clip_encoding

CONTEXT_LENGTH = 77
START_TOKEN = 49406
END_TOKEN = 49407


class Tokenizer:
    """Words as token ids; subclasses define :meth:`encode` and :meth:`decode`.

    A text of a tower is :attr:`start`, the tokens of the words, :attr:`end`, then :attr:`pad` up to the context length.

    Attributes:
        start: ids before the words: one, or none.
        end: id after them.
        pad: id that fills the rest.
    """

    start: tuple[int, ...]
    end: int
    pad: int

    def encode(self, text: str, inside: bool = False) -> list[int]:
        """Token ids of a text, without start and end token. Case and repeated spaces do not matter.

        Args:
            text: words.
            inside: something comes before them, from which a space separates them.
        """
        raise NotImplementedError(f'{type(self).__name__} must define encode()')

    def decode(self, ids: Sequence[int] | Tensor) -> str:
        """Text of token ids; start, end and padding tokens are not special."""
        raise NotImplementedError(f'{type(self).__name__} must define decode()')

    def word(self, token: int) -> str:
        """Readable text of a token, an ellipsis where its word goes on; '' if it is special or cannot be printed."""
        raise NotImplementedError(f'{type(self).__name__} must define word()')

    def lengths(self, texts: Sequence[str], inside: bool = False) -> list[int]:
        """Number of tokens of each text, without start and end token."""
        return [len(self.encode(text, inside)) for text in texts]

    def ends(self, ids: Tensor) -> Tensor:
        """(...,) positions of the end tokens in ids (..., L)."""
        return (ids == self.end).long().argmax(-1)

    def tokenize(
        self,
        texts: str | Sequence[str],
        context_length: int = CONTEXT_LENGTH,
        names: Sequence[str] | None = None,
        inside: bool = False,
    ) -> Tensor:
        """Token ids for a text tower: start token, text, end token, then padding.

        Args:
            texts: one text or N.
            context_length: L.
            names: name of each text in errors, such as its class name; None: the text itself.
            inside: see :meth:`encode`.

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
        ids = torch.full((len(texts), context_length), self.pad, dtype=torch.long)
        for row, text in enumerate(texts):
            tokens = (*self.start, *self.encode(text, inside), self.end)
            if len(tokens) > context_length:
                what = f'text {text!r}' if names is None else f'class {names[row]!r} (text {text!r})'
                raise ValueError(
                    f'{what} takes {len(tokens)} tokens with start and end token, but the text tower has only '
                    f'{context_length} positions; shorten the class name or the context'
                )
            ids[row, : len(tokens)] = torch.tensor(tokens)
        return ids


class ClipTokenizer(Tokenizer):
    """CLIP's byte-pair encoding, with 49,408 tokens: of OpenAI's models and most others.

    Case, HTML entities and repeated spaces do not matter.  The end token has the largest id.
    """

    start, end, pad = (START_TOKEN,), END_TOKEN, 0

    def encode(self, text: str, inside: bool = False) -> list[int]:
        return list(_encode(text))

    def word(self, token: int) -> str:
        if token in (START_TOKEN, END_TOKEN):
            return ''
        text = self.decode([token])
        word = text.removesuffix(' ')
        if not printable(word):
            return ''
        return word if word != text else f'{word}…'

    def decode(self, ids: Sequence[int] | Tensor) -> str:
        return clip_encoding().decode(int(i) for i in ids)


def printable(word: str) -> bool:
    """Whether all of a text shows; bytes that are no text on their own do not."""
    return bool(word.strip()) and word.isprintable() and '\ufffd' not in word


@lru_cache(maxsize=65536)
def _encode(text: str) -> tuple[int, ...]:
    return tuple(clip_encoding().encode(text))


CLIP_TOKENIZER = ClipTokenizer()
encode, decode, tokenize = CLIP_TOKENIZER.encode, CLIP_TOKENIZER.decode, CLIP_TOKENIZER.tokenize
bpe_lengths = CLIP_TOKENIZER.lengths
