"""Class names of data sets for dense prediction, whichever package knows them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

from vlprompt.clip.classnames import resolve_class_names as clip_class_names


def resolve_class_names(
    spec: str | Sequence[str], datasets: Iterable[str], names_of: Callable[[str], Sequence[str]]
) -> list[str]:
    """The class names that ``spec`` stands for.

    Args:
        spec: a list of names; one of ``datasets``; or what :func:`vlprompt.clip.classnames.resolve_class_names` takes,
            such as a text file with one name per line.
        datasets: keys of data sets that another package knows.
        names_of: gives the names of one of them.

    Raises:
        ValueError: an unknown dataset, no name at all, or one listed twice.
        FileNotFoundError: the text file does not exist.
    """
    datasets = list(datasets)
    if isinstance(spec, str) and spec in datasets:
        names = names_of(spec)
    else:
        try:
            names = clip_class_names(spec)
        except ValueError as error:
            raise ValueError(f'{error} Datasets with masks or boxes: {", ".join(datasets)}.') from error
    if not names:
        raise ValueError('class_names is empty; give a list of names, a text file or the name of a dataset')
    twice = sorted({name for name in names if list(names).count(name) > 1})
    if twice:
        raise ValueError(f'class_names lists {", ".join(map(repr, twice))} more than once')
    return list(names)
