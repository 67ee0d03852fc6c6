"""LPT's two streams from one loader with persistent workers, against restarting the loader of the uniform stream.

Same files, same transforms, same number of worker processes; measured is the time until a step has its images.

* one loader: class-balanced and uniform half of a batch from a single loader with persistent workers;
* started anew: two loaders, of which the uniform one is started again for every step, as in the published script: its
  workers are forked, load ahead, and are discarded after one batch.

    python dev/benchmarks/dual_stream_loader.py
    python dev/benchmarks/dual_stream_loader.py --data-root data/places_lt --batch 128 --workers 8
    python dev/benchmarks/dual_stream_loader.py --quick        # shows that it runs, not how fast
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
from mmengine.dataset import pseudo_collate
from PIL import Image
from torch.utils.data import DataLoader

from vlprompt.datasets import ClassAwareSampler, DropRaggedBatchSampler, DualStreamBatchSampler, LongTailedDataset

PIPELINE = [
    dict(type='vlprompt.LoadImage'),
    dict(type='vlprompt.RandomResizedCrop', size=224, interpolation='bilinear'),
    dict(type='vlprompt.RandomHorizontalFlip', prob=0.5),
    dict(type='vlprompt.PackClassification'),
]


def write_images(folder: Path, count: int, classes: int) -> None:
    """Smooth JPEG files of 500 x 375 pixels, the size of a photograph in ImageNet, and their ``train.txt``."""
    rng = np.random.default_rng(0)
    lines = []
    for number in range(count):
        blocks = Image.fromarray(rng.integers(0, 256, (12, 16, 3), dtype=np.uint8))
        blocks.resize((500, 375), Image.Resampling.BICUBIC).save(folder / f'{number}.jpg', quality=90)
        lines.append(f'{number}.jpg {number % classes}')
    (folder / 'train.txt').write_text('\n'.join(lines))


def one_loader(dataset: LongTailedDataset, batch: int, workers: int) -> Iterator[dict]:
    """Batches of 2 B images, endless."""
    batches = DualStreamBatchSampler(ClassAwareSampler(dataset), batch)
    loader = DataLoader(
        dataset,
        batch_sampler=batches,
        num_workers=workers,
        collate_fn=pseudo_collate,
        persistent_workers=workers > 0,
    )
    epoch = 0
    while True:
        batches.sampler.set_epoch(epoch)
        yield from loader
        epoch += 1


def started_anew(dataset: LongTailedDataset, batch: int, workers: int) -> Iterator[tuple[dict, dict]]:
    """Pairs of batches of B images, endless."""
    balanced = DataLoader(
        dataset,
        batch_sampler=DropRaggedBatchSampler(ClassAwareSampler(dataset, num_samples=10**6), batch),
        num_workers=workers,
        collate_fn=pseudo_collate,
    )
    uniform = DataLoader(dataset, batch, shuffle=True, drop_last=True, num_workers=workers, collate_fn=pseudo_collate)
    for first in balanced:
        yield first, next(iter(uniform))


def seconds_per_step(batches: Iterator, steps: int) -> float:
    """Mean time until the next batch, after the first one."""
    next(batches)
    start = time.perf_counter()
    for _ in range(steps):
        next(batches)
    return (time.perf_counter() - start) / steps


def main(argv: Sequence[str] | None = None) -> dict[str, float]:
    """Print the measurements and return them: images, and seconds a step of either side."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--data-root', type=Path, help="folder with train.txt of 'path label'; else drawn images")
    parser.add_argument('--batch', type=int, default=32, help='images of one stream in a step')
    parser.add_argument('--workers', type=int, default=2)
    parser.add_argument('--steps', type=int, default=10)
    parser.add_argument('--quick', action='store_true', help='few images, two steps')
    args = parser.parse_args(argv)
    if args.quick:
        args.batch, args.workers, args.steps = 4, 1, 2
    with tempfile.TemporaryDirectory() as drawn:
        root = args.data_root or Path(drawn)
        if args.data_root is None:
            write_images(root, *((16, 4) if args.quick else (512, 32)))
        dataset = LongTailedDataset(str(root), ann_file='train.txt', pipeline=PIPELINE)
        if len(dataset) < args.batch:
            parser.error(f'--batch {args.batch}: there are only {len(dataset)} images')
        print(f'{len(dataset)} images, 2 x {args.batch} a step, {args.workers} workers, {args.steps} steps')
        kept = seconds_per_step(one_loader(dataset, args.batch, args.workers), args.steps)
        anew = seconds_per_step(started_anew(dataset, args.batch, args.workers), args.steps)
        print(f'  one loader {kept:.3f} s a step   started anew {anew:.3f} s a step   {anew / kept:.2f}x faster')
        return dict(images=len(dataset), steps=args.steps, kept=kept, anew=anew)


if __name__ == '__main__':
    main()
