"""Class names of detection datasets."""

from __future__ import annotations

from collections.abc import Sequence

from mmdet.evaluation.functional import dataset_aliases, get_classes

from vlprompt.models.dense.class_names import resolve_class_names


def class_names(spec: str | Sequence[str]) -> list[str]:
    """The class names that ``spec`` stands for, in the order of the labels; no background.

    Args:
        spec: a list of names; a dataset of mmdet such as ``'coco'``, ``'lvis'`` or ``'voc'``; or what
            :func:`vlprompt.clip.classnames.resolve_class_names` takes, such as a text file with one name per line.

    Raises:
        ValueError: an unknown dataset, no name at all, or one listed twice.
        FileNotFoundError: the text file does not exist.
    """
    aliases = [alias for names in dataset_aliases.values() for alias in names]
    return resolve_class_names(spec, aliases, lambda name: [c.replace('_', ' ') for c in get_classes(name)])
