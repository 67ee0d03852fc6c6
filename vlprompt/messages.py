"""Helpers for messages: suggestions for a wrong name, short lists of names, counts in words."""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches

LESS_GPU_MEMORY = (
    'lower train_dataloader.batch_size (with optim_wrapper.accumulative_counts the effective size stays) or the image '
    'size, or train in mixed precision (--amp)'
)
"""What helps against too little memory of a GPU."""


def did_you_mean(name: str, known: Iterable[str], limit: int = 3, prefix: str = '') -> str:
    """``' Did you mean ...?'`` with the closest known names, or an empty string when nothing is close.

    A dotted name is also compared by its last component, so ``nctx`` finds ``prompt.n_ctx``.  When nothing is close,
    known names that begin with a name of three letters or more are shown, so ``coop`` finds ``coop_micro-rn``.

    Args:
        name: which is not known.
        known: names.
        limit: most names to show.
        prefix: shown before each of them.
    """
    known = list(dict.fromkeys(known))
    close = get_close_matches(name, known, n=limit, cutoff=0.6)
    by_leaf = {full.rsplit('.', 1)[-1]: full for full in reversed(known)}
    leaves = get_close_matches(name.rsplit('.', 1)[-1], by_leaf, n=limit, cutoff=0.7)
    found = list(dict.fromkeys([*close, *(by_leaf[leaf] for leaf in leaves)]))[:limit]
    if not found and len(name) >= 3:
        found = [full for full in known if full.startswith(name)][:limit]
    return f' Did you mean {" or ".join(repr(prefix + full) for full in found)}?' if found else ''


def enumerate_names(names: Iterable[str], limit: int = 8) -> str:
    """``'a, b, c and 12 more'``."""
    names = list(names)
    shown = ', '.join(map(str, names[:limit]))
    return shown if len(names) <= limit else f'{shown} and {len(names) - limit} more'


def counted(number: int, singular: str, plural: str | None = None) -> str:
    """``'1 image'``, ``'2 images'``."""
    return f'{number} {singular if number == 1 else plural or singular + "s"}'


def quoted(name: str) -> str:
    """A name as part of a list: between quotation marks if it has a comma itself."""
    return f'"{name}"' if ',' in name else name


def printable(text: str) -> str:
    r"""The text with escapes such as ``\udce4`` for what cannot be printed: control characters, and bytes of file names
    that are not UTF-8.
    """
    return ''.join(c if c.isprintable() else c.encode('unicode_escape').decode() for c in text)
