"""What more prompts cost: a training step, the test and memory of CoOp, PLOT and PLOT++, in one process.

The models of the shipped configs with random weights (speed does not depend on their values), the 101 names of
Food-101, 32 images of 224 pixels, as the paper measured: on RN50 CoOp and PLOT with N = 1, 2, 4, 8, on ViT-B/16 CoOp
and both phases of PLOT++. A training step: image tower (without gradient, unless visual tokens learn), text of all
classes, alignment, cross-entropy, gradient of what is trained. Test: images against cached text. All are measured in
turns; printed are medians and what they are relative to CoOp with the same tower.

Memory is that of a training step: on a GPU the peak of what is allocated above models and images, on a CPU the bytes
that the forward pass keeps for the backward pass. PLOT++ runs 4 passes of its tower for every image and needs 14 GB on
a CPU; `--towers rn50` leaves it out.

    python dev/benchmarks/number_of_prompts.py
    python dev/benchmarks/number_of_prompts.py --device cuda --dtype float16 --repeats 20
    python dev/benchmarks/number_of_prompts.py --quick        # the built-in models and few names: shows that it runs
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from functools import partial
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from dev.benchmarks.timing import (
    autocast,
    benchmark_parser,
    describe_machine,
    in_turns,
    kept_bytes,
    megabytes,
    peak_bytes,
    prepare,
)
from vlprompt.apis import init_model
from vlprompt.clip.classnames import resolve_class_names
from vlprompt.models.classifiers import TextClassifier

NUMBERS = (1, 2, 4, 8)
TOWERS = dict(rn50=('rn50', 'micro-rn'), vit=('vit-b16', 'micro-vit'))
"""Towers of the configs, and of those with ``--quick``."""


def models(tower: str, args: argparse.Namespace) -> dict[str, TextClassifier]:
    """CoOp, which the others are compared with, and the methods of this tower."""
    name = TOWERS[tower][args.quick]
    options = {
        'model.clip.weights': None,
        'model.class_names': resolve_class_names('food101')[: 5 if args.quick else None],
    }
    build = partial(init_model, device=args.device)
    built = {'CoOp': build(f'coop_{name}', cfg_options=options)}
    if tower == 'rn50':
        for number in NUMBERS:
            changes = options | {'model.prompt.n_prompts': number}
            built[f'PLOT, N = {number}'] = build(f'plot_{name}', cfg_options=changes)
    else:
        food = {} if args.quick else dict(dataset='food101')
        for phase, words in (('visual', 'first phase'), ('joint', 'second phase')):
            built[f'PLOT++, {words}'] = build(f'plotpp_{name}', cfg_options=options | food, phase=phase)
    return built


def logits_of(model: TextClassifier, images: Tensor, args: argparse.Namespace) -> Tensor:
    with autocast(args):
        return model(images)


def loss_of(model: TextClassifier, images: Tensor, labels: Tensor, args: argparse.Namespace) -> Tensor:
    return F.cross_entropy(logits_of(model, images, args).float(), labels)


def train(model: TextClassifier, *inputs: Any) -> None:
    """Loss and gradients of a batch."""
    model.zero_grad()
    loss_of(model, *inputs).backward()


def compare(tower: str, args: argparse.Namespace) -> dict[str, dict[str, float]]:
    """Print the rows of a tower and return them."""
    built = models(tower, args)
    batch, size = (2, 160) if args.quick else (32, 224)
    images = torch.randn(batch, 3, size, size, device=args.device)
    labels = torch.arange(batch, device=args.device) % 5
    inputs = images, labels, args

    for model in built.values():
        model.train()
    steps = in_turns({name: partial(train, m, *inputs) for name, m in built.items()}, args.device, args.repeats)
    if args.device.type == 'cuda':
        memory = {name: peak_bytes(partial(train, model, *inputs), args.device) for name, model in built.items()}
    else:
        memory = {
            name: kept_bytes(partial(loss_of, model, *inputs), [*model.parameters()]) for name, model in built.items()
        }
    for model in built.values():
        model.eval()
    with torch.no_grad():
        tests = in_turns(
            {name: partial(logits_of, model, images, args) for name, model in built.items()}, args.device, args.repeats
        )
    found = {}
    for name in built:
        step, test = steps[name].seconds, tests[name].seconds
        slower, faster = step / steps['CoOp'].seconds, tests['CoOp'].seconds / test
        print(
            f'| {TOWERS[tower][args.quick]} | {name} | {step:.3f} | {slower:.3f} | {batch / test:.1f} | {faster:.3f} | '
            f'{megabytes(memory[name])} |'
        )
        found[name] = dict(step=step, images_per_second=batch / test, bytes=memory[name])
    return found


def main(argv: Sequence[str] | None = None) -> dict[str, dict[str, dict[str, float]]]:
    """Print the table and return seconds of a step, images per second and bytes, by tower and model."""
    parser = benchmark_parser(__doc__, repeats=5)
    parser.add_argument('--towers', nargs='+', choices=TOWERS, default=list(TOWERS), help='default: both')
    args = parser.parse_args(argv)
    prepare(args)
    print(f'{describe_machine(args.device)}, {args.dtype}, median of {args.repeats}')
    memory = 'peak memory of a step' if args.device.type == 'cuda' else 'kept for backward'
    print(f'| tower | model | training step, s | of CoOp | test, images/s | of CoOp | {memory} |')
    print('|---|---|---|---|---|---|---|')
    return {tower: compare(tower, args) for tower in args.towers}


if __name__ == '__main__':
    main()
