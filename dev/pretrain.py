"""Pretrain the built-in models on the built-in world, from random initialisation.

    python -m dev.pretrain captions --arch micro-rn --out work_dirs/captions.pth
    python -m dev.pretrain regions --arch micro-rn --begin-with work_dirs/captions.pth --out work_dirs/micro-rn.pth
    python -m dev.pretrain student --arch micro-vit --teacher work_dirs/micro-rn.pth --out work_dirs/micro-vit.pth
    python -m dev.pretrain labels --arch micro-rn --out work_dirs/micro-rn_labels.pth
    python -m dev.pretrain evaluate work_dirs/micro-rn.pth

Every training draws its images first and keeps them in --cache, resumes by itself from OUT.resume when that exists,
and writes OUT every few minutes. What the models can do: vlprompt/clip/pretrained/MODEL_CARD.md.
"""

from __future__ import annotations

import argparse
import os
from pathlib import Path

import cv2
import torch

from dev.pretraining.captions import CaptionTrainer
from dev.pretraining.evaluation import Evaluation
from dev.pretraining.labels import LabelTrainer
from dev.pretraining.regions import RegionTrainer, StudentTrainer
from dev.pretraining.trainer import read_pretrained
from vlprompt.clip import build_clip, tokenize
from vlprompt.clip.builtin import unpack

TRAINERS = dict(captions=CaptionTrainer, regions=RegionTrainer, student=StudentTrainer, labels=LabelTrainer)
DEFAULTS = dict(
    captions=dict(images=64000, steps=6000, batch_size=64, lr=1e-3, seed=2026),
    regions=dict(images=40000, steps=6000, view_steps=3600, batch_size=32, lr=7e-4, seed=2027),
    student=dict(images=40000, steps=6000, view_steps=5000, batch_size=64, lr=1e-3, seed=2027),
    labels=dict(images=64000, steps=1600, batch_size=64, lr=1e-3, seed=2026),
)


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(dest='command', required=True)
    for name, trainer in TRAINERS.items():
        _add_training(commands.add_parser(name, help=trainer.__doc__), name)
    evaluate = commands.add_parser('evaluate', help='Print what a model can do.')
    evaluate.add_argument('weights', type=Path)
    evaluate.add_argument('--per-class', type=int, default=25, help='scenes of each class')
    evaluate.add_argument('--scenes', type=int, default=400, help='scenes of several objects')
    evaluate.add_argument('--threads', type=int, default=torch.get_num_threads())
    return parser.parse_args(argv)


def _add_training(parser: argparse.ArgumentParser, stage: str) -> None:
    parser.add_argument('--arch', required=True, help='name of the architecture')
    parser.add_argument('--out', type=Path, required=True, help='file for the weights')
    if stage == 'regions':
        parser.add_argument('--begin-with', metavar='FILE', type=Path, help='weights of the first stage')
    if stage == 'student':
        parser.add_argument('--teacher', metavar='FILE', type=Path, required=True, help='weights of the ResNet')
    parser.add_argument('--images', type=int, help='number of different images')
    parser.add_argument('--cache', type=Path, default=Path('work_dirs/pretraining'), help='folder for drawn images')
    parser.add_argument('--rare-share', type=float, default=0.06, help='share of scenes in rare styles')
    parser.add_argument('--steps', type=int, help='updates')
    if stage in ('regions', 'student'):
        parser.add_argument('--view-steps', type=int, help='steps on small views, before those on whole images')
        parser.add_argument('--view', type=int, default=96, help='side of the small views in pixels')
    parser.add_argument('--batch-size', type=int, help='images of an update')
    parser.add_argument('--lr', type=float, help='highest learning rate')
    parser.add_argument('--weight-decay', type=float, default=0.05)
    parser.add_argument('--warmup', type=int, default=100, help='steps of linear warm-up')
    parser.add_argument('--eval-interval', type=int, default=400, help='steps between evaluations')
    parser.add_argument('--save-minutes', type=float, default=3)
    parser.add_argument('--seed', type=int)
    parser.add_argument('--threads', type=int, default=torch.get_num_threads())
    parser.add_argument('--workers', type=int, default=os.cpu_count(), help='processes that draw images')
    parser.set_defaults(**DEFAULTS[stage])


def main(argv: list[str] | None = None) -> None:
    args = parse_args(argv)
    torch.set_num_threads(args.threads)
    cv2.setNumThreads(1)
    if args.command != 'evaluate':
        torch.manual_seed(args.seed)
        TRAINERS[args.command](args).run()
        return
    content = read_pretrained(args.weights)
    model = build_clip(content['arch'])
    model.load_state_dict(unpack(content))
    found = Evaluation(model.arch.image_size, per_class=args.per_class, scenes=args.scenes).measure(model, tokenize)
    for name, value in found.items():
        print(f'{name}: {value:.1f}')


if __name__ == '__main__':
    main()
