"""Tokenizers in the format of the Hugging Face hub, which SigLIP and SigLIP 2 have."""

from __future__ import annotations

from functools import cached_property
from pathlib import Path
from typing import Any

from torch import Tensor

from vlprompt.clip.text.cleaning import CLEANING
from vlprompt.clip.text.tokenizer import Tokenizer, printable
from vlprompt.errors import EnvironmentProblem
from vlprompt.files import read_json

TOKENIZER_FILE = 'tokenizer.json'
OPTIONS_FILE = 'tokenizer_config.json'
_SPACE = '\u2581'  # what SentencePiece writes for the space before a word


class HubTokenizer(Tokenizer):
    """A tokenizer from ``tokenizer.json``, read by the library tokenizers.

    A start token is there if the file adds one to a text, unless ``add_bos_token`` of ``tokenizer_config.json`` says
    otherwise, as for Gemma's; the end token always is.

    Args:
        folder: with the two files.
        clean: open_clip's name of what is done to a text first, ``'whitespace'``, ``'lower'`` or ``'canonicalize'``
            (lower case without punctuation).

    Raises:
        EnvironmentProblem: the library is not installed.
        FileNotFoundError: a file is missing.
        ValueError: a damaged file, no end or padding token, or more than one start token.
    """

    def __init__(self, folder: str | Path, clean: str = 'whitespace') -> None:
        self.folder, self._clean = Path(folder), clean
        self._known: dict[tuple[str, bool], list[int]] = {}
        options = read_json(self.folder / OPTIONS_FILE)
        core = self._core
        self.end, self.pad = (self._special(options, name) for name in ('eos_token', 'pad_token'))
        before = _before(core.encode('a').ids, core.encode('a', add_special_tokens=False).ids)
        added = options.get('add_bos_token')
        if added is True and not before:
            before = [self._special(options, 'bos_token')]
        self.start = () if added is False else tuple(before)
        if len(self.start) > 1:
            raise ValueError(
                f'{self.folder / TOKENIZER_FILE}: {len(self.start)} start tokens, where one or none is known'
            )

    @cached_property
    def _core(self) -> Any:
        try:
            from tokenizers import Tokenizer as Core
        except ImportError as error:
            raise EnvironmentProblem(
                f'the tokenizer in {self.folder} needs the library tokenizers: pip install "vlprompt[tokenizers]"'
            ) from error
        file = self.folder / TOKENIZER_FILE
        if not file.is_file():
            raise FileNotFoundError(f'there is no {file}')
        try:
            core = Core.from_str(file.read_text(encoding='utf-8'))
        except Exception as error:  # the library raises no narrower class
            raise ValueError(f'{file}: not a tokenizer of the library tokenizers ({error})') from error
        core.no_padding()
        core.no_truncation()
        return core

    def _special(self, options: dict[str, Any], name: str) -> int:
        """Id of a special token that the options name."""
        token = options.get(name)
        token = token.get('content') if isinstance(token, dict) else token
        found = None if token is None else self._core.token_to_id(token)
        if found is None:
            raise ValueError(f'{self.folder / OPTIONS_FILE}: {name}={token!r} is no token of {TOKENIZER_FILE}')
        return found

    def encode(self, text: str, inside: bool = False) -> list[int]:
        if (text, inside) not in self._known:
            cleaned = CLEANING[self._clean](text)
            words = f' {cleaned}' if inside and cleaned else cleaned
            self._known[text, inside] = self._core.encode(words, add_special_tokens=False).ids
        return list(self._known[text, inside])

    def decode(self, ids: list[int] | Tensor) -> str:
        return self._core.decode([int(i) for i in ids], skip_special_tokens=False)

    def word(self, token: int) -> str:
        if token in (*self.start, self.end, self.pad):
            return ''
        text = self._core.id_to_token(token) or ''
        word = text.removeprefix(_SPACE)
        if not printable(word) or (word.startswith('<') and word.endswith('>')):
            return ''
        return word if word != text else f'…{word}'

    def __deepcopy__(self, memo: dict) -> HubTokenizer:
        return self  # it never changes


def _before(whole: list[int], inner: list[int]) -> list[int]:
    """Ids before ``inner`` in ``whole``, which holds it."""
    start = next(start for start in range(len(whole)) if whole[start : start + len(inner)] == inner)
    return whole[:start]
