"""Which reader a data set needs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from vlprompt.clip.classnames import resolve_class_names
from vlprompt.datasets.classification.readers.base import SplitReader
from vlprompt.datasets.classification.readers.folder import FolderReader
from vlprompt.datasets.classification.readers.presets import PRESETS, Preset
from vlprompt.datasets.classification.readers.split_json import JsonReader
from vlprompt.datasets.classification.readers.text_list import ListReader


def build_reader(
    data_root: str | Path,
    dataset: str | None = None,
    ann_file: str | None = None,
    data_prefix: str = '',
    classes: str | Sequence[str] | None = None,
    split: str = 'train',
    presets: Mapping[str, Preset] = PRESETS,
) -> SplitReader:
    """The reader of a benchmark, or of one's own data by the type of ``ann_file``.

    The arguments are those of :class:`~vlprompt.datasets.classification.few_shot.FewShotDataset`; ``presets`` are the
    benchmarks that ``dataset`` may name.

    Raises:
        ValueError: an unknown benchmark, contradicting arguments, or an unknown type of file.
    """
    root = Path(data_root)
    if dataset is not None:
        if dataset not in presets:
            raise ValueError(f'unknown dataset {dataset!r}; one of {", ".join(presets)}, or None for own data')
        if ann_file is not None or data_prefix or classes is not None:
            raise ValueError(
                f'dataset={dataset!r} fixes ann_file, data_prefix and classes; leave them out, or leave dataset out'
            )
        return presets[dataset].reader(root)
    if isinstance(classes, str) and classes.endswith('.txt'):
        classes = str(root / classes)
    names = None if classes is None else resolve_class_names(classes)
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
