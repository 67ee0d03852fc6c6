"""Count parameters and floating-point operations of a model, the text tower separately, and the memory of a step.

vlprompt get-flops denseclip_r50_fpn_80k_ade20k-512x512 --shape 512 512

Counts one image with torch's FlopCounterMode (matrix products, convolutions, attention). It counts multiplications
and additions; papers, and mmengine's get_model_complexity_info, call half of that FLOPs, so both are printed. The
towers get random weights: nothing is downloaded. In an evaluation the text tower runs once for all images (with
pre-model prompting once per image), so it is not a cost per image.

Memory is that of a training step and of a test step on a GPU, in float32 and with --amp, at the batch sizes of the
config: the most that lives at once, from tensors without data (vlprompt/engine/memory.py). Workspaces of cuDNN and the
CUDA context come on top. Detectors, whose steps depend on the boxes, and solvers, which have none, are left out.

vlprompt get-flops plot_rn50 --dataset imagenet --batch-size 128
"""

import argparse
import logging
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from vlprompt.apis.command_line import (
    ToolParser,
    add_config_options,
    add_phase_option,
    before_imports,
    call,
    positive,
)


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    parser = ToolParser(__doc__)
    add_config_options(parser)
    add_phase_option(parser, 'of a config with phases, the model of this one (default: the last)')
    parser.add_argument(
        '--shape', type=int, nargs='+', help='height and width, or one side (default: those of the image tower)'
    )
    parser.add_argument('--batch-size', type=positive, help='images of a step (default: those of the config)')
    args = parser.parse_args(argv)
    if args.shape is not None:
        if len(args.shape) > 2 or min(args.shape) < 32:
            parser.error('--shape takes one or two sides of at least 32 pixels')
        args.shape = (args.shape * 2)[:2]
    return args


before_imports(parse_args, __name__)

import torch
from mmengine.config import Config
from mmengine.logging import MMLogger
from mmengine.optim import build_optim_wrapper
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from vlprompt.apis import init_model, runs
from vlprompt.apis.parameters import parameter_count, without_weights
from vlprompt.apis.sample_batch import image_size, sample_batch
from vlprompt.apis.speed import blank_samples
from vlprompt.clip import TextEncoder
from vlprompt.engine.counts import CPU_ATTENTION
from vlprompt.engine.memory import StepMemory, inference_memory, training_memory
from vlprompt.engine.optimizer import wrappers_by_name

TEXT = 'text tower'


@contextmanager
def all_frozen(model: nn.Module) -> Iterator[None]:
    """No parameter asks for a gradient: torch's counter wants to be in the backward pass of one that a module takes as
    an argument, such as a visual prompt, without one too.
    """
    trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
    for parameter in trained:
        parameter.requires_grad_(False)
    try:
        yield
    finally:
        for parameter in trained:
            parameter.requires_grad_(True)


def count(model: nn.Module, shape: tuple[int, int]) -> dict[str, tuple[int, int, int]]:
    """Parameters, trained ones, and operations of each child of a model for one image, the text tower separately."""
    root = type(model).__name__
    counter = FlopCounterMode(display=False, custom_mapping=CPU_ATTENTION)
    with torch.no_grad(), all_frozen(model), counter:
        model(torch.zeros(1, 3, *shape), blank_samples(model, shape), mode='tensor')
    counted = {name: sum(ops.values()) for name, ops in counter.get_flop_counts().items()}

    def operations(name: str) -> int:
        """Operations of a module; if its methods are called directly, the sum over its children."""
        if f'{root}.{name}' in counted:
            return counted[f'{root}.{name}']
        return sum(operations(f'{name}.{child}') for child, _ in model.get_submodule(name).named_children())

    texts = {name: module for name, module in model.named_modules() if isinstance(module, TextEncoder)}
    rows = {}
    for name, child in model.named_children():
        inside = [t for t in texts if t == name or t.startswith(f'{name}.')]
        row = [parameter_count(child), parameter_count(child, trained=True), operations(name)]
        for text in inside:
            taken = (
                parameter_count(texts[text]),
                parameter_count(texts[text], trained=True),
                operations(text),
            )
            rows[TEXT] = taken
            row = [a - b for a, b in zip(row, taken, strict=True)]
        rows[name] = tuple(row)
    rest = counted['Global'] - sum(row[2] for row in rows.values())
    # Modules that run inside of another child, such as adapters in the blocks of a tower, count in both.
    rows['(between them)' if rest >= 0 else '(in two of them)'] = (0, 0, rest)
    return {name: row for name, row in rows.items() if any(row)}


def table(rows: Mapping[str, tuple[int, int, int]]) -> str:
    """Aligned text; the last lines sum up without and with the text tower."""
    total = [sum(column) for column in zip(*rows.values(), strict=True)]
    lines = dict(rows)
    if TEXT in lines:
        lines['all but the text tower'] = tuple(a - b for a, b in zip(total, lines[TEXT], strict=True))
    lines['all'] = tuple(total)
    width = max(map(len, lines))
    head = f'{"":{width}}  {"parameters":>12}  {"trained":>12}  {"GFLOPs":>9}  {"GMACs":>9}'
    body = [
        f'{name:{width}}  {params:12,}  {trained:12,}  {ops / 1e9:9.2f}  {ops / 2e9:9.2f}'
        for name, (params, trained, ops) in lines.items()
    ]
    return '\n'.join([head, *body])


def steps(model: nn.Module, shape: tuple[int, int], size: int | None = None) -> dict[str, list[StepMemory]]:
    """Memory of a training step and of a test step, in float32 and with autocast to float16, by what they are.

    Args:
        model: of :func:`~vlprompt.apis.init_model`; its config tells batch sizes and the optimizer.
        shape: height and width of images.
        size: of all batches, instead.

    Raises:
        TypeError: see :func:`~vlprompt.apis.sample_batch.sample_batch`.
    """
    cfg, found = model.cfg, {}
    if cfg.get('optim_wrapper') and cfg.get('train_dataloader'):
        images = size or _batch_size(cfg.train_dataloader)
        wrappers = wrappers_by_name(build_optim_wrapper(model, cfg.optim_wrapper)).values()
        if hasattr(model, 'set_class_counts'):
            model.set_class_counts([1] * model.num_classes)
        optimizers = [wrapper.optimizer for wrapper in wrappers]
        batch = sample_batch(model.train(), images, shape)
        found[f'training, {images} images'] = [
            training_memory(model, batch, optimizers, dtype) for dtype in (None, torch.float16)
        ]
    if cfg.get('test_dataloader'):
        images = size or _batch_size(cfg.test_dataloader)
        batch = sample_batch(model.eval(), images, shape, training=False)
        found[f'test, {images} images'] = [inference_memory(model, batch, dtype) for dtype in (None, torch.float16)]
    return found


def _batch_size(loader: Config) -> int:
    """Images of a batch: two streams have two times the ``batch_size`` of their sampler."""
    streams = (loader.get('batch_sampler') or {}).get('type', '').endswith('DualStreamBatchSampler')
    return loader.batch_size * (2 if streams else 1)


def memory_table(found: Mapping[str, list[StepMemory]]) -> str:
    """Aligned text, in GiB."""
    columns = ('float32', '--amp', 'weights', 'gradients', 'optimizer')
    width = max(map(len, ['GiB of a step', *found]))
    lines = [f'{"GiB of a step":{width}}' + ''.join(f'  {column:>9}' for column in columns)]
    for name, (full, half) in found.items():
        sizes = (full.peak, half.peak, full.weights, full.gradients, full.optimizer)
        lines.append(f'{name:{width}}' + ''.join(f'  {size / 2**30:9.2f}' for size in sizes))
    return '\n'.join(lines)


def main(argv: list[str] | None = None) -> None:
    args = parse_args(argv)
    MMLogger.get_instance('mmengine', log_level=logging.ERROR)
    model = init_model(without_weights(runs.read_config(args)), phase=args.phase)
    shape = tuple(args.shape or image_size(model))
    print(f'{args.config}, one image of {shape[0]} x {shape[1]}')
    print(table(count(model, shape)))
    try:
        print('\n' + memory_table(steps(model, shape, args.batch_size)))
    except TypeError as error:
        print(f'\nMemory of a step: not estimated, since {error}')


if __name__ == '__main__':
    call(main)
