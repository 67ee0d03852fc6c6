"""Time and memory of the shared-prefix text tower against all 77 positions, in one process.

Two measurements on random weights (speed does not depend on their values); context vectors trained, towers frozen:

* text tower: forward and backward of RN50's text tower (width 512, 12 blocks) over ImageNet's class names after 16
  context vectors, one prompt per class; seconds and bytes kept for the backward pass;
* PLOT step: 100 classes, 4 prompts per class, 32 images of 224 pixels through RN50's image tower (no gradient), both
  text passes, optimal transport, cross-entropy and its gradient.

The reference would keep about 19 GB for 1000 classes. It therefore runs class chunk by class chunk, adding up the
gradient, which is exact for the loss used (a fixed linear form of the features); its bytes are those of one chunk
times the number of chunks. The PLOT step runs in one piece on both sides; its reference needs about 9 GB.

    python dev/benchmarks/text_tower.py
    python dev/benchmarks/text_tower.py --device cuda --dtype bfloat16 --repeats 5
    python dev/benchmarks/text_tower.py --quick        # a tiny model: shows that it runs, not how fast
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass

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
    relative_difference,
)
from vlprompt.alignment import TransportAlignment
from vlprompt.clip import CLIP
from vlprompt.clip.classnames import resolve_class_names
from vlprompt.prompts import ContextPrompt

QUICK_ARCH = dict(
    embed_dim=32,
    image_size=32,
    vision_layers=(1, 1, 1, 1),
    vision_width=8,
    vision_patch_size=None,
    context_length=77,
    vocab_size=49408,
    transformer_width=64,
    transformer_heads=1,
    transformer_layers=2,
)


@dataclass
class Comparison:
    """Seconds of both sides, and the largest relative difference of their gradients."""

    fast: float
    plain: float
    difference: float

    def __str__(self) -> str:
        return (
            f'  seconds     shared prefix {self.fast:.2f}   reference {self.plain:.2f}   '
            f'{self.plain / self.fast:.1f}x faster\n'
            f'  largest difference of the context gradients, relative to the largest gradient: {self.difference:.1e}'
        )


@dataclass
class Setup:
    """Model and options of a measurement."""

    model: CLIP
    args: argparse.Namespace

    @property
    def device(self) -> torch.device:
        return self.args.device

    def measure(self, run: Callable[[bool], Tensor]) -> Comparison:
        """Call ``run(False)`` and ``run(True)``, the reference, in turns; they return the context gradient."""
        runs = dict(fast=lambda: run(False).clone(), plain=lambda: run(True).clone())
        sides = in_turns(runs, self.device, self.args.repeats, warm_up=0, processor=True)
        difference = relative_difference(sides['fast'].result, sides['plain'].result)
        return Comparison(sides['fast'].seconds, sides['plain'].seconds, difference)


def evenly_spaced(names: Sequence[str], count: int) -> list[str]:
    """``count`` of the names."""
    return [names[index * len(names) // count] for index in range(count)]


def compare_text_tower(setup: Setup, names: Sequence[str], chunk: int) -> dict[str, float]:
    """Forward and backward of the text tower: a :class:`Comparison`, and bytes kept between them by either side."""
    model = setup.model
    prompt = ContextPrompt(names, model.text, n_prompts=1, n_ctx=16).to(setup.device)
    weights = torch.randn(1, len(names), model.embed_dim, device=setup.device)
    frozen = [*model.parameters(), prompt.context]

    def forward(reference: bool, classes: slice) -> Tensor:
        with autocast(setup.args):
            features = model.text(prompt(model.text).select_classes(classes), reference=reference)
        return (features * weights[:, classes]).sum()

    def gradient(reference: bool) -> Tensor:
        prompt.context.grad = None
        step = chunk if reference else len(names)
        for start in range(0, len(names), step):
            forward(reference, slice(start, start + step)).backward()
        return prompt.context.grad

    few = slice(0, min(chunk, len(names)))
    forward(False, few), forward(True, few)  # warm up both
    result = setup.measure(gradient)
    fast_kept = kept_bytes(lambda: forward(False, slice(None)), frozen)
    plain_kept = round(kept_bytes(lambda: forward(True, few), frozen) * len(names) / few.stop)
    tokens = prompt(model.text)
    computed = tokens.shared_length + int((tokens.eot - tokens.shared_length + 1).sum())

    print(f'Text tower: {len(names)} classes, 16 context vectors, 1 prompt per class, forward + backward')
    if len(names) > chunk:
        print(f'  reference: {chunk} classes at a time with exact gradient accumulation; bytes of one chunk, scaled')
    print(f'  positions   shared prefix {computed:,}   reference {len(names) * model.text.context_length:,}')
    print(result)
    print(
        f'  kept        shared prefix {megabytes(fast_kept)}   reference {megabytes(plain_kept)}   '
        f'{plain_kept / fast_kept:.1f}x less'
    )
    if setup.device.type == 'cuda':
        peaks = (megabytes(peak_bytes(lambda: gradient(reference), setup.device)) for reference in (False, True))  # noqa: B023
        print('  peak        shared prefix {}   reference {} (one chunk)'.format(*peaks))
    return asdict(result) | dict(fast_kept=fast_kept, plain_kept=plain_kept)


def compare_plot_step(setup: Setup, names: Sequence[str], batch: int, image_size: int) -> dict[str, float]:
    """One training step of PLOT: a :class:`Comparison`."""
    model = setup.model
    prompt = ContextPrompt(names, model.text, n_prompts=4, n_ctx=16).to(setup.device)
    alignment = TransportAlignment()
    images = torch.randn(batch, 3, image_size, image_size, device=setup.device)
    labels = torch.arange(batch, device=setup.device) % len(names)

    def encode_images():
        with torch.no_grad(), autocast(setup.args):
            return model.encode_image(images, local=True, maps=False)

    def step(reference: bool) -> Tensor:
        prompt.context.grad = None
        features = encode_images()
        with autocast(setup.args):
            text = model.text(prompt(model.text), reference=reference)
        logits = alignment(features, text, model.logit_scale.exp()).logits
        F.cross_entropy(logits.float(), labels).backward()
        return prompt.context.grad

    step(False), model.text(prompt(model.text).select_classes(slice(1)), reference=True)  # warm up both
    print(f'PLOT step: {len(names)} classes, 4 prompts, {batch} images of {image_size} pixels')
    result = setup.measure(step)
    print(result)
    return asdict(result)


def parse_args(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = benchmark_parser(__doc__, repeats=1)
    parser.add_argument('--classes', type=int, default=1000, help='classes of the text tower measurement')
    parser.add_argument('--chunk', type=int, default=50, help='classes the reference takes at a time')
    parser.add_argument('--only', choices=('text', 'plot'), help='run one of the two measurements')
    return parser.parse_args(argv)


def main(argv: Sequence[str] | None = None) -> dict[str, dict[str, float]]:
    """Print the measurements and return them, ``text`` and ``plot``."""
    args = parse_args(argv)
    prepare(args)
    model = CLIP(QUICK_ARCH if args.quick else 'RN50').eval().requires_grad_(False).to(args.device)
    setup = Setup(model, args)
    names = resolve_class_names('imagenet')
    where = describe_machine(args.device)
    print(f'{where}, {args.dtype}, median of {args.repeats}, RN50 with random weights')
    results = {}
    if args.only != 'plot':
        results['text'] = compare_text_tower(
            setup, evenly_spaced(names, 30 if args.quick else args.classes), 20 if args.quick else args.chunk
        )
    if args.only != 'text':
        classes, batch, size = (10, 2, 64) if args.quick else (100, 32, 224)
        results['plot'] = compare_plot_step(setup, evenly_spaced(names, classes), batch, size)
    return results


if __name__ == '__main__':
    main()
