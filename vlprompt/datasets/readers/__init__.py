"""Readers: from files on disk to lists of (path, label, class name)."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from vlprompt.clip.classnames import class_names
from vlprompt.datasets.readers.base import SplitReader
from vlprompt.datasets.readers.folder import FolderReader
from vlprompt.datasets.readers.presets import PRESETS
from vlprompt.datasets.readers.split_json import JsonReader
from vlprompt.datasets.readers.text_list import ListReader

__all__ = ['PRESETS', 'FolderReader', 'JsonReader', 'ListReader', 'SplitReader', 'build_reader']


def build_reader(
    data_root: str | Path,
    dataset: str | None = None,
    ann_file: str | None = None,
    data_prefix: str = '',
    classes: str | Sequence[str] | None = None,
    split: str = 'train',
) -> SplitReader:
    """The reader of a benchmark, or of one's own data by the type of ``ann_file``.

    The arguments are those of :class:`~vlprompt.datasets.few_shot.FewShotDataset`.

    Raises:
        ValueError: an unknown benchmark, contradicting arguments, or an unknown type of file.
    """
    root = Path(data_root)
    if dataset is not None:
        if dataset not in PRESETS:
            raise ValueError(f'unknown dataset {dataset!r}; one of {", ".join(PRESETS)}, or None for own data')
        if ann_file is not None or data_prefix or classes is not None:
            raise ValueError(
                f'dataset={dataset!r} fixes ann_file, data_prefix and classes; leave them out, or leave dataset out'
            )
        return PRESETS[dataset].reader(root)
    if isinstance(classes, str) and classes.endswith('.txt'):
        classes = str(root / classes)
    names = None if classes is None else class_names(classes)
    if ann_file is None:
        return FolderReader(root / data_prefix, names)
    suffix = Path(ann_file).suffix
    if suffix == '.json':
        if classes is not None:
            raise ValueError(f'{ann_file} names its classes itself; leave `classes` out')
        return JsonReader(root / ann_file, root / data_prefix)
    if suffix in ('.csv', '.txt'):
        return ListReader(root / ann_file, root / data_prefix, names, only_split=split)
    raise ValueError(f'ann_file {ann_file!r} must be *.json, *.csv, *.txt, or None for a folder per class')
