"""Class names of segmentation datasets."""

from __future__ import annotations

from collections.abc import Sequence

from mmseg.utils import dataset_aliases, get_classes

from vlprompt.clip.classnames import class_names as clip_class_names


def class_names(spec: str | Sequence[str]) -> list[str]:
    """The class names that ``spec`` stands for.

    Args:
        spec: a list of names; a dataset of mmseg such as ``'ade20k'``, ``'cityscapes'``, ``'voc'`` or
            ``'pascal_context'``; or what :func:`vlprompt.clip.classnames.class_names` takes, such as a text file with
            one name per line.

    Raises:
        ValueError: an unknown dataset, no name at all, or one listed twice.
        FileNotFoundError: the text file does not exist.
    """
    aliases = [alias for names in dataset_aliases.values() for alias in names]
    if isinstance(spec, str) and spec in aliases:
        names = get_classes(spec)
    else:
        try:
            names = clip_class_names(spec)
        except ValueError as error:
            raise ValueError(f'{error} Segmentation datasets: {", ".join(aliases)}.') from error
    if not names:
        raise ValueError('class_names is empty; give a list of names, a text file or the name of a dataset')
    twice = sorted({name for name in names if list(names).count(name) > 1})
    if twice:
        raise ValueError(f'class_names lists {", ".join(map(repr, twice))} more than once')
    return list(names)
