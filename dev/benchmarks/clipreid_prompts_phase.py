"""Time of a step of CLIP-ReID's first phase against the plain one, in one process.

A step: text features of the identities of 64 image features, contrastive loss both ways, gradient of the prompts, Adam.
CLIP's text tower (width 512, 12 blocks, 8 heads) with random weights; 751 identities, as Market-1501 has.

* ours: 5 shared and 7 own positions of a prompt, each identity of the batch once, no gradients of the tower's weights;
* plain: all 77 positions of one prompt per image, gradients of all weights of the text tower (computed and never used),
  as published.

Both are measured in turns, on the same batch; printed are the medians (processor seconds on a CPU), their ratio, and
the largest difference of the prompts' gradients relative to the largest gradient.

    python dev/benchmarks/clipreid_prompts_phase.py --threads 1
    python dev/benchmarks/clipreid_prompts_phase.py --device cuda --dtype bfloat16 --repeats 20
    python dev/benchmarks/clipreid_prompts_phase.py --quick        # a tiny tower: shows that it runs, not how fast
"""

from __future__ import annotations

import argparse

import torch
from torch import Tensor

from dev.benchmarks.timing import autocast, benchmark_parser, describe_machine, in_turns, prepare, relative_difference
from vlprompt.clip.text.encoder import TextEncoder
from vlprompt.models.losses.contrastive import supervised_contrastive
from vlprompt.prompts import IdentityPrompt

IDENTITIES, BATCH = 751, 64


def text_features(prompt: IdentityPrompt, text: TextEncoder, labels: Tensor, plain: bool) -> Tensor:
    """(B, D) text features of the images' identities, by either way."""
    if plain:
        return prompt.encode(text, reference=True, ids=labels)[0]
    unique, inverse = labels.unique(return_inverse=True)
    return prompt.encode(text, ids=unique)[0][inverse]


def step(
    prompt: IdentityPrompt, text: TextEncoder, features: Tensor, labels: Tensor, plain: bool, args: argparse.Namespace
) -> Tensor:
    """One step up to the optimizer's; returns the gradient of the prompts."""
    text.requires_grad_(plain)
    prompt.zero_grad()
    text.zero_grad()
    with autocast(args):
        words = text_features(prompt, text, labels, plain)
    loss = supervised_contrastive(features, words, labels, labels)
    loss = loss + supervised_contrastive(words, features, labels, labels)
    loss.backward()
    return prompt.context.grad.clone()


def main(argv: list[str] | None = None) -> dict[str, float]:
    """Print the measurements and return them."""
    args = benchmark_parser(__doc__, repeats=3).parse_args(argv)
    prepare(args)
    size = dict(width=64, heads=1, layers=2) if args.quick else dict(width=512, heads=8, layers=12)
    text = TextEncoder(embed_dim=size['width'], **size).to(args.device)
    prompt = IdentityPrompt(IDENTITIES, text).to(args.device)
    optimizer = torch.optim.Adam([prompt.context], lr=3.5e-4, weight_decay=1e-4)
    labels = torch.randint(IDENTITIES, (BATCH,)).to(args.device)
    features = torch.randn(BATCH, text.embed_dim).to(args.device)
    start = prompt.context.detach().clone()

    def run(plain: bool) -> Tensor:
        with torch.no_grad():
            prompt.context.copy_(start)
        gradient = step(prompt, text, features, labels, plain, args)
        optimizer.step()
        return gradient

    sides = in_turns(dict(ours=lambda: run(False), plain=lambda: run(True)), args.device, args.repeats, processor=True)
    ours, plain = sides['ours'].seconds, sides['plain'].seconds
    difference = relative_difference(sides['ours'].result, sides['plain'].result)
    print(f'{describe_machine(args.device)}, {args.dtype}, {len(labels.unique())} identities in a batch')
    print(f'  seconds a step   ours {ours:.3f}   plain {plain:.3f}   {plain / ours:.1f}x faster')
    print(f'  largest difference of the gradients, relative to the largest gradient: {difference:.1e}')
    return dict(ours=ours, plain=plain, difference=difference)


if __name__ == '__main__':
    main()
