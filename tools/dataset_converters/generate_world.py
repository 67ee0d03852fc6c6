"""Write a task of the built-in world to disk.

    vlprompt generate-world --task few-shot --out data/scenes
    vlprompt generate-world --task long-tailed --out data/scenes_lt
    vlprompt generate-world --task segmentation --out data/scenes_seg
    vlprompt generate-world --task detection --out data/scenes_det
    vlprompt generate-world --task reid --out data/scenes_reid

``few-shot`` makes ``images/<class>/<split>_<number>.png`` and ``split_scenes.json`` in CoOp's form:
``{"train": [[path, label, class name], ...], "val": ..., "test": ...}`` with paths relative to ``images``.

``long-tailed`` makes ``images/<class>/<split>_<number>.png``, ``{train,val,test}.txt`` with lines ``path label``, and
``classnames.txt``. Training images fall exponentially from the first class to the last; val and test are balanced.

``segmentation`` makes ``images/<split>/<number>.png``, ``masks/<split>/<number>.png`` with the class of every pixel,
and ``classnames.txt`` with one name per line, for the splits train and val.

``detection`` makes ``images/<split>/<number>.png`` and ``annotations/instances_<split>.json`` in COCO's form, with
boxes and masks, some empty images and some crowds, for the splits train and val.

``reid`` makes people who walk past several cameras, in Market-1501's layout: ``bounding_box_train``, ``query`` and
``bounding_box_test`` with images called ``<identity>_c<camera>s1_<number>_00.png``, ``--size`` pixels high and half as
wide.

The same arguments always give the same files. Images and lists of an earlier dataset in the folder are moved to its
folder earlier/<time>, since readers of folders would take both for one.
"""

import argparse
import json
import os
import time
from collections import Counter
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from vlprompt.apis.command_line import ToolParser, before_imports, call, natural, positive


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    parser = ToolParser(__doc__)
    parser.add_argument(
        '--task',
        choices=['few-shot', 'long-tailed', 'segmentation', 'detection', 'reid'],
        default='few-shot',
        help='what to write',
    )
    parser.add_argument('--out', type=Path, required=True, help='folder to write, made if absent')
    parser.add_argument('--seed', type=natural, default=0, help='another seed is another dataset of the same kind')
    parser.add_argument('--size', type=positive, help='side (reid: height) of the images in pixels: 160 (reid: 128)')
    parser.add_argument(
        '--per-class',
        type=positive,
        nargs=3,
        default=(40, 10, 50),
        metavar=('TRAIN', 'VAL', 'TEST'),
        help='few-shot: images per class',
    )
    parser.add_argument(
        '--long-tail',
        type=positive,
        nargs=4,
        default=(150, 3, 5, 25),
        metavar=('HEAD', 'TAIL', 'VAL', 'TEST'),
        help='long-tailed: training images of the first and of the last class, val and test images of every class',
    )
    parser.add_argument(
        '--images',
        type=positive,
        nargs=2,
        default=(300, 120),
        metavar=('TRAIN', 'VAL'),
        help='segmentation and detection: images per split',
    )
    parser.add_argument(
        '--identities',
        type=positive,
        nargs=2,
        default=(60, 40),
        metavar=('TRAIN', 'TEST'),
        help='reid: people in each split',
    )
    parser.add_argument('--cameras', type=positive, default=4, help='reid: number of cameras')
    parser.add_argument('--workers', type=positive, default=min(8, os.cpu_count()), help='processes that draw')
    args = parser.parse_args(argv)
    if args.size is None:
        args.size = 128 if args.task == 'reid' else 160
    if args.size < 32:
        parser.error('--size must be at least 32')
    if args.cameras < 2:
        parser.error('--cameras must be at least 2: a query is looked for among the images of other cameras')
    if args.long_tail[0] < args.long_tail[1]:
        parser.error('--long-tail: HEAD must not be less than TAIL')
    return args


before_imports(parse_args, __name__)

import cv2
import numpy as np

from vlprompt.datasets.generated import (
    LONG_TAILED_CLASSES,
    OBJECT_CLASSES,
    SCENE_CLASSES,
    SEGMENTATION_CLASSES,
    Scene,
)
from vlprompt.datasets.generated.detection import coco_content, detection_scene
from vlprompt.datasets.generated.reid import FOLDERS, ReIDImage, draw_reid, reid_images
from vlprompt.datasets.generated.tasks import SPLITS, few_shot_scene, long_tailed_scene, segmentation_scene
from vlprompt.datasets.generated.workers import drawing_pool
from vlprompt.errors import RunError
from vlprompt.files import set_aside

LISTS = tuple(f'{split}.txt' for split in SPLITS)
WRITTEN = {
    'few-shot': ('images', 'split_scenes.json'),
    'long-tailed': ('images', *LISTS, 'classnames.txt'),
    'segmentation': ('images', 'masks', 'classnames.txt'),
    'detection': ('images', 'annotations'),
    'reid': FOLDERS,
}
"""Files and folders of every task."""


def written_beside(task: str) -> set[str]:
    """What other tasks write into a folder along with what both write: their lists name images that are replaced."""
    own = set(WRITTEN[task])
    return {name for names in WRITTEN.values() if own & set(names) for name in names} - own


def write_png(path: Path, pixels: np.ndarray) -> None:
    """Write (H, W, 3) RGB or (H, W) pixels, uint8."""
    if not cv2.imwrite(str(path), pixels[..., ::-1] if pixels.ndim == 3 else pixels):
        raise RunError(f'could not write {path}: check that the folder is writable and the disk not full')


def draw_all(draw: Callable[[tuple], None], jobs: Iterable[tuple], workers: int) -> float:
    """Call ``draw`` on every job in parallel; returns the seconds it took."""
    start = time.time()
    run_jobs(draw, jobs, workers)
    return time.time() - start


def run_jobs(function: Callable[[tuple], Any], jobs: Iterable[tuple], workers: int) -> list:
    """Results of ``function`` for every job; a single worker is this process, without a fork."""
    if workers == 1:
        return [function(job) for job in jobs]
    with drawing_pool(workers) as pool:
        return pool.map(function, jobs, chunksize=16)


# ---------------------------------------------------------------------------------------------- few-shot, long-tailed

Item = tuple[str, int, int]  # split, label, number of the image


def image_path(classes: tuple[str, ...], split: str, label: int, index: int) -> str:
    """Path of an image relative to the image folder."""
    return f'{classes[label].replace(" ", "_")}/{split}_{index:04d}.png'


def write_scene(job: tuple[Path, Callable[..., Scene], Item, int, int]) -> None:
    path, draw, item, seed, size = job
    write_png(path, draw(*item, seed=seed, size=size).image)


def write_scenes(
    args: argparse.Namespace, classes: tuple[str, ...], items: list[Item], draw: Callable[..., Scene]
) -> dict[str, list[tuple[str, int]]]:
    """Draw labelled scenes; returns, for each split, the paths below ``images`` and the labels."""
    images = args.out / 'images'
    for name in classes:
        (images / name.replace(' ', '_')).mkdir(parents=True, exist_ok=True)
    jobs = ((images / image_path(classes, *item), draw, item, args.seed, args.size) for item in items)
    seconds = draw_all(write_scene, jobs, args.workers)
    lists = {split: [] for split in SPLITS}
    for item in items:
        lists[item[0]].append((image_path(classes, *item), item[1]))
    counts = ', '.join(f'{len(lists[split])} {split}' for split in SPLITS)
    print(f'{args.out}: {counts} images of {len(classes)} classes in {seconds:.1f} s')
    return lists


def write_few_shot(args: argparse.Namespace) -> None:
    items = [
        (split, label, index)
        for split, count in zip(SPLITS, args.per_class, strict=True)
        for label in range(len(SCENE_CLASSES))
        for index in range(count)
    ]
    lists = write_scenes(args, SCENE_CLASSES, items, few_shot_scene)
    named = {
        split: [(path, label, SCENE_CLASSES[label]) for path, label in entries] for split, entries in lists.items()
    }
    (args.out / 'split_scenes.json').write_text(json.dumps(named))


def write_long_tailed(args: argparse.Namespace) -> None:
    head, tail, val, test = args.long_tail
    classes = len(LONG_TAILED_CLASSES)
    counts = dict(
        train=[round(head * (tail / head) ** (label / (classes - 1))) for label in range(classes)],
        val=[val] * classes,
        test=[test] * classes,
    )
    items = [(split, label, i) for split in SPLITS for label in range(classes) for i in range(counts[split][label])]
    lists = write_scenes(args, LONG_TAILED_CLASSES, items, long_tailed_scene)
    for split, entries in lists.items():
        (args.out / f'{split}.txt').write_text(''.join(f'images/{path} {label}\n' for path, label in entries))
    (args.out / 'classnames.txt').write_text('\n'.join(LONG_TAILED_CLASSES) + '\n')


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


# ---------------------------------------------------------------------------------------------------------- detection


def write_detection_image(job: tuple[Path, str, int, int, int]) -> list[dict]:
    folder, split, index, seed, size = job
    image, annotations = detection_scene(split, index, seed=seed, size=size)
    write_png(folder / 'images' / split / f'{index:04d}.png', image)
    return annotations


def write_detection(args: argparse.Namespace) -> None:
    (args.out / 'annotations').mkdir(parents=True, exist_ok=True)
    for split, count in zip(SPLITS, args.images, strict=False):
        (args.out / 'images' / split).mkdir(parents=True, exist_ok=True)
        jobs = ((args.out, split, index, args.seed, args.size) for index in range(count))
        start = time.time()
        found = run_jobs(write_detection_image, jobs, args.workers)
        content = coco_content([(f'{index:04d}.png', objects) for index, objects in enumerate(found)], args.size)
        (args.out / 'annotations' / f'instances_{split}.json').write_text(json.dumps(content))
        crowds = sum(annotation['iscrowd'] for annotation in content['annotations'])
        print(
            f'{args.out}: {count} {split} images, {sum(not f for f in found)} of them empty, with '
            f'{len(content["annotations"])} objects of {len(OBJECT_CLASSES)} classes, {crowds} of them crowds, in '
            f'{time.time() - start:.1f} s'
        )


# ----------------------------------------------------------------------------------------------- re-identification


def write_reid_image(job: tuple[Path, ReIDImage, int, int]) -> None:
    folder, image, seed, size = job
    write_png(folder / image.path, draw_reid(image, seed, size))


def write_reid(args: argparse.Namespace) -> None:
    images = list(reid_images(*args.identities, args.cameras))
    for folder in FOLDERS:
        (args.out / folder).mkdir(parents=True, exist_ok=True)
    seconds = draw_all(write_reid_image, ((args.out, image, args.seed, args.size) for image in images), args.workers)
    counts = Counter(image.folder for image in images)
    text = ', '.join(f'{counts[folder]} in {folder}' for folder in FOLDERS)
    print(f'{args.out}: images of {sum(args.identities)} people, {text}, in {seconds:.1f} s')


def main(argv: list[str] | None = None) -> None:
    args = parse_args(argv)
    writers = {
        'few-shot': write_few_shot,
        'long-tailed': write_long_tailed,
        'segmentation': write_segmentation,
        'detection': write_detection,
        'reid': write_reid,
    }
    set_aside(args.out, WRITTEN[args.task], logs=written_beside(args.task))
    writers[args.task](args)


if __name__ == '__main__':
    call(main)
