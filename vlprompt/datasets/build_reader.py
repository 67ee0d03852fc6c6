"""Choose the reader of a dataset: that of a supported dataset, or one for your own data."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from vlprompt.clip.classnames import resolve_class_names
from vlprompt.datasets.classification.readers.base import SplitReader
from vlprompt.datasets.classification.readers.folder import FolderReader
from vlprompt.datasets.classification.readers.imbalanced import ImbalancedReader
from vlprompt.datasets.classification.readers.numbered_list import NumberedListReader
from vlprompt.datasets.classification.readers.split_json import JsonReader
from vlprompt.datasets.classification.readers.text_list import ListReader
from vlprompt.datasets.presets import NAMES_FILE, find_preset
from vlprompt.datasets.reader import Reader
from vlprompt.datasets.reid.readers.base import ReIDReader
from vlprompt.datasets.reid.readers.market import MarketReader
from vlprompt.datasets.reid.readers.table import TableReader


def build_classification_reader(
    data_root: str | Path | None = None,
    dataset: str | None = None,
    ann_file: str | None = None,
    data_prefix: str = '',
    classes: str | Sequence[str] | None = None,
    split: str = 'train',
    imbalance: float | None = None,
    split_seed: int = 0,
    task: str = 'few_shot',
) -> SplitReader:
    """The reader of a classification dataset.

    ``task`` is ``'few_shot'`` or ``'long_tailed'``; the other arguments are those of
    :class:`~vlprompt.datasets.classification.few_shot.FewShotDataset` and
    :class:`~vlprompt.datasets.classification.long_tailed.LongTailedDataset`.

    Raises:
        ValueError: an unknown dataset, contradicting arguments, or an unknown type of file.
    """
    if dataset is None:
        root = _own_root(data_root)
        reader = _own_images(root, ann_file, data_prefix, classes, split, task)
        reader.own_root = root
    else:
        reader = _preset(task, data_root, dataset, ann_file=ann_file, data_prefix=data_prefix, classes=classes)
        if imbalance is None and find_preset(task, dataset).balanced:
            raise ValueError(
                f'dataset={dataset!r} needs imbalance, the ratio of the largest to the smallest class: 100'
            )
    return reader if imbalance is None else ImbalancedReader(reader, imbalance, split_seed)


def build_reid_reader(
    data_root: str | Path | None = None,
    dataset: str | None = None,
    ann_file: str | None = None,
    data_prefix: str = '',
    noun: str | None = None,
) -> ReIDReader:
    """The reader of a :class:`~vlprompt.datasets.reid.dataset.ReIDDataset`, with its arguments.

    Raises:
        ValueError: an unknown dataset, contradicting arguments, or an unknown type of file.
    """
    if dataset is not None:
        return _preset('reid', data_root, dataset, ann_file=ann_file, data_prefix=data_prefix, noun=noun)
    root, noun = _own_root(data_root), noun or 'person'
    reader = _own_reid_images(root, ann_file, data_prefix, noun)
    reader.own_root = root
    return reader


def _own_reid_images(root: Path, ann_file: str | None, data_prefix: str, noun: str) -> ReIDReader:
    if ann_file is None:
        return MarketReader(root / data_prefix, noun=noun)
    if not ann_file.endswith('.csv'):
        raise ValueError(f"ann_file {ann_file!r} must be a *.csv, or None for a folder in Market-1501's layout")
    hint = (
        f'{ann_file} is looked up in {root}; it has the columns path (relative to {root / data_prefix}), id, camera '
        'and split (train, query or gallery).'
    )
    return TableReader(root / ann_file, root / data_prefix, hint=hint, noun=noun)


def _preset(task: str, data_root: str | Path | None, dataset: str, **fixed: object) -> Reader:
    preset = find_preset(task, dataset)
    if any(value not in (None, '') for value in fixed.values()):
        *first, last = fixed
        raise ValueError(
            f'dataset={dataset!r} fixes {", ".join(first)} and {last}; leave them out, or leave dataset out'
        )
    return preset.build(data_root)


def _own_root(data_root: str | Path | None) -> Path:
    if data_root is None:
        raise ValueError('your own data needs data_root, its folder (--data-root DIR)')
    return Path(data_root)


def _own_images(
    root: Path, ann_file: str | None, data_prefix: str, classes: str | Sequence[str] | None, split: str, task: str
) -> SplitReader:
    """The reader of your own images, by the type of ``ann_file``."""
    images = root / data_prefix
    if ann_file is None:
        return FolderReader(images, _names(root, classes))
    suffix = Path(ann_file).suffix
    if suffix == '.json':
        if classes is not None:
            raise ValueError(f'{ann_file} names its classes itself; leave `classes` out')
        hint = (
            'A split file is {"train": [[path, label, class name], ...], "val": [...], "test": [...]}; '
            f'vlprompt split-folder {root} writes one for a folder per class.'
        )
        return JsonReader(_one_file(root, ann_file), images, hint)
    if suffix in ('.csv', '.txt'):
        if classes is None and (root / NAMES_FILE).exists():
            classes = NAMES_FILE
        numbers = suffix == '.txt' and task == 'long_tailed'  # the form of published long-tailed benchmarks
        reader = NumberedListReader if numbers else ListReader
        return reader(root / ann_file, images, _names(root, classes), only_split=split)
    raise ValueError(f'ann_file {ann_file!r} must be *.json, *.csv, *.txt, or None for a folder per class')


def _names(root: Path, classes: str | Sequence[str] | None) -> list[str] | None:
    """Class names; a text file is looked up in ``root``."""
    if isinstance(classes, str) and classes.endswith('.txt'):
        classes = str(root / classes)
    return None if classes is None else resolve_class_names(classes)


def _one_file(root: Path, name: str) -> Path:
    """The file ``name`` in ``root``; for a pattern such as ``split*.json``, the one file that matches.

    A file whose name is the pattern without ``*`` takes precedence.

    Raises:
        ValueError: several files match.
    """
    plain = root / name.replace('*', '')
    found = [] if plain.exists() or '*' not in name else sorted(root.glob(name))
    if len(found) > 1:
        raise ValueError(
            f'{root} holds {len(found)} files {name}: {", ".join(file.name for file in found)}; name one with ann_file'
        )
    return found[0] if found else plain
