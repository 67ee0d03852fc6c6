"""CLIP's byte-pair encoding.

Gives the ids of open_clip's ``SimpleTokenizer``, which is that of Radford et al. (ICML 2021), from the vocabulary that
open_clip ships.  Importing open_clip, which imports timm and huggingface_hub, would take longer than all else here.
"""

from __future__ import annotations

import gzip
import importlib.util
from collections.abc import Callable, Iterable, Sequence
from functools import cache, cached_property
from itertools import islice, pairwise
from pathlib import Path

from vlprompt.clip.text.cleaning import lower
from vlprompt.errors import EnvironmentProblem

VOCABULARY = 'bpe_simple_vocab_16e6.txt.gz'
MERGES = 48_894
"""Merges of that file which CLIP uses: its 49,408 tokens less 512 of bytes and two special ones."""
SPECIAL = ('<start_of_text>', '<end_of_text>')
WORD_END = '</w>'


class BytePairEncoding:
    """Tokens are bytes and sequences of bytes that are frequent; a word becomes few of them by merging neighbours.

    The ids are, in this order, those of the 256 bytes, of the 256 bytes at the end of a word, of the merges, and of
    start and end of a text.

    Args:
        merges: pairs of tokens, in the order in which they are merged.
    """

    def __init__(self, merges: Iterable[Sequence[str]]) -> None:
        self.ranks = {tuple(pair): rank for rank, pair in enumerate(merges)}
        letters = letters_by_byte().values()
        self.tokens = [*letters, *(letter + WORD_END for letter in letters), *map(''.join, self.ranks), *SPECIAL]
        self.ids = {token: number for number, token in enumerate(self.tokens)}
        self._ids_of_words = {token: [self.ids[token]] for token in SPECIAL}

    def encode(self, text: str) -> list[int]:
        """Token ids of a text, without start and end.  Case, HTML entities and repeated spaces do not matter."""
        letters = letters_by_byte()
        words = (''.join(letters[byte] for byte in word.encode()) for word in self._words_of(lower(text)))
        return [number for word in words for number in self._encode_word(word)]

    def decode(self, ids: Iterable[int]) -> str:
        """Text of token ids, with a space after every word; bytes that are no UTF-8 become replacement characters."""
        bytes_ = {letter: byte for byte, letter in letters_by_byte().items()}
        text = ''.join(self.tokens[number] for number in ids)
        return bytes(bytes_[letter] for letter in text).decode(errors='replace').replace(WORD_END, ' ')

    @cached_property
    def _words_of(self) -> Callable[[str], list[str]]:
        """Splits a text into endings such as ``'s``, words, digits and runs of other signs."""
        import regex

        parts = (*SPECIAL, "'s", "'t", "'re", "'ve", "'m", "'ll", "'d", r'\p{L}+', r'\p{N}', r'[^\s\p{L}\p{N}]+')
        return regex.compile('|'.join(parts), regex.IGNORECASE).findall

    def _encode_word(self, word: str) -> list[int]:
        """Ids of a word in letters of bytes: as long as there is a pair to merge, the one that comes first is."""
        if word not in self._ids_of_words:
            parts = [*word[:-1], word[-1] + WORD_END]
            while len(parts) > 1:
                first = min(pairwise(parts), key=lambda pair: self.ranks.get(pair, len(self.ranks)))
                if first not in self.ranks:
                    break
                parts = merged(parts, first)
            self._ids_of_words[word] = [self.ids[part] for part in parts]
        return self._ids_of_words[word]


def merged(parts: Sequence[str], pair: tuple[str, str]) -> list[str]:
    """``parts`` with every occurrence of ``pair``, from left to right, as one part."""
    result, position = [], 0
    while position < len(parts):
        found = tuple(parts[position : position + 2]) == pair
        result.append(''.join(pair) if found else parts[position])
        position += 1 + found
    return result


@cache
def letters_by_byte() -> dict[int, str]:
    """A visible letter for each of the 256 bytes, in the order of the token ids.

    Bytes that are printable in Latin-1 stand for themselves, others for letters from U+0100 on.
    """
    visible = [*range(ord('!'), ord('~') + 1), *range(ord('¡'), ord('¬') + 1), *range(ord('®'), ord('ÿ') + 1)]
    others = [byte for byte in range(256) if byte not in visible]
    return {byte: chr(byte) for byte in visible} | {byte: chr(256 + place) for place, byte in enumerate(others)}


@cache
def clip_encoding() -> BytePairEncoding:
    """CLIP's, with 49,408 tokens.

    Raises:
        EnvironmentProblem: open_clip is not installed, or has no vocabulary.
    """
    spec = importlib.util.find_spec('open_clip')  # which imports nothing
    files = [Path(folder, VOCABULARY) for folder in (spec.submodule_search_locations or () if spec else ())]
    file = next((file for file in files if file.is_file()), None)
    if file is None:
        raise EnvironmentProblem(
            f'open_clip, which has the vocabulary of CLIP ({VOCABULARY}), is not installed, or incompletely:\n'
            '  pip install --force-reinstall --no-deps open_clip_torch'
        )
    with gzip.open(file, 'rt', encoding='utf-8') as lines:
        return BytePairEncoding(line.split() for line in islice(lines, 1, 1 + MERGES))  # the first is no merge
