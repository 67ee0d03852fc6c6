"""Write a task of the built-in world to disk.

    python tools/dataset_converters/generate_world.py --task few-shot --out data/scenes
    python tools/dataset_converters/generate_world.py --task segmentation --out data/scenes_seg

``few-shot`` makes ``images/<class>/<split>_<number>.png`` and ``split_scenes.json`` in CoOp's form:
``{"train": [[path, label, class name], ...], "val": ..., "test": ...}`` with paths relative to ``images``.

``segmentation`` makes ``images/<split>/<number>.png``, ``masks/<split>/<number>.png`` with the class of every pixel,
and ``classnames.txt`` with one name per line, for the splits train and val.

The same arguments always give the same files; files that are there already are written again.
"""

import argparse
import json
import os
import time
from collections.abc import Callable, Iterable
from multiprocessing import Pool
from pathlib import Path

import cv2
import numpy as np

from vlprompt.datasets.generated import SCENE_CLASSES, SEGMENTATION_CLASSES
from vlprompt.datasets.generated.tasks import SPLITS, few_shot_scene, segmentation_scene


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--task', choices=['few-shot', 'segmentation'], default='few-shot')
    parser.add_argument('--out', type=Path, required=True, help='folder to write, made if absent')
    parser.add_argument('--seed', type=int, default=0, help='another seed is another data set of the same kind')
    parser.add_argument('--size', type=int, default=128, help='side of the images in pixels')
    parser.add_argument(
        '--per-class',
        type=int,
        nargs=3,
        default=(40, 10, 50),
        metavar=('TRAIN', 'VAL', 'TEST'),
        help='few-shot: images per class',
    )
    parser.add_argument(
        '--images',
        type=int,
        nargs=2,
        default=(300, 80),
        metavar=('TRAIN', 'VAL'),
        help='segmentation: images per split',
    )
    parser.add_argument('--workers', type=int, default=min(8, os.cpu_count()))
    args = parser.parse_args(argv)
    if args.size < 32 or min(*args.per_class, *args.images) < 1 or args.workers < 1:
        parser.error('--size must be at least 32, every --per-class, --images and --workers at least 1')
    return args


def write_png(path: Path, pixels: np.ndarray) -> None:
    """Write (H, W, 3) RGB or (H, W) pixels, uint8."""
    if not cv2.imwrite(str(path), pixels[..., ::-1] if pixels.ndim == 3 else pixels):
        raise OSError(f'could not write {path}: check that the folder is writable and the disk not full')


def draw_all(draw: Callable[[tuple], None], jobs: Iterable[tuple], workers: int) -> float:
    """Call ``draw`` on every job in parallel; returns the seconds it took."""
    start = time.time()
    with Pool(workers, initializer=cv2.setNumThreads, initargs=(1,)) as pool:
        for _ in pool.imap_unordered(draw, jobs, chunksize=16):
            pass
    return time.time() - start


# ----------------------------------------------------------------------------------------------------------- few-shot


def few_shot_path(split: str, label: int, index: int) -> str:
    """Path of an image relative to the image folder."""
    return f'{SCENE_CLASSES[label].replace(" ", "_")}/{split}_{index:04d}.png'


def write_few_shot_image(job: tuple[Path, str, int, int, int, int]) -> None:
    folder, split, label, index, seed, size = job
    write_png(
        folder / few_shot_path(split, label, index), few_shot_scene(split, label, index, seed=seed, size=size).image
    )


def write_few_shot(args: argparse.Namespace) -> None:
    images = args.out / 'images'
    items = [
        (split, label, index)
        for split, count in zip(SPLITS, args.per_class, strict=True)
        for label in range(len(SCENE_CLASSES))
        for index in range(count)
    ]
    for name in SCENE_CLASSES:
        (images / name.replace(' ', '_')).mkdir(parents=True, exist_ok=True)
    seconds = draw_all(write_few_shot_image, ((images, *item, args.seed, args.size) for item in items), args.workers)
    lists = {split: [] for split in SPLITS}
    for split, label, index in items:
        lists[split].append([few_shot_path(split, label, index), label, SCENE_CLASSES[label]])
    (args.out / 'split_scenes.json').write_text(json.dumps(lists))
    counts = ', '.join(f'{len(lists[split])} {split}' for split in SPLITS)
    print(f'{args.out}: {counts} images of {len(SCENE_CLASSES)} classes in {seconds:.1f} s')


# ------------------------------------------------------------------------------------------------------- segmentation


def write_segmentation_image(job: tuple[Path, str, int, int, int]) -> None:
    folder, split, index, seed, size = job
    image, mask = segmentation_scene(split, index, seed=seed, size=size)
    write_png(folder / 'images' / split / f'{index:04d}.png', image)
    write_png(folder / 'masks' / split / f'{index:04d}.png', mask)


def write_segmentation(args: argparse.Namespace) -> None:
    splits = dict(zip(SPLITS, args.images, strict=False))
    for split in splits:
        for kind in ('images', 'masks'):
            (args.out / kind / split).mkdir(parents=True, exist_ok=True)
    jobs = ((args.out, split, index, args.seed, args.size) for split, count in splits.items() for index in range(count))
    seconds = draw_all(write_segmentation_image, jobs, args.workers)
    (args.out / 'classnames.txt').write_text('\n'.join(SEGMENTATION_CLASSES) + '\n')
    counts = ', '.join(f'{count} {split}' for split, count in splits.items())
    print(f'{args.out}: {counts} images with masks of {len(SEGMENTATION_CLASSES)} classes in {seconds:.1f} s')


def main(argv: list[str] | None = None) -> None:
    args = parse_args(argv)
    {'few-shot': write_few_shot, 'segmentation': write_segmentation}[args.task](args)


if __name__ == '__main__':
    main()
