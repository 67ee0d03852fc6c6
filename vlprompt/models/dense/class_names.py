"""Class names of datasets with masks or boxes, from mmseg, mmdet or this package."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from importlib import import_module

from vlprompt.clip.classnames import resolve_class_names


def dense_class_names(spec: str | Sequence[str], source: str) -> list[str]:
    """Resolve class names, in the order of the labels.

    Args:
        spec: a list of names; a dataset of the package ``source``, such as ``'ade20k'`` or ``'cityscapes'`` of mmseg,
            ``'coco'`` or ``'lvis'`` of mmdet; one of its classes of datasets, such as ``'PascalContextDataset'``; or
            what :func:`vlprompt.clip.classnames.resolve_class_names` takes, such as a text file with one name per line.
        source: ``'mmseg'`` or ``'mmdet'``; imported only if ``spec`` is a string.

    Raises:
        ValueError: an unknown dataset, no names, or a name listed twice.
        FileNotFoundError: the text file does not exist.
    """
    names = _named(spec, source) if isinstance(spec, str) else list(spec)
    if not names:
        raise ValueError('class_names is empty; give a list of names, a text file or the name of a dataset')
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise ValueError(f'class_names lists {", ".join(map(repr, twice))} more than once')
    return names


def _named(spec: str, source: str) -> list[str]:
    if 'Dataset' in spec and (found := _classes_of(spec, source)):
        return [name.replace('_', ' ') for name in found]
    aliases, names_of = _known_to(source)
    datasets = [alias for names in aliases.values() for alias in names]
    if spec in datasets:
        return [name.replace('_', ' ') for name in names_of(spec)]
    try:
        return resolve_class_names(spec)
    except ValueError as error:
        raise ValueError(f'{error} Datasets with masks or boxes: {", ".join(datasets)}.') from error


def _classes_of(name: str, source: str) -> Sequence[str] | None:
    """Names that a class of datasets has, of the package ``source`` or, with its scope, of another one."""
    import_module(f'{source}.datasets')
    found = import_module(f'{source}.registry').DATASETS.get(name)
    return None if found is None else found.METAINFO.get('classes')


def _known_to(source: str) -> tuple[dict[str, list[str]], Callable[[str], Sequence[str]]]:
    """Aliases of a package's datasets, and its function from an alias to class names."""
    if source == 'mmseg':
        from mmseg.utils import dataset_aliases, get_classes
    else:
        from mmdet.evaluation.functional import dataset_aliases, get_classes
    return dataset_aliases, get_classes
