"""The supported benchmarks: where each lies below the data root and how it is read."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from vlprompt.datasets.classification.readers.base import SplitReader
from vlprompt.datasets.classification.readers.benchmarks import AircraftReader, WnidReader
from vlprompt.datasets.classification.readers.split_json import JsonReader

README = 'data/README.md shows the whole tree.'


@dataclass(frozen=True)
class Preset:
    """A benchmark.

    Attributes:
        folder: below the data root.
        build: makes the reader from the benchmark's folder.
        draw_val: whether few-shot experiments draw min(k, 4) validation images per class; ImageNet's
            validation split is its test split and is never drawn from.
    """

    folder: str
    build: Callable[[Path], SplitReader]
    draw_val: bool = True

    def reader(self, data_root: Path) -> SplitReader:
        """The reader of this benchmark below ``data_root``."""
        return self.build(data_root / self.folder)


def _from_json(split_file: str, images: str) -> Callable[[Path], SplitReader]:
    def build(folder: Path) -> SplitReader:
        hint = (
            f'{split_file} is published with the CoOp repository (KaiyangZhou/CoOp, DATASETS.md) and goes into '
            f'{folder}, the images into {folder / images}; it is not generated here, because another split gives '
            f'other numbers. {README}'
        )
        return JsonReader(folder / split_file, folder / images, hint)

    return build


def _imagenet(folder: Path, **kwargs) -> SplitReader:
    hint = (
        'ImageNet and its variants need their original images and classnames.txt of the CoOp repository '
        f'(KaiyangZhou/CoOp, DATASETS.md). {README}'
    )
    return WnidReader(folder, hint=hint, **kwargs)


def _aircraft(folder: Path) -> SplitReader:
    hint = f'It is part of data/ in the official archive fgvc-aircraft-2013b. {README}'
    return AircraftReader(folder, folder, hint)


def _scenes(folder: Path) -> SplitReader:
    hint = (
        f'Make the built-in data with: python tools/dataset_converters/generate_world.py --task few-shot --out {folder}'
    )
    return JsonReader(folder / 'split_scenes.json', folder / 'images', hint)


IMAGENET_FOLDERS = dict(train='images/train', val='images/val', test='images/val')
V2_FOLDER = 'imagenetv2-matched-frequency-format-val'

PRESETS: dict[str, Preset] = {
    'imagenet': Preset('imagenet', partial(_imagenet, folders=IMAGENET_FOLDERS), draw_val=False),
    'caltech101': Preset('caltech-101', _from_json('split_zhou_Caltech101.json', '101_ObjectCategories')),
    'oxford_pets': Preset('oxford_pets', _from_json('split_zhou_OxfordPets.json', 'images')),
    'stanford_cars': Preset('stanford_cars', _from_json('split_zhou_StanfordCars.json', '.')),
    'oxford_flowers': Preset('oxford_flowers', _from_json('split_zhou_OxfordFlowers.json', 'jpg')),
    'food101': Preset('food-101', _from_json('split_zhou_Food101.json', 'images')),
    'fgvc_aircraft': Preset('fgvc_aircraft', _aircraft),
    'sun397': Preset('sun397', _from_json('split_zhou_SUN397.json', 'SUN397')),
    'dtd': Preset('dtd', _from_json('split_zhou_DescribableTextures.json', 'images')),
    'eurosat': Preset('eurosat', _from_json('split_zhou_EuroSAT.json', '2750')),
    'ucf101': Preset('ucf101', _from_json('split_zhou_UCF101.json', 'UCF-101-midframes')),
    'imagenetv2': Preset('imagenetv2', partial(_imagenet, folders=dict(test=V2_FOLDER), numeric=True)),
    'imagenet_sketch': Preset('imagenet-sketch', partial(_imagenet, folders=dict(test='images'))),
    'imagenet_a': Preset('imagenet-adversarial', partial(_imagenet, folders=dict(test='imagenet-a'), own_classes=True)),
    'imagenet_r': Preset('imagenet-rendition', partial(_imagenet, folders=dict(test='imagenet-r'), own_classes=True)),
    'scenes': Preset('scenes', _scenes),
}
