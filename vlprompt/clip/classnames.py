"""Class names of the supported datasets, in label order.

The lists are in ``vlprompt/clip/data/classnames/<dataset>.txt``: a comment line, then one name per line in
label order.  With them a model can be built without data.  If data are present, *their* names take precedence:
:func:`check_class_names` compares the two before training and testing.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from pathlib import Path

from vlprompt.files import read_lines
from vlprompt.messages import enumerate_names

FOLDER = Path(__file__).parent / 'data' / 'classnames'

FEW_SHOT_DATASETS = (
    'imagenet',
    'caltech101',
    'oxford_pets',
    'stanford_cars',
    'oxford_flowers',
    'food101',
    'fgvc_aircraft',
    'sun397',
    'dtd',
    'eurosat',
    'ucf101',
)
IMAGENET_VARIANTS = ('imagenetv2', 'imagenet_sketch', 'imagenet_a', 'imagenet_r')
LONG_TAILED_DATASETS = ('imagenet_lt', 'cifar100_lt')
GENERATED_TASKS = ('scenes', 'scenes_lt', 'scenes_seg')
SUBSETS = ('all', 'base', 'new')


def resolve_class_names(spec: str | Sequence[str]) -> list[str]:
    """Resolve class names.

    Args:
        spec: one of

            * a list of names, returned unchanged;
            * a dataset key: one of the eleven few-shot datasets, ``'imagenetv2'``, ``'imagenet_sketch'``,
              ``'imagenet_a'``, ``'imagenet_r'``, ``'imagenet_lt'``, ``'cifar100_lt'``, or ``'scenes'``, ``'scenes_lt'``
              and ``'scenes_seg'`` of the built-in world;
            * the path of a text file with one name per line (``*.txt``; blank lines are skipped);

            a key or a path may end in ``':base'`` or ``':new'``: the first ceil(C / 2) classes or the rest.

    Returns:
        The C names in label order, underscores kept as in the source (prompts replace ``_`` by a space).

    Raises:
        ValueError: an unknown key, or a file without names.
        FileNotFoundError: the text file does not exist.

    Example:
        >>> resolve_class_names('eurosat:base')[:2]
        ['Annual Crop Land', 'Forest']
    """
    if not isinstance(spec, str):
        return list(spec)
    key, subset = spec, 'all'
    if spec.endswith(tuple(f':{name}' for name in SUBSETS)):
        key, subset = spec.rsplit(':', 1)
    names = read_class_names(key) if key.endswith('.txt') else _shipped(key)
    first, last = subset_range(len(names), subset)
    return list(names[first:last])


def subset_range(num_classes: int, subset: str) -> tuple[int, int]:
    """Labels ``[first, last)`` of a class subset: base is the first ceil(C / 2) classes, new the rest.

    Raises:
        ValueError: ``subset`` is not ``'all'``, ``'base'`` or ``'new'``.
    """
    base = (num_classes + 1) // 2
    ranges = {'all': (0, num_classes), 'base': (0, base), 'new': (base, num_classes)}
    if subset not in ranges:
        raise ValueError(f"subset must be 'all', 'base' or 'new', got {subset!r}")
    return ranges[subset]


def imagenet_wnids() -> list[str]:
    """The 1000 WordNet ids of ImageNet, sorted; label = position."""
    return [line.split(' ', 1)[0] for line in _read_lines(FOLDER / 'imagenet.txt')]


def check_class_names(model_names: Sequence[str], dataset_names: Sequence[str], what: str) -> None:
    """Check that a model classifies among the classes of a dataset, in the same order.

    Names are compared as in prompts: ``_`` is a space, upper and lower case are equal.

    Args:
        model_names: the K names of the model.
        dataset_names: the C names of the dataset, which are authoritative.
        what: name of the comparison in messages, e.g. ``'test_dataloader'``.

    Raises:
        ValueError: the number of classes or a name differs; the message names the first difference, or the names that
            only one of them has.
    """
    difference = compare_class_names(model_names, dataset_names, 'the model', 'the data')
    if difference is not None:
        raise ValueError(
            f'{what}: {difference}. The data decides: set model.class_names to its names (a list or a text file, one '
            "name per line), or make the subsets agree, e.g. model.class_names='dtd:base' with subset='base' in the "
            'dataset.'
        )


def compare_class_names(first: Sequence[str], second: Sequence[str], one: str, other: str) -> str | None:
    """What differs between two lists of class names, compared as in prompts, in words; None if they are equal.

    Args:
        first: K names in label order.
        second: C names in label order.
        one: whose the first are, such as ``'the model'``.
        other: whose the second are.
    """
    ours, theirs = list(map(_as_prompted, first)), list(map(_as_prompted, second))
    if ours == theirs:
        return None
    if len(ours) != len(theirs):
        only = _only_in(one, first, theirs) + _only_in(other, second, ours)
        return f'{one} has {len(ours)} classes, {other} {len(theirs)}{only}'
    label = next(i for i, (our, their) in enumerate(zip(ours, theirs, strict=True)) if our != their)
    order = ', the same in another order' if sorted(ours) == sorted(theirs) else ''
    return f'class {label} is {first[label]!r} in {one} but {second[label]!r} in {other} ({len(ours)} classes{order})'


def _only_in(where: str, names: Sequence[str], others: Sequence[str]) -> str:
    """Part of a message: the names that are not among ``others``."""
    only = [repr(name) for name in names if _as_prompted(name) not in set(others)]
    return f' (only in {where}: {enumerate_names(only, 5)})' if only else ''


def _as_prompted(name: str) -> str:
    return ' '.join(name.replace('_', ' ').lower().split())


@cache
def _shipped(key: str) -> tuple[str, ...]:
    """The names of a supported dataset."""
    if key in ('imagenet', 'imagenetv2', 'imagenet_sketch', 'imagenet_a', 'imagenet_r', 'imagenet_lt'):
        names = dict(line.split(' ', 1) for line in _read_lines(FOLDER / 'imagenet.txt'))
        wnids = _read_lines(FOLDER / f'{key}.txt') if key in ('imagenet_a', 'imagenet_r') else names
        return tuple(names[wnid] for wnid in wnids)
    if key in (*FEW_SHOT_DATASETS, *GENERATED_TASKS, 'cifar100_lt'):
        return tuple(_read_lines(FOLDER / f'{key}.txt'))
    known = ', '.join((*FEW_SHOT_DATASETS, *IMAGENET_VARIANTS, *LONG_TAILED_DATASETS, *GENERATED_TASKS))
    raise ValueError(
        f'unknown class names {key!r}. Give a list of names, a text file with one name per line (*.txt), or '
        f"one of: {known}; optionally followed by ':base' or ':new'."
    )


def read_class_names(file: str | Path) -> list[str]:
    """The names in a text file, one per line; blank lines are skipped.

    Raises:
        FileNotFoundError: the file does not exist.
        ValueError: it contains no name, or is not UTF-8 text.
    """
    path = Path(file)
    if not path.exists():
        raise FileNotFoundError(f'class names file {path} does not exist (looked in {Path.cwd()})')
    names = [line for _, line in read_lines(path, 'class names file')]
    if not names:
        raise ValueError(f'class names file {path} holds no name')
    return names


def _read_lines(path: Path) -> list[str]:
    """Lines of a shipped list without its comment line."""
    return [line for _, line in read_lines(path) if not line.startswith('#')]
