"""Fabricated data trees: every supported layout with three classes and a few tiny images."""

import json
from pathlib import Path

import numpy as np
from PIL import Image

CLASSES = ('first_class', 'second_class', 'third_class')
WNIDS = ('n00000001', 'n00000002', 'n00000003')
COUNTS = dict(train=4, val=3, test=2)

JSON_LAYOUTS = dict(
    caltech101=('caltech-101', '101_ObjectCategories', 'split_zhou_Caltech101.json'),
    oxford_pets=('oxford_pets', 'images', 'split_zhou_OxfordPets.json'),
    stanford_cars=('stanford_cars', '.', 'split_zhou_StanfordCars.json'),
    oxford_flowers=('oxford_flowers', 'jpg', 'split_zhou_OxfordFlowers.json'),
    food101=('food-101', 'images', 'split_zhou_Food101.json'),
    sun397=('sun397', 'SUN397', 'split_zhou_SUN397.json'),
    dtd=('dtd', 'images', 'split_zhou_DescribableTextures.json'),
    eurosat=('eurosat', '2750', 'split_zhou_EuroSAT.json'),
    ucf101=('ucf101', 'UCF-101-midframes', 'split_zhou_UCF101.json'),
    scenes=('scenes', 'images', 'split_scenes.json'),
)
WNID_LAYOUTS = {
    'imagenet': ('imagenet', dict(train='images/train', test='images/val')),
    'imagenetv2': ('imagenetv2', dict(test='imagenetv2-matched-frequency-format-val')),
    'imagenet_sketch': ('imagenet-sketch', dict(test='images')),
    'imagenet_a': ('imagenet-adversarial', dict(test='imagenet-a')),
    'imagenet_r': ('imagenet-rendition', dict(test='imagenet-r')),
}
DATASETS = (*JSON_LAYOUTS, *WNID_LAYOUTS, 'fgvc_aircraft')


def save_image(path: Path, seed: int = 0, size: tuple[int, int] = (40, 36)) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng(seed).integers(0, 256, (size[1], size[0], 3), dtype=np.uint8)
    Image.fromarray(pixels).save(path)


def folder_of(dataset: str, root: Path) -> Path:
    """The folder of ``dataset`` below ``root``."""
    return root / (JSON_LAYOUTS | WNID_LAYOUTS | dict(fgvc_aircraft=('fgvc_aircraft',)))[dataset][0]


def make_tree(dataset: str, root: Path) -> None:
    """Lay out ``dataset`` below ``root`` as the real one is."""
    if dataset in JSON_LAYOUTS:
        folder, images, split_file = JSON_LAYOUTS[dataset]
        make_split_json(root / folder / split_file, root / folder / images)
    elif dataset in WNID_LAYOUTS:
        _make_wnid_tree(dataset, root)
    elif dataset == 'fgvc_aircraft':
        _make_aircraft(folder_of(dataset, root))
    else:
        raise KeyError(dataset)


def make_split_json(file: Path, image_root: Path) -> dict:
    content = {split: [] for split in COUNTS}
    for split, count in COUNTS.items():
        for label, name in enumerate(CLASSES):
            for i in range(count):
                path = f'{name}/{split}_{i}.jpg'
                save_image(image_root / path, seed=100 * label + 10 * len(split) + i)
                content[split].append([path, label, name])
    file.write_text(json.dumps(content))
    return content


def _make_wnid_tree(dataset: str, root: Path) -> None:
    folder, splits = WNID_LAYOUTS[dataset]
    for split, images in splits.items():
        for label, wnid in enumerate(WNIDS):
            name = str(label) if dataset == 'imagenetv2' else wnid
            for i in range(COUNTS[split]):
                save_image(root / folder / images / name / f'{i}.JPEG', seed=i)
    lines = [f'{wnid} {name}' for wnid, name in zip(WNIDS, CLASSES, strict=True)]
    if dataset in ('imagenet_a', 'imagenet_r'):
        lines.insert(1, 'n00000001a not in the folder')
    (root / folder / 'classnames.txt').write_text('\n'.join(lines) + '\n')


def _make_aircraft(root: Path) -> None:
    root.mkdir(parents=True)
    (root / 'variants.txt').write_text('\n'.join(CLASSES) + '\n')
    for number, (split, count) in enumerate(COUNTS.items()):
        lines = []
        for label, name in enumerate(CLASSES):
            for i in range(count):
                image = f'{number}{label}{i}'
                save_image(root / 'images' / f'{image}.jpg', seed=i)
                lines.append(f'{image} {name}')
        (root / f'images_variant_{split}.txt').write_text('\n'.join(lines) + '\n')
