"""What more prompts cost: a training step and the test of CoOp and of PLOT with N = 1, 2, 4, 8, in one process.

The models of the shipped configs `coop_rn50` and `plot_rn50` with random weights (speed does not depend on their
values), the 101 names of Food-101, 32 images of 224 pixels, as the paper measured. A training step: image tower without
gradient, text of all classes, alignment, cross-entropy, gradient of the context vectors. Test: images against cached
text. All are measured in turns; printed are medians and what they are relative to CoOp.

    python dev/benchmarks/number_of_prompts.py
    python dev/benchmarks/number_of_prompts.py --device cuda --dtype float16 --repeats 20
    python dev/benchmarks/number_of_prompts.py --quick        # the built-in models and few names: shows that it runs
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from vlprompt.apis import init_model
from vlprompt.clip.classnames import resolve_class_names
from vlprompt.models.classifiers import TextClassifier

NUMBERS = (1, 2, 4, 8)


def models(args: argparse.Namespace) -> dict[str, TextClassifier]:
    """CoOp and PLOT with each number of prompts."""
    tower = 'micro-rn' if args.quick else 'rn50'
    names = resolve_class_names('food101')[: 5 if args.quick else None]
    options = {'model.clip.weights': None, 'model.class_names': names}
    built = {'CoOp': init_model(f'coop_{tower}', cfg_options=options)}
    for number in NUMBERS:
        built[f'PLOT, N = {number}'] = init_model(
            f'plot_{tower}', cfg_options=options | {'model.prompt.n_prompts': number}
        )
    return {name: model.to(args.device) for name, model in built.items()}


def median_seconds(runs: dict[str, Callable[[], object]], device: str, repeats: int) -> dict[str, float]:
    """Median of each, called in turns after one call of all for warming up."""
    seconds: dict[str, list[float]] = {name: [] for name in runs}
    for repeat in range(repeats + 1):
        for name, run in runs.items():
            _synchronize(device)
            start = time.perf_counter()
            run()
            _synchronize(device)
            if repeat:
                seconds[name].append(time.perf_counter() - start)
    return {name: statistics.median(values) for name, values in seconds.items()}


def main(argv: Sequence[str] | None = None) -> dict[str, dict[str, float]]:
    """Print the table and return seconds of a training step and images per second, by model."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--device', default='cpu')
    parser.add_argument('--dtype', choices=('float32', 'bfloat16', 'float16'), default='float32', help='by autocast')
    parser.add_argument('--repeats', type=int, default=5, help='the median is reported')
    parser.add_argument('--quick', action='store_true', help='small models, few names and images')
    args = parser.parse_args(argv)
    torch.manual_seed(0)
    built = models(args)
    batch, size = (2, 160) if args.quick else (32, 224)
    images = torch.randn(batch, 3, size, size, device=args.device)
    labels = torch.arange(batch, device=args.device) % 5
    dtype = getattr(torch, args.dtype)

    def logits(model: TextClassifier) -> Tensor:
        with torch.autocast(images.device.type, dtype, enabled=dtype != torch.float32):
            return model(images)

    def train(model: TextClassifier) -> None:
        model.train()
        model.zero_grad()
        F.cross_entropy(logits(model).float(), labels).backward()

    @torch.no_grad()
    def test(model: TextClassifier) -> None:
        logits(model)

    step = median_seconds({name: lambda m=model: train(m) for name, model in built.items()}, args.device, args.repeats)
    for model in built.values():
        model.eval()
    tested = median_seconds({name: lambda m=model: test(m) for name, model in built.items()}, args.device, args.repeats)
    gpu = args.device.startswith('cuda')
    where = torch.cuda.get_device_name(args.device) if gpu else f'CPU, {torch.get_num_threads()} threads'
    print(f'{where}, torch {torch.__version__}, {args.dtype}, median of {args.repeats}')
    print('| model | training step, s | of CoOp | test, images/s | of CoOp |\n|---|---|---|---|---|')
    for name in built:
        slower, faster = step[name] / step['CoOp'], tested['CoOp'] / tested[name]
        print(f'| {name} | {step[name]:.3f} | {slower:.3f} | {batch / tested[name]:.1f} | {faster:.3f} |')
    return {name: dict(step=step[name], images_per_second=batch / tested[name]) for name in built}


def _synchronize(device: str) -> None:
    if device.startswith('cuda'):
        torch.cuda.synchronize(device)


if __name__ == '__main__':
    main()
