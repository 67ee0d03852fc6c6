"""The supported long-tailed benchmarks, and readers of one's own long-tailed data."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from vlprompt.clip.classnames import imagenet_wnids, resolve_class_names
from vlprompt.datasets.classification.readers.base import SplitReader
from vlprompt.datasets.classification.readers.build import build_reader
from vlprompt.datasets.classification.readers.imbalanced import ImbalancedReader
from vlprompt.datasets.classification.readers.inat import INaturalistReader
from vlprompt.datasets.classification.readers.numbered_list import NumberedListReader
from vlprompt.datasets.classification.readers.presets import PRESETS, README, Preset
from vlprompt.datasets.classification.readers.transfer import TransferReader

NAMES_FILE = 'classnames.txt'
PLACES_MD5 = dict(
    train='e7795ab1bf428a89f900854127b1e556',
    val='2f6e727cd6c99c7b7fdecc9876875b1b',
    test='1347af35b053bd31cf782256306affe7',
)
IMAGENET_MD5 = dict(val='ef44f8e43fbc904809a77216042e7498', test='5f5f97c738923e877c5c78accce6744f')


def _places(folder: Path) -> SplitReader:
    hint = f'Places_LT_{{train,val,test}}.txt are published with OLTR, the images as places365_standard. {README}'
    return NumberedListReader(folder / 'Places_LT_{split}.txt', folder, hint=hint, md5=PLACES_MD5)


def _imagenet(folder: Path) -> SplitReader:
    hint = f'ImageNet_LT_{{train,val,test}}.txt are published with OLTR, the images are those of ImageNet. {README}'
    names = dict(zip(imagenet_wnids(), resolve_class_names('imagenet'), strict=True))
    images = folder.parent / PRESETS['imagenet'].folder / 'images'
    lists = folder / 'ImageNet_LT_{split}.txt'
    return NumberedListReader(lists, images, folder_names=names, hint=hint, md5=IMAGENET_MD5)


def _inat(folder: Path) -> SplitReader:
    return INaturalistReader(folder, f'Images and JSON files are those of the iNaturalist 2018 competition. {README}')


def _cifar(folder: Path) -> SplitReader:
    hint = f'Make it with: python tools/dataset_converters/unpack_cifar100.py ARCHIVE --out {folder}'
    return NumberedListReader(folder / '{split}.txt', folder, hint=hint)


def _scenes(folder: Path) -> SplitReader:
    command = f'python tools/dataset_converters/generate_world.py --task long-tailed --out {folder}'
    hint = f'Make the built-in data with: {command}'
    names = resolve_class_names(str(folder / NAMES_FILE)) if (folder / NAMES_FILE).exists() else None
    return NumberedListReader(folder / '{split}.txt', folder, names, hint=hint)


def _sketch(folder: Path) -> SplitReader:
    train = LONG_TAILED['imagenet_lt'].reader(folder.parent)
    return TransferReader(train, PRESETS['imagenet_sketch'].build(folder), folder.parent)


LONG_TAILED: dict[str, Preset] = {
    'places_lt': Preset('places365', _places),
    'imagenet_lt': Preset('imagenet_lt', _imagenet),
    'inat2018': Preset('inat2018', _inat),
    'cifar100_lt': Preset('cifar100', _cifar),
    'imagenet_sketch': Preset('imagenet-sketch', _sketch),
    'scenes_lt': Preset('scenes_lt', _scenes),
}
CUT_BY_RATIO = ('cifar100_lt',)
"""Benchmarks that are balanced on disk and need ``imbalance``."""


def build_long_tailed_reader(
    data_root: str | Path,
    dataset: str | None = None,
    ann_file: str | None = None,
    data_prefix: str = '',
    classes: str | Sequence[str] | None = None,
    split: str = 'train',
    imbalance: float | None = None,
    split_seed: int = 0,
) -> SplitReader:
    """The reader of a long-tailed benchmark, or of one's own data.

    The arguments are those of :class:`~vlprompt.datasets.classification.long_tailed.LongTailedDataset`.

    Raises:
        ValueError: an unknown benchmark or contradicting arguments.
    """
    root = Path(data_root)
    if dataset in CUT_BY_RATIO and imbalance is None:
        raise ValueError(f'dataset={dataset!r} needs imbalance, the ratio of the largest to the smallest class: 100')
    if dataset is None and ann_file is not None and ann_file.endswith('.txt'):
        if classes is None and (root / NAMES_FILE).exists():
            classes = NAMES_FILE
        if isinstance(classes, str) and classes.endswith('.txt'):
            classes = str(root / classes)
        names = None if classes is None else resolve_class_names(classes)
        reader: SplitReader = NumberedListReader(root / ann_file, root / data_prefix, names, only_split=split)
    else:
        reader = build_reader(root, dataset, ann_file, data_prefix, classes, split, presets=LONG_TAILED)
    return reader if imbalance is None else ImbalancedReader(reader, imbalance, split_seed)
