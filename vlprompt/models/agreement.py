"""Which class names count when a model and its data, or its checkpoint, each bring some."""

from __future__ import annotations

from collections.abc import Sequence

from mmengine.logging import print_log
from torch import nn

from vlprompt.clip.classnames import check_class_names
from vlprompt.errors import ConfigError


def agree_on_class_names(model: nn.Module, names: Sequence[str], what: str) -> None:
    """Make a model classify among the classes that a dataset or a checkpoint really has.

    Names that the config lists are taken at their word, so a difference is an error.  Where the config only names a
    dataset (``class_names='caltech101'``, ``model.names_follow_data``), the list shipped with this package stands in
    for the data's own names, which decide: as many classes but spelled otherwise, they are taken over and the log says
    which.  Whatever comes next has to agree with these.

    Args:
        model: has ``class_names``, None where only their number was configured, ``set_class_names`` and
            ``names_follow_data``.
        names: of the K classes of the dataset or checkpoint, in label order.
        what: where ``names`` come from, for messages.

    Raises:
        ConfigError: another number of classes, or a difference from listed names.
        ValueError: names to take over, but context vectors that were learned for each class.
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
