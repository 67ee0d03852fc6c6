"""Which class names a model predicts, and whether it takes others."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from operator import attrgetter

from torch import nn

from vlprompt.clip.classnames import resolve_class_names
from vlprompt.errors import ConfigError
from vlprompt.files import shortened
from vlprompt.messages import enumerate_names
from vlprompt.prompts import readable

_log = logging.getLogger(__name__)


def read_names(given: str | Sequence[str], what: str = 'class_names') -> list[str]:
    """K class names.

    Args:
        given: names, or the name of a dataset, or a text file (``*.txt``) with one name per line.
        what: where they are given, for messages.

    Raises:
        ConfigError: none, or a name that stands twice.
        FileNotFoundError, ValueError: as for :func:`~vlprompt.clip.classnames.resolve_class_names`.
    """
    names = resolve_class_names(given)
    if not names:
        raise ConfigError(f'{what}: there is no name')
    twice = [name for name, times in Counter(names).items() if times > 1]
    if twice:
        raise ConfigError(f'{what}: {enumerate_names(map(repr, twice))} stands twice')
    return names


def names_for(model: nn.Module, names: Sequence[str] | None) -> list[str]:
    """Names of a model's classes, in words.

    Args:
        model: as :func:`~vlprompt.apis.init_model` returns it.
        names: others for a model that takes them (:func:`takes`), which is not changed; the names of a model that does
            not know its own; None: its own.

    Raises:
        ConfigError: it has no names, or takes no others.
    """
    known = model.dataset_meta.get('classes')
    if names is None and known is None:
        raise ConfigError(
            'the checkpoint does not name the classes: list them with --class-names (class_names=[...] in Python)'
        )
    if names is None:
        return [readable(name) for name in known]
    free = takes(model, names)
    if not free and known is not None:
        raise ConfigError(
            f'class names: {type(model).__name__} was trained for {shortened(", ".join(known), 120)} and no others'
        )
    size = None if free else number_of_classes(model)
    if size not in (None, len(names)):
        raise ConfigError(f'class names: {len(names)} names for the {size} classes of {type(model).__name__}')
    if free and len(names) == 1:
        _log.warning(
            '%r is the only class, so every image is it by 100 %%: give at least one other that may be there',
            names[0],
        )
    return [readable(name) for name in names]


def takes(model: nn.Module, names: Sequence[str]) -> bool:
    """Whether a model, trained as it is, can classify among these names: those whose classes are only text, and
    solvers that were fitted to them or have a rule for others.
    """
    accepts = getattr(model, 'accepts_class_names', None)  # which models of mmseg and mmdet have not
    return accepts is not None and accepts(names)


@contextmanager
def other_names(model: nn.Module, names: Sequence[str] | None) -> Iterator[None]:
    """Give a model whose classes are text other names for a while; None: its own."""
    if names is None:
        yield
        return
    own = model.class_names
    model.set_class_names(names)
    try:
        yield
    finally:
        model.set_class_names(own)


def number_of_classes(model: nn.Module) -> int | None:
    """Of a model whose head was built for them."""
    for part in ('', 'decode_head.', 'bbox_head.', 'roi_head.bbox_head.'):
        try:
            return attrgetter(f'{part}num_classes')(model)
        except AttributeError:
            continue
    return None
