"""A training step of CoCoOp against the published way, in one process.

The model of the shipped config `cocoop_vit-b16` with random weights (speed does not depend on their values) and the 100
classes of Caltech101. CoCoOp's text depends on the image, so that the text tower runs for every image, over all
classes. A step: image tower without gradient, text of all classes for every image, cosine, cross-entropy, gradient of
context vectors and meta net.

* ours: all images at once; start token and context vectors of an image once for all classes, nothing after the end
  token;
* published: a loop over the images, all 77 positions of all classes for each. Their gradients are added up image by
  image, which is exact, so that the memory of one image is enough.

    python dev/benchmarks/cocoop_step.py
    python dev/benchmarks/cocoop_step.py --device cuda --batches 1 4 16 --repeats 10
    python dev/benchmarks/cocoop_step.py --quick        # the built-in model and few names: shows that it runs
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import replace
from functools import partial

import torch
import torch.nn.functional as F
from torch import Tensor

from dev.benchmarks.timing import autocast, benchmark_parser, describe_machine, in_turns, prepare, relative_difference
from vlprompt.apis import init_model
from vlprompt.clip import ClipFeatures
from vlprompt.clip.classnames import resolve_class_names
from vlprompt.models.classifiers import TextClassifier

OURS, PUBLISHED = 'ours', 'published'


def looped_loss(model: TextClassifier, features: ClipFeatures, labels: Tensor) -> Tensor:
    """Mean cross-entropy of B images, image by image over all positions; its gradients are added to the parameters."""
    total = torch.zeros((), device=labels.device)
    for cls, label in zip(features.cls.split(1), labels.split(1), strict=True):
        image = replace(features, cls=cls)
        text = model.prompt.encode(model.clip.text, image, reference=True)
        logits = model.alignment(image, text, model.logit_scale).logits
        loss = F.cross_entropy(logits.float(), label) / len(labels)
        loss.backward()
        total = total + loss.detach()
    return total


def step(
    model: TextClassifier, images: Tensor, labels: Tensor, args: argparse.Namespace, published: bool
) -> tuple[Tensor, list[Tensor]]:
    """Loss of the images (B, 3, H, W), and its gradients of what is trained."""
    model.zero_grad()
    with autocast(args):
        features = model.image_features(images)
        if published:
            loss = looped_loss(model, features, labels)
        else:
            loss = F.cross_entropy(model.align_features(features).logits.float(), labels)
            loss.backward()
    return loss.detach(), [parameter.grad.clone() for parameter in model.parameters() if parameter.requires_grad]


def main(argv: Sequence[str] | None = None) -> dict[int, dict[str, float]]:
    """Print the measurements and return them by number of images: seconds of both sides and largest differences."""
    parser = benchmark_parser(__doc__, repeats=1)
    parser.add_argument('--batches', type=int, nargs='+', default=[1, 4], metavar='B', help='images of a step')
    args = parser.parse_args(argv)
    prepare(args)
    tower, size, classes = ('micro-vit', 160, 5) if args.quick else ('vit-b16', 224, None)
    names = resolve_class_names('caltech101')[:classes]
    options = {'model.clip.weights': None, 'model.class_names': names}
    model = init_model(f'cocoop_{tower}', cfg_options=options, device=args.device).train()
    print(f'{describe_machine(args.device)}, {args.dtype}, cocoop_{tower}, {len(names)} classes')
    print('| images | ours, s | published, s | ratio | difference of the loss | of the gradients |')
    print('|---|---|---|---|---|---|')
    found = {}
    for batch in args.batches:
        images = torch.randn(batch, 3, size, size, device=args.device)
        labels = torch.arange(batch, device=args.device) % len(names)

        run = partial(step, model, images, labels, args)
        runs = {OURS: partial(run, published=False), PUBLISHED: partial(run, published=True)}
        sides = in_turns(runs, args.device, args.repeats, warm_up=int(args.device.type == 'cuda'))
        (loss, gradients), (plain_loss, plain_gradients) = sides[OURS].result, sides[PUBLISHED].result
        row = dict(
            ours=sides[OURS].seconds,
            published=sides[PUBLISHED].seconds,
            loss_difference=relative_difference(loss, plain_loss),
            gradient_difference=relative_difference(gradients, plain_gradients),
        )
        print(
            f'| {batch} | {row["ours"]:.2f} | {row["published"]:.2f} | {row["published"] / row["ours"]:.1f} | '
            f'{row["loss_difference"]:.1e} | {row["gradient_difference"]:.1e} |'
        )
        found[batch] = row
    return found


if __name__ == '__main__':
    main()
