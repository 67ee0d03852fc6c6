"""A training step of PLOT++'s first phase against the published way, in one process.

The model of the shipped config `plotpp_vit-b16`, phase `visual`, with random weights (speed does not depend on their
values), the 100 classes of Caltech101 and 32 images of 224 pixels. The first phase trains the visual tokens alone. A
step: the image tower once for each of the 4 sets of visual tokens, transport, logits of the mean features,
cross-entropy, gradient of the visual tokens.

* ours: text features of the frozen prompts once for the whole phase; in the last block of the image tower the class
  token alone has queries, output projection and MLP;
* published: the text tower over all 77 positions of 4 x 100 prompts in every step, and all tokens through all
  computations of the image tower.

Both sides add up the gradients of `--chunk` images at a time, which is exact, so that the activations fit; the text is
computed once a step. The first step of ours, which computes the text, is the warm-up and does not count: a phase of
Caltech101 with 16 shots has 10,000 steps.

    python dev/benchmarks/plotpp_first_phase.py
    python dev/benchmarks/plotpp_first_phase.py --device cuda --chunk 32 --repeats 10
    python dev/benchmarks/plotpp_first_phase.py --quick        # the built-in model and few names: shows that it runs
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from functools import partial

import torch
import torch.nn.functional as F
from torch import Tensor

from dev.benchmarks.timing import autocast, benchmark_parser, describe_machine, in_turns, prepare, relative_difference
from vlprompt.apis import init_model
from vlprompt.clip import ClipFeatures
from vlprompt.clip.classnames import resolve_class_names
from vlprompt.models.classifiers import TextClassifier


def whole_image_features(model: TextClassifier, images: Tensor) -> ClipFeatures:
    """Features of images (B, 3, H, W) with all tokens through all computations of all blocks."""
    tower, prompts = model.clip.visual, model.visual()
    tokens, _ = tower.embed(images)
    encoded, _ = tower.encode(tokens, prompts, reference=True)
    local = tower.project(encoded[:, 0]).unflatten(0, (prompts.sets, -1)).transpose(0, 1)
    return ClipFeatures(local.mean(1), local, (), (1, prompts.sets))


def step(
    model: TextClassifier, images: Tensor, labels: Tensor, args: argparse.Namespace, published: bool
) -> tuple[Tensor, Tensor]:
    """Loss of the images (B, 3, H, W), and its gradient of the visual tokens."""
    model.zero_grad()
    total = torch.zeros((), device=images.device)
    with autocast(args):
        text = model.prompt.encode(model.clip.text, reference=True) if published else model.text_features()
        for part, target in zip(images.split(args.chunk), labels.split(args.chunk), strict=True):
            features = whole_image_features(model, part) if published else model.image_features(part)
            logits = model.alignment(features, text, model.logit_scale).logits
            loss = F.cross_entropy(logits.float(), target, reduction='sum') / len(labels)
            loss.backward()
            total += loss.detach()
    return total, model.visual.tokens.grad.clone()


def main(argv: Sequence[str] | None = None) -> dict[str, float]:
    """Print the measurement and return it: seconds of both sides and largest differences."""
    parser = benchmark_parser(__doc__, repeats=1)
    parser.add_argument('--batch', type=int, default=32, help='images of a step')
    parser.add_argument('--chunk', type=int, default=8, help='images whose activations are kept at a time')
    args = parser.parse_args(argv)
    prepare(args)
    tower, size, classes = ('micro-vit', 160, 5) if args.quick else ('vit-b16', 224, None)
    if args.quick:
        args.batch, args.chunk = 3, 2
    names = resolve_class_names('caltech101')[:classes]
    options = {'model.clip.weights': None, 'model.class_names': names}
    model = init_model(f'plotpp_{tower}', cfg_options=options, device=args.device, phase='visual').train()
    images = torch.randn(args.batch, 3, size, size, device=args.device)
    labels = torch.arange(args.batch, device=args.device) % len(names)
    step(model, images[:1], labels[:1], args, published=False)
    run = partial(step, model, images, labels, args)
    sides = in_turns(
        dict(ours=partial(run, published=False), published=partial(run, published=True)),
        args.device,
        args.repeats,
        warm_up=int(args.device.type == 'cuda'),
    )
    ours, published = sides['ours'], sides['published']
    loss, gradient = map(relative_difference, ours.result, published.result)
    print(f'{describe_machine(args.device)}, {args.dtype}, plotpp_{tower}, {len(names)} classes, {args.batch} images')
    print(
        f'  seconds a step   ours {ours.seconds:.2f}   published {published.seconds:.2f}   '
        f'{published.seconds / ours.seconds:.2f}x faster'
    )
    print(f'  largest relative difference   of the loss {loss:.1e}   of the gradient {gradient:.1e}')
    return dict(ours=ours.seconds, published=published.seconds, loss_difference=loss, gradient_difference=gradient)


if __name__ == '__main__':
    main()
