"""What is done to a text before it becomes tokens, in the ways that open_clip knows."""

from __future__ import annotations

import html
import string
from collections.abc import Callable, Mapping

_NO_PUNCTUATION = str.maketrans('', '', string.punctuation)


def repaired(text: str) -> str:
    """A text with characters of wrong encodings and HTML entities replaced, without spaces around it."""
    if not text.isascii() or not text.isprintable() or '&' in text:  # of other texts nothing is replaced
        import ftfy

        text = html.unescape(html.unescape(ftfy.fix_text(text)))
    return text.strip()


def single_spaced(text: str) -> str:
    """The repaired text with one space between words."""
    return ' '.join(repaired(text).split())


def lower(text: str) -> str:
    """The repaired text in lower case, with one space between words."""
    return single_spaced(text).lower()


def canonical(text: str) -> str:
    """The repaired text in lower case, without punctuation, with one space between words; ``_`` is a space."""
    return ' '.join(repaired(text).replace('_', ' ').translate(_NO_PUNCTUATION).lower().split())


CLEANING: Mapping[str, Callable[[str], str]] = dict(whitespace=single_spaced, lower=lower, canonicalize=canonical)
"""Functions by open_clip's names of them."""
