"""Splits a folder per class into training, validation and test images."""

from __future__ import annotations

import random
from pathlib import Path

from vlprompt.datasets.classification.items import SPLITS, Item
from vlprompt.datasets.classification.readers.base import class_folders
from vlprompt.datasets.images import find_images


def split_folder(folder: str | Path, val: float, test: float, seed: int = 0) -> dict[str, list[Item]]:
    """Draw the splits of each class at random, the same for the same images and seed.

    A class has ``round(share * images)`` validation and test images, at least one of each whose share is not 0, and at
    least one training image. The draw of a class does not depend on other classes.

    Args:
        folder: ``<folder>/<class name>/<image>``; images in sub-folders of a class are drawn too.
        val: share of the validation images, from 0 to 1.
        test: share of the test images, from 0 to 1.
        seed: of the draw.

    Returns:
        Split -> items, whose paths are relative to the folder; labels are positions among the sorted class names.
        Without validation images there is no ``val``.

    Raises:
        FileNotFoundError: there is no such folder.
        ValueError: the folder is split already, has no folder of a class, a class has too few images, or shares leave
            nothing to train on.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise FileNotFoundError(f'{folder} is no folder. Images lie in {folder}/<class name>/<image>.')
    if not 0 < test < 1 or not 0 <= val < 1 or val + test >= 1:
        raise ValueError(f'val={val}, test={test}: shares, of which test is above 0, whose sum is below 1')
    names = class_folders(folder)
    if set(names) <= set(SPLITS):
        raise ValueError(f'{folder} is split already, into {", ".join(names)}: read it with --dataset folder')
    splits: dict[str, list[Item]] = {split: [] for split in SPLITS}
    for label, name in enumerate(names):
        paths = [path.relative_to(folder).as_posix() for path in find_images(folder / name)]
        counts = {
            split: max(1, round(share * len(paths))) if share else 0 for split, share in (('val', val), ('test', test))
        }
        if len(paths) <= sum(counts.values()):
            raise ValueError(
                f'{folder / name}: {len(paths)} images; a class needs one for each of '
                f'{", ".join(split for split in SPLITS if counts.get(split, 1))}. Add images, or remove the folder'
            )
        random.Random(f'{seed}/{name}').shuffle(paths)
        start = 0
        for split in ('test', 'val', 'train'):
            end = start + counts.get(split, len(paths))
            splits[split] += [Item(path, label, name) for path in sorted(paths[start:end])]
            start = end
    return {split: items for split, items in splits.items() if items}
