"""Write a task of the built-in world to disk.

    python tools/dataset_converters/generate_world.py --task few-shot --out data/scenes

``few-shot`` makes ``images/<class>/<split>_<number>.png`` and ``split_scenes.json`` in CoOp's form:
``{"train": [[path, label, class name], ...], "val": ..., "test": ...}`` with paths relative to ``images``.
The same arguments always give the same files; files that are there already are written again.
"""

import argparse
import json
import os
import time
from multiprocessing import Pool
from pathlib import Path

import cv2

from vlprompt.datasets.generated import SCENE_CLASSES
from vlprompt.datasets.generated.tasks import SPLITS, few_shot_scene


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--task', choices=['few-shot'], default='few-shot')
    parser.add_argument('--out', type=Path, required=True, help='folder to write, made if absent')
    parser.add_argument('--seed', type=int, default=0, help='another seed is another data set of the same kind')
    parser.add_argument('--size', type=int, default=128, help='side of the images in pixels')
    parser.add_argument(
        '--per-class',
        type=int,
        nargs=3,
        default=(40, 10, 50),
        metavar=('TRAIN', 'VAL', 'TEST'),
        help='images per class',
    )
    parser.add_argument('--workers', type=int, default=min(8, os.cpu_count()))
    args = parser.parse_args(argv)
    if args.size < 32 or min(args.per_class) < 1 or args.workers < 1:
        parser.error('--size must be at least 32, every --per-class and --workers at least 1')
    return args


def few_shot_path(split: str, label: int, index: int) -> str:
    """Path of an image relative to the image folder."""
    return f'{SCENE_CLASSES[label].replace(" ", "_")}/{split}_{index:04d}.png'


def write_few_shot_image(job: tuple[Path, str, int, int, int, int]) -> None:
    folder, split, label, index, seed, size = job
    cv2.setNumThreads(1)
    path = folder / few_shot_path(split, label, index)
    scene = few_shot_scene(split, label, index, seed=seed, size=size)
    if not cv2.imwrite(str(path), cv2.cvtColor(scene.image, cv2.COLOR_RGB2BGR)):
        raise OSError(f'could not write {path}: check that the folder is writable and the disk not full')


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
    start = time.time()
    with Pool(args.workers) as pool:
        jobs = ((images, *item, args.seed, args.size) for item in items)
        for _ in pool.imap_unordered(write_few_shot_image, jobs, chunksize=16):
            pass
    lists = {split: [] for split in SPLITS}
    for split, label, index in items:
        lists[split].append([few_shot_path(split, label, index), label, SCENE_CLASSES[label]])
    (args.out / 'split_scenes.json').write_text(json.dumps(lists))
    counts = ', '.join(f'{len(lists[split])} {split}' for split in SPLITS)
    print(f'{args.out}: {counts} images of {len(SCENE_CLASSES)} classes in {time.time() - start:.1f} s')


def main(argv: list[str] | None = None) -> None:
    args = parse_args(argv)
    write_few_shot(args)


if __name__ == '__main__':
    main()
