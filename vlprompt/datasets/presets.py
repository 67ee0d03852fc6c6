"""The supported datasets: folder, reader and source of each."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from vlprompt.clip.classnames import imagenet_wnids, read_class_names, resolve_class_names
from vlprompt.datasets.classification.readers.benchmarks import AircraftReader, WnidReader
from vlprompt.datasets.classification.readers.inat import INaturalistReader
from vlprompt.datasets.classification.readers.numbered_list import NumberedListReader
from vlprompt.datasets.classification.readers.split_json import JsonReader
from vlprompt.datasets.classification.readers.transfer import TransferReader
from vlprompt.datasets.reader import Reader
from vlprompt.datasets.reid.readers.lists import MSMT17Reader, VehicleIDReader
from vlprompt.datasets.reid.readers.market import MarketReader, VeRiReader
from vlprompt.messages import did_you_mean

DATA = Path('data')
"""Folder of all datasets, relative to the working directory of the tools."""

NAMES_FILE = 'classnames.txt'


@dataclass(frozen=True)
class Preset:
    """A supported dataset.

    Attributes:
        folder: its folder below ``data/``, unless ``data_root`` is given.
        reader: ``reader(folder, hint=..., **options)``.
        hint: where to get it; ``{folder}`` is replaced by its folder.
        options: of the reader.
        draw_val: whether few-shot experiments draw min(k, 4) validation images per class; ImageNet's
            validation split is its test split and is never drawn from.
        balanced: whether it is balanced on disk, so that a long-tailed training split is cut out of it and
            ``imbalance`` must be given.
    """

    folder: str
    reader: Callable[..., Reader]
    hint: str
    options: Mapping[str, Any] = field(default_factory=dict)
    draw_val: bool = True
    balanced: bool = False

    def build(self, folder: str | Path | None = None) -> Reader:
        """The reader of the dataset in ``folder``; None: in ``data/<folder>``."""
        given, folder = folder is not None, Path(folder or DATA / self.folder)
        hint = f'{self.hint.format(folder=folder)} (data/README.md shows the whole tree)'
        if given:
            hint += '. If these are your own images, name their layout: --dataset folder, list, split_json or csv'
        return self.reader(folder, hint=hint, **self.options)


# Readers that need more than the folder.


def _split_json(folder: Path, hint: str, file: str, images: str) -> JsonReader:
    return JsonReader(folder / file, folder / images, hint)


def _lists(folder: Path, hint: str, lists: str = '{split}.txt', **options: Any) -> NumberedListReader:
    names = read_class_names(folder / NAMES_FILE) if (folder / NAMES_FILE).exists() else None
    return NumberedListReader(folder / lists, folder, names, hint=hint, **options)


def _imagenet_lt(folder: Path, hint: str) -> NumberedListReader:
    words = dict(zip(imagenet_wnids(), resolve_class_names('imagenet'), strict=True))
    images = folder / 'images' if (folder / 'images').is_dir() else folder.parent / 'imagenet' / 'images'
    return NumberedListReader(
        folder / 'ImageNet_LT_{split}.txt', images, folder_names=words, hint=hint, md5=IMAGENET_LT_MD5
    )


def _sketch_lt(folder: Path, hint: str) -> TransferReader:
    train = PRESETS['long_tailed']['imagenet_lt'].build(folder.parent / 'imagenet_lt')
    return TransferReader(train, WnidReader(folder, dict(test='images'), hint=hint), folder.parent)


# Hints.

IMAGENET = (
    'ImageNet and its variants need their original images and classnames.txt of the CoOp repository '
    '(KaiyangZhou/CoOp, DATASETS.md).'
)
REID = '{folder} must hold the dataset as its authors publish it.'
GENERATED = 'Make the built-in data with: vlprompt generate-world --task {task} --out {{folder}}'


def _coop(folder: str, file: str, images: str) -> Preset:
    """A few-shot benchmark with the split file of CoOp."""
    hint = (
        f'{file} is published with the CoOp repository (KaiyangZhou/CoOp, DATASETS.md) and goes into {{folder}}, the '
        f'images into {{folder}}/{images}; it is not generated here, because another split gives other numbers.'
    )
    return Preset(folder, _split_json, hint, dict(file=file, images=images))


def _variant(folder: str, **options: Any) -> Preset:
    """A test set for the classes of ImageNet."""
    return Preset(folder, WnidReader, IMAGENET, options)


def _vehicle_id(size: int) -> Preset:
    return Preset('VehicleID_V1.0', VehicleIDReader, REID, dict(test_size=size, noun='vehicle', num_cameras=1))


IMAGENET_FOLDERS = dict(train='images/train', val='images/val', test='images/val')
V2_FOLDER = 'imagenetv2-matched-frequency-format-val'
PLACES_LT_MD5 = dict(
    train='e7795ab1bf428a89f900854127b1e556',
    val='2f6e727cd6c99c7b7fdecc9876875b1b',
    test='1347af35b053bd31cf782256306affe7',
)
IMAGENET_LT_MD5 = dict(val='ef44f8e43fbc904809a77216042e7498', test='5f5f97c738923e877c5c78accce6744f')

FEW_SHOT = {
    'imagenet': Preset('imagenet', WnidReader, IMAGENET, dict(folders=IMAGENET_FOLDERS), draw_val=False),
    'caltech101': _coop('caltech-101', 'split_zhou_Caltech101.json', '101_ObjectCategories'),
    'oxford_pets': _coop('oxford_pets', 'split_zhou_OxfordPets.json', 'images'),
    'stanford_cars': _coop('stanford_cars', 'split_zhou_StanfordCars.json', '.'),
    'oxford_flowers': _coop('oxford_flowers', 'split_zhou_OxfordFlowers.json', 'jpg'),
    'food101': _coop('food-101', 'split_zhou_Food101.json', 'images'),
    'fgvc_aircraft': Preset(
        'fgvc_aircraft', AircraftReader, 'It is part of data/ in the official archive fgvc-aircraft-2013b.'
    ),
    'sun397': _coop('sun397', 'split_zhou_SUN397.json', 'SUN397'),
    'dtd': _coop('dtd', 'split_zhou_DescribableTextures.json', 'images'),
    'eurosat': _coop('eurosat', 'split_zhou_EuroSAT.json', '2750'),
    'ucf101': _coop('ucf101', 'split_zhou_UCF101.json', 'UCF-101-midframes'),
    'imagenetv2': _variant('imagenetv2', folders=dict(test=V2_FOLDER), numeric=True),
    'imagenet_sketch': _variant('imagenet-sketch', folders=dict(test='images')),
    'imagenet_a': _variant('imagenet-adversarial', folders=dict(test='imagenet-a'), own_classes=True),
    'imagenet_r': _variant('imagenet-rendition', folders=dict(test='imagenet-r'), own_classes=True),
    'scenes': Preset(
        'scenes', _split_json, GENERATED.format(task='few-shot'), dict(file='split_scenes.json', images='images')
    ),
}

LONG_TAILED = {
    'places_lt': Preset(
        'places365',
        _lists,
        'Places_LT_{{train,val,test}}.txt are published with OLTR, the images as places365_standard.',
        dict(lists='Places_LT_{split}.txt', md5=PLACES_LT_MD5),
    ),
    'imagenet_lt': Preset(
        'imagenet_lt',
        _imagenet_lt,
        'ImageNet_LT_{{train,val,test}}.txt are published with OLTR, the images are those of ImageNet.',
    ),
    'inat2018': Preset(
        'inat2018', INaturalistReader, 'Images and JSON files are those of the iNaturalist 2018 competition.'
    ),
    'cifar100_lt': Preset(
        'cifar100',
        _lists,
        'Make it with: vlprompt unpack-cifar100 ARCHIVE --out {folder}',
        balanced=True,
    ),
    'imagenet_sketch': Preset('imagenet-sketch', _sketch_lt, IMAGENET),
    'scenes_lt': Preset('scenes_lt', _lists, GENERATED.format(task='long-tailed')),
}

REID_SETS = {
    'market1501': Preset('Market-1501-v15.09.15', MarketReader, REID, dict(num_cameras=6)),
    'dukemtmc': Preset('dukemtmcreid/DukeMTMC-reID', MarketReader, REID, dict(num_cameras=8)),
    'occluded_duke': Preset('dukemtmcreid/Occluded_Duke', MarketReader, REID, dict(num_cameras=8)),
    'msmt17': Preset('MSMT17', MSMT17Reader, REID, dict(num_cameras=15)),
    'veri': Preset('VeRi', VeRiReader, REID, dict(noun='vehicle', num_cameras=20)),
    'vehicleid': _vehicle_id(800),
    'vehicleid_1600': _vehicle_id(1600),
    'vehicleid_2400': _vehicle_id(2400),
    'scenes_reid': Preset('scenes_reid', MarketReader, GENERATED.format(task='reid')),
}

PRESETS: dict[str, dict[str, Preset]] = dict(few_shot=FEW_SHOT, long_tailed=LONG_TAILED, reid=REID_SETS)
"""Task -> name -> dataset.  A name may occur in two tasks, with different protocols on the same images."""


def find_preset(task: str, name: str) -> Preset:
    """The dataset ``name`` of a task.

    Raises:
        ValueError: unknown name.
    """
    known = PRESETS[task]
    if name not in known:
        raise ValueError(
            f'unknown dataset {name!r}; one of {", ".join(known)}, or None for your own data.'
            f'{did_you_mean(name, known)}'
        )
    return known[name]
