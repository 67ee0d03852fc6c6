"""Measure how fast a model predicts: images per second, latencies, peak memory, and the text tower apart.

vlprompt benchmark coop_micro-vit none --dataset scenes --batch-size 16
vlprompt benchmark zero-shot_vit-b16 none --dataset imagenet \
    --device cuda --batch-size 64 --amp

Images are noise on the device, so neither reading nor copying them is part of it. Text features are computed once and
kept, as in an evaluation, and timed by themselves; if they depend on the image (CoCoOp, pre-model prompting), they are
part of every call. On a GPU the peak counts tensors, on a CPU the whole process.
"""

import argparse
import contextlib
import logging

from vlprompt.apis.command_line import (
    ToolParser,
    add_amp_option,
    add_model_options,
    before_imports,
    call,
    natural,
    positive,
)


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    parser = ToolParser(__doc__)
    add_model_options(parser)
    parser.add_argument('--batch-size', type=positive, default=1, help='images of a call')
    parser.add_argument(
        '--size', type=positive, nargs=2, metavar=('H', 'W'), help='of the images (default: that of the tower)'
    )
    parser.add_argument('--calls', type=positive, default=50, help='timed calls')
    parser.add_argument('--warmup', type=natural, default=5, help='calls before them')
    precision = 'mixed precision, in float16 (fp16) or bfloat16 (bf16)'
    add_amp_option(parser, f'{precision}; without DTYPE float16 on a GPU, bfloat16 on a CPU')
    parser.add_argument('--threads', type=positive, help='of a CPU (default: torch decides)')
    return parser.parse_args(argv)


before_imports(parse_args, __name__)

import torch
from mmengine.logging import MMLogger

from vlprompt.apis import model_from
from vlprompt.apis.sample_batch import image_size
from vlprompt.apis.speed import blank_samples, measure, peak_memory, reset_peak_memory, text_function
from vlprompt.precision import usual_half


def main(argv: list[str] | None = None) -> None:
    args = parse_args(argv)
    MMLogger.get_instance('mmengine', log_level=logging.ERROR)
    if args.threads:
        torch.set_num_threads(args.threads)
    model = model_from(args)
    device = next(model.parameters()).device
    size = tuple(args.size or image_size(model))
    images = torch.randn(args.batch_size, 3, *size, device=device)
    samples = blank_samples(model, size, args.batch_size)
    kind = (usual_half(device.type) if args.amp is True else args.amp) or 'float32'
    precision = torch.autocast(device.type, getattr(torch, kind)) if args.amp else contextlib.nullcontext()
    with torch.no_grad(), precision:
        text = text_function(model)
        words = None if text is None else measure(text, device, max(args.calls // 10, 1), min(args.warmup, 1))
        reset_peak_memory(device)
        found = measure(lambda: model(images, samples, mode='tensor'), device, args.calls, args.warmup)
    threads = f', {torch.get_num_threads()} threads' if device.type == 'cpu' else ''
    print(f'{args.config}: {args.batch_size} x {size[0]} x {size[1]} on {device}{threads}, {kind}')
    print(f'images per second  {args.batch_size / found.median:.1f}')
    print(f'a batch            {found}')
    print(f'text, once         {words or "none, or a part of every call"}')
    print(f'peak memory        {peak_memory(device) / 2**20:.0f} MiB')


if __name__ == '__main__':
    call(main)
