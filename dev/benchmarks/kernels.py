"""Kernels of training steps and what they would take on a GPU, from counts: no GPU is needed.

Every step runs on tensors without data.  Kernels are the operators that are no views, of the forward and the backward
pass; the optimizer is left out.  The estimate for an H100 is the larger of FLOPs and bytes at the rates of
vlprompt/clip/text/costs.py, plus 5 microseconds a kernel: an upper bound, since launches and kernels overlap.  Bytes
are inputs and outputs of every operator, in fp32, also an upper bound. Attention is that of a CPU, one kernel; what a
GPU's kernels pad is not seen.

The plain side computes all 77 positions of every prompt and iterates for a transport plan in single operations. Ours
packs texts and fuses the iteration as on a GPU; on a CPU it has other, more kernels and fewer tokens.

    python dev/benchmarks/kernels.py text        # the text tower: class names of data sets, 1 and 4 prompts
    python dev/benchmarks/kernels.py steps       # whole training steps of methods, as shipped
    python dev/benchmarks/kernels.py text --quick
"""

from __future__ import annotations

import argparse
import logging
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any
from unittest.mock import patch

from mmengine.logging import MMLogger
from torch import Tensor, nn
from torch._subclasses import FakeTensorMode

from vlprompt.apis import init_model
from vlprompt.apis.sample_batch import image_size, sample_batch
from vlprompt.clip import CLIP, TextEncoder
from vlprompt.clip.classnames import resolve_class_names
from vlprompt.clip.text.costs import gpu_costs
from vlprompt.engine.counts import Counts
from vlprompt.engine.dry_run import fake_batch, fake_copy
from vlprompt.prompts import ContextPrompt

SETS = ('dtd', 'eurosat', 'oxford_pets', 'caltech101', 'sun397', 'stanford_cars', 'imagenet')
STEPS = {
    'CoOp, RN50, DTD, 32 images': ('coop/coop_rn50', 'dtd', 32),
    'PLOT, N = 4, RN50, DTD, 32 images': ('plot/plot_rn50', 'dtd', 32),
    'PLOT, N = 4, RN50, ImageNet, 32 images': ('plot/plot_rn50', 'imagenet', 32),
    'CoCoOp, ViT-B/16, DTD, 1 image': ('cocoop/cocoop_vit-b16', 'dtd', 1),
    'MaPLe, ViT-B/16, DTD, 4 images': ('maple/maple_vit-b16', 'dtd', 4),
    'IVLP, ViT-B/16, DTD, 4 images': ('ivlp/ivlp_vit-b16', 'dtd', 4),
    'PromptSRC, ViT-B/16, DTD, 4 images': ('promptsrc/promptsrc_vit-b16', 'dtd', 4),
    'CLIP-LoRA, ViT-B/16, DTD, 32 images': ('clip_lora/clip-lora_vit-b16', 'dtd', 32),
    'PLOT++, second phase, ViT-B/16, DTD, 32 images': ('plotpp/plotpp_vit-b16:joint', 'dtd', 32),
    'CLIP-ReID, first phase, 64 features': ('clipreid/clipreid_vit-b16:prompts', None, 64),
    'DenseCLIP, RN50, ADE20K, 4 images': ('denseclip/denseclip_r50_fpn_80k_ade20k-512x512', 'ade20k', 4),
}


def counted(run: Callable[[], Tensor], mode: FakeTensorMode) -> Counts:
    """Counts of a forward pass that returns a scalar, and of its backward pass."""
    run().backward()  # plans are made in the first step
    counts = Counts()
    with mode, counts:
        run().backward()
    return counts


def use_plain_path(text: TextEncoder) -> None:
    """Let a text tower compute all positions."""
    forward = text.forward
    text.forward = lambda tokens, reference=False: forward(tokens, reference=True)


def both_sides(model: nn.Module, run: Callable[[nn.Module, FakeTensorMode], Tensor]) -> tuple[Counts, Counts]:
    """Counts of the step ``run(model, mode)``, packed as on a GPU and in the plain way."""
    sides = []
    for plain in (False, True):
        mode = FakeTensorMode()
        fake = fake_copy(model, mode, 'cpu')
        text = next(module for module in fake.modules() if isinstance(module, TextEncoder))
        text.costs, text.memory_budget = gpu_costs(text), 2**40
        if plain:
            use_plain_path(text)
        with mode, patch('vlprompt.alignment.sinkhorn.fuses', return_value=not plain):
            sides.append(counted(partial(run, fake, mode), mode))
    return sides[0], sides[1]


def row(name: str, ours: Counts, plain: Counts, more: str = '') -> str:
    """A line of the table."""
    return (
        f'| {name} |{more} {ours.kernels:,} | {plain.kernels:,} | {ours.kernels / plain.kernels:.2f} | '
        f'{ours.flops / 1e9:,.0f} | {plain.flops / 1e9:,.0f} | {ours.milliseconds():.1f} | {plain.milliseconds():.1f} |'
    )


COLUMNS = 'kernels | plain | ratio | GFLOP | plain | H100, ms | plain, ms |'


def of_text_tower(args: argparse.Namespace) -> list[tuple[str, Counts, Counts]]:
    """Forward and backward pass of RN50's text tower behind 16 context vectors."""
    model = CLIP('RN50').eval().requires_grad_(False).text
    print(f'| class names | N | buckets | tokens | without padding | {COLUMNS}\n' + '|---' * 12 + '|')
    found = []
    for name in SETS[:1] if args.quick else SETS:
        names = resolve_class_names(name)
        for number in (1, 4):
            both = nn.ModuleDict(dict(text=model, prompt=ContextPrompt(names, model, n_prompts=number, n_ctx=16)))
            ours, plain = both_sides(both, lambda fake, mode: fake.text(fake.prompt(fake.text)).sum())
            layout, prefix = both.prompt.layout, 17 * number
            buckets = layout.buckets(17, gpu_costs(model))
            tokens, least = (
                prefix + sum(bucket.num_tokens for bucket in some) for some in (buckets, layout.buckets(17, None))
            )
            print(row(f'{name} ({len(names)})', ours, plain, f' {number} | {len(buckets)} | {tokens:,} | {least:,} |'))
            found.append((f'{name}, N = {number}', ours, plain))
    return found


def of_steps(args: argparse.Namespace) -> list[tuple[str, Counts, Counts]]:
    """Training steps of shipped configs with random weights."""
    print(f'| step | {COLUMNS}\n' + '|---' * 8 + '|')
    found = []
    for title, (config, dataset, images) in list(STEPS.items())[: 1 if args.quick else None]:
        model = build(config, dataset)
        batch = sample_batch(model, images, image_size(model))

        def run(fake: nn.Module, mode: FakeTensorMode, batch: dict[str, Any] = batch) -> Tensor:
            return fake.parse_losses(fake.train()(**fake_batch(batch, mode, 'cpu'), mode='loss'))[0]

        ours, plain = both_sides(model, run)
        print(row(title, ours, plain))
        found.append((title, ours, plain))
    return found


def build(config: str, dataset: str | None) -> nn.Module:
    """The model of a config, or of a phase of one, with random weights."""
    from vlprompt.engine import load_config
    from vlprompt.engine.phases import phase_config

    config, _, phase = config.partition(':')
    cfg = load_config(config)
    dense = 'backbone' in cfg.model
    if dataset and not dense:
        cfg = load_config(config, dict(dataset=dataset))
    cfg = phase_config(cfg, phase or None)
    options: dict[str, Any] = {'model.backbone.clip.weights' if dense else 'model.clip.weights': None}
    options |= {'model.class_names': dataset} if dataset else {'model.num_ids': 751, 'model.noun': 'person'}
    return init_model(cfg, cfg_options=options)


def main(argv: Sequence[str] | None = None) -> list[tuple[str, Counts, Counts]]:
    """Print a table and return names and counts, ours and plain."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('part', choices=['text', 'steps'])
    parser.add_argument('--quick', action='store_true', help='one row')
    args = parser.parse_args(argv)
    MMLogger.get_instance('mmengine', log_level=logging.ERROR)
    return (of_text_tower if args.part == 'text' else of_steps)(args)


if __name__ == '__main__':
    main()
