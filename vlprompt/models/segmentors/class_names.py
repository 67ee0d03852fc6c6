"""Class names of segmentation datasets."""

from __future__ import annotations

from collections.abc import Sequence

from mmseg.utils import dataset_aliases, get_classes

from vlprompt.models.dense.class_names import resolve_class_names


def class_names(spec: str | Sequence[str]) -> list[str]:
    """The class names that ``spec`` stands for.

    Args:
        spec: a list of names; a dataset of mmseg such as ``'ade20k'``, ``'cityscapes'``, ``'voc'`` or
            ``'pascal_context'``; or what :func:`vlprompt.clip.classnames.resolve_class_names` takes, such as a text
            file with one name per line.

    Raises:
        ValueError: an unknown dataset, no name at all, or one listed twice.
        FileNotFoundError: the text file does not exist.
    """
    return resolve_class_names(spec, [a for aliases in dataset_aliases.values() for a in aliases], get_classes)
