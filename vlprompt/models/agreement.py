"""Agreement on class names between a model and its data or its checkpoint."""

from __future__ import annotations

import logging
from collections.abc import Sequence

from mmengine.logging import print_log
from torch import nn

from vlprompt.clip.builtin import unseen_names
from vlprompt.clip.classnames import check_class_names
from vlprompt.errors import ConfigError
from vlprompt.messages import enumerate_names


def agree_on_class_names(model: nn.Module, names: Sequence[str], what: str) -> None:
    """Make a model use the class names of a dataset or a checkpoint.

    Names listed in the config are binding, so a difference is an error.  If the config only names a dataset
    (``class_names='caltech101'``, ``model.names_follow_data``), the list shipped with this package is provisional: the
    data's own names replace it if there are as many, and the log names the changes.  Datasets and checkpoints that come
    later must agree with these.

    Args:
        model: has ``class_names``, None where only their number was configured, ``set_class_names`` and
            ``names_follow_data``.
        names: of the K classes of the dataset or checkpoint, in label order.
        what: source of ``names``, for messages.

    Raises:
        ConfigError: another number of classes, or a difference from listed names.
        ValueError: new names, but context vectors that were learned for each class.
    """
    follow, model.names_follow_data = model.names_follow_data, False
    if model.class_names is None:
        model.set_class_names(names)
        return
    ours = list(model.class_names)
    if ours == list(names):
        return
    if not follow or len(ours) != len(names):
        try:
            check_class_names(ours, names, what)
        except ValueError as error:
            raise ConfigError(str(error)) from None
        return  # equal as prompts see them
    changed = [f'{a!r} -> {b!r}' for a, b in zip(ours, names, strict=True) if a != b]
    model.set_class_names(names)
    shown = ', '.join(changed[:5]) + (', ...' if len(changed) > 5 else '')
    print_log(f'Class names follow the {what}: {len(changed)} of {len(names)} differ ({shown}).', logger='current')


def warn_of_unseen_words(model: nn.Module) -> None:
    """Say in the log, once for the same names, which class names the shipped weights of a model know no words for."""
    names, source = getattr(model, 'class_names', None), getattr(model, 'base_source', None)
    if not names or source is None or tuple(names) == getattr(model, '_names_looked_at', None):
        return
    model._names_looked_at = tuple(names)
    if note := note_of_unseen_words(source.name, names):
        print_log(note, logger='current', level=logging.WARNING)


def note_of_unseen_words(weights: str, names: Sequence[str]) -> str | None:
    """What is to be said of class names that shipped weights, such as ``'micro-rn:scenes'``, know no words for."""
    unseen = unseen_names(weights, names)
    if not unseen:
        return None
    some = f'{len(unseen)} of {len(names)} class names ({enumerate_names(unseen, 4)})'
    return (
        f'{some} have words that the built-in weights {weights} never saw: they know drawings of the built-in world '
        'alone. For photographs take a config with towers of CLIP, such as those with rn50 or vit-b16 in their names '
        '(vlprompt list)'
    )
