"""LPT's phase 2 as published (two passes, every token through every computation) against everything computed once.

Same weights, same images, one process; both sides run in turns and the medians are compared.

* forward: logits of a batch without gradient;
* training step: A-GCL of both streams, loss of the keys, gradients of group prompts, keys and head.

Weights are random, which speed does not depend on; both halves of the batch hold the same images.

    python dev/benchmarks/lpt_two_pass.py
    python dev/benchmarks/lpt_two_pass.py --device cuda --batch 64 --repeats 20
    python dev/benchmarks/lpt_two_pass.py --quick        # a tiny model: shows that it runs, not how fast
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

from dev.benchmarks.timing import benchmark_parser, describe_machine, in_turns, prepare, relative_difference
from vlprompt.models import HeadClassifier
from vlprompt.structures import ClassificationSample

CLASSES = 365
BASE = dict(width=768, layers=12, heads=12, patch_size=16, image_size=224)
TINY = dict(width=64, layers=4, heads=2, patch_size=16, image_size=64)
AGCL = dict(type='vlprompt.AGCLLoss')


def build_model(arch: dict, device: torch.device) -> HeadClassifier:
    """LPT with its published sizes."""
    model = HeadClassifier(
        timm=dict(arch=arch),
        tuner=dict(
            type='vlprompt.GroupedPromptTuner',
            prompt=dict(type='vlprompt.VisualPrompt'),
            pool=dict(type='vlprompt.PromptPool', first_block=arch['layers'] // 2, center=True),
        ),
        head=dict(type='vlprompt.CosineHead', dropout=0.1),
        loss=dict(type='vlprompt.DualStreamLoss', balanced=AGCL, uniform=dict(AGCL, gamma_pos=0.5, gamma_neg=8.0)),
        trainable=['tuner.pool.*', 'head.*'],
        num_classes=CLASSES,
    )
    model.set_class_counts(torch.linspace(5, 4980, CLASSES).long().tolist())
    return model.to(device).eval()  # no dropout and no noise: both sides compute the same


def measure(run: Callable[[bool], Sequence[Tensor]], device: torch.device, repeats: int) -> tuple[float, float, float]:
    """Median seconds of ``run(reference)`` without and with the reference, and their largest relative difference."""
    sides = in_turns(dict(fast=lambda: run(False), plain=lambda: run(True)), device, repeats, processor=True)
    fast, plain = sides['fast'], sides['plain']
    return fast.seconds, plain.seconds, relative_difference(fast.result, plain.result)


def main(argv: Sequence[str] | None = None) -> dict[str, Any]:
    """Print the measurements and return them: seconds and difference of ``forward`` and ``training step``."""
    parser = benchmark_parser(__doc__, repeats=5, dtype=False)
    parser.set_defaults(threads=1)
    parser.add_argument('--batch', type=int, default=8, help='images of a step, both streams together')
    args = parser.parse_args(argv)
    prepare(args)
    device, arch = args.device, TINY if args.quick else BASE
    model = build_model(arch, device)
    size = arch['image_size']
    images = torch.randn(args.batch // 2, 3, size, size, device=device).repeat(2, 1, 1, 1)
    with torch.no_grad():  # centred queries point in all directions, so that images choose different groups
        model.tuner.pool.fit(model.frozen_features(images), torch.Generator())
        groups = model.feature(images)[1].fields['matched_groups']
        chosen = len(groups.sort(1).values.unique(dim=0))
    samples = [ClassificationSample().set_gt_label(index % CLASSES).to(device) for index in range(len(images))]
    trained = [parameter for parameter in model.parameters() if parameter.requires_grad]

    @torch.no_grad()
    def forward(reference: bool) -> list[Tensor]:
        model.tuner.two_passes = reference
        return [model.head(model.feature(images)[0])]

    def step(reference: bool) -> list[Tensor]:
        model.tuner.two_passes = reference
        losses = model.loss(images, samples)
        return list(torch.autograd.grad(sum(v for name, v in losses.items() if 'loss' in name), trained))

    shape = f'{arch["layers"]} blocks of width {arch["width"]}'
    print(
        f'{describe_machine(device)}, fp32; ViT with {shape}, {len(images)} images of {size} pixels, '
        f'{chosen} different pairs of groups'
    )
    results: dict[str, Any] = dict(different_pairs=chosen)
    for name, run, what in (('forward', forward, 'logits'), ('training step', step, 'gradients')):
        fast, plain, difference = measure(run, device, args.repeats)
        print(
            f'  {name:14} once {fast:.3f} s   two passes {plain:.3f} s   {plain / fast:.2f}x faster   '
            f'largest relative difference of the {what} {difference:.1e}'
        )
        results[name] = dict(fast=fast, plain=plain, difference=difference)
    return results


if __name__ == '__main__':
    main()
