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
import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

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
    """What is measured, and on which machine."""

    model: CLIP
    device: torch.device
    dtype: torch.dtype
    repeats: int

    def autocast(self) -> torch.autocast:
        return torch.autocast(self.device.type, self.dtype, enabled=self.dtype != torch.float32)

    def measure(self, run: Callable[[bool], Tensor]) -> Comparison:
        """Call ``run(False)`` and ``run(True)`` in turns; they return the context gradient."""
        seconds: dict[bool, list[float]] = {False: [], True: []}
        gradients: dict[bool, Tensor] = {}
        for _ in range(self.repeats):
            for reference in seconds:
                self._synchronize()
                start = time.perf_counter()
                gradients[reference] = run(reference).clone()
                self._synchronize()
                seconds[reference].append(time.perf_counter() - start)
        difference = (gradients[False] - gradients[True]).abs().max() / gradients[True].abs().max()
        return Comparison(statistics.median(seconds[False]), statistics.median(seconds[True]), float(difference))

    def peak_bytes(self, run: Callable[[], object]) -> int:
        """Peak of allocated memory of a CUDA device above what was there before."""
        before = torch.cuda.memory_allocated()
        torch.cuda.reset_peak_memory_stats()
        run()
        return torch.cuda.max_memory_allocated() - before

    def _synchronize(self) -> None:
        if self.device.type == 'cuda':
            torch.cuda.synchronize()


def kept_bytes(forward: Callable[[], Tensor], parameters: Sequence[Tensor]) -> int:
    """Bytes that a forward pass keeps for its backward pass: each storage once, parameters not counted."""
    kept: dict[int, int] = {}

    def pack(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        kept[storage.data_ptr()] = storage.nbytes()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        output = forward()
    for parameter in parameters:
        kept.pop(parameter.untyped_storage().data_ptr(), None)
    del output  # until here the kept storages were alive, so that no address stands for two
    return sum(kept.values())


def evenly_spaced(names: Sequence[str], count: int) -> list[str]:
    """``count`` of the names."""
    return [names[index * len(names) // count] for index in range(count)]


def megabytes(value: int) -> str:
    return f'{value / 1e6:,.0f} MB'


def compare_text_tower(setup: Setup, names: Sequence[str], chunk: int) -> dict[str, float]:
    """Forward and backward of the text tower: a :class:`Comparison`, and bytes kept between them by either side."""
    model = setup.model
    prompt = ContextPrompt(names, model.text, n_prompts=1, n_ctx=16).to(setup.device)
    weights = torch.randn(1, len(names), model.embed_dim, device=setup.device)
    frozen = [*model.parameters(), prompt.context]

    def forward(reference: bool, classes: slice) -> Tensor:
        with setup.autocast():
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
        peaks = (megabytes(setup.peak_bytes(lambda: gradient(reference))) for reference in (False, True))  # noqa: B023
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
        with torch.no_grad(), setup.autocast():
            return model.encode_image(images, local=True, maps=False)

    def step(reference: bool) -> Tensor:
        prompt.context.grad = None
        features = encode_images()
        with setup.autocast():
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
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--device', default='cpu')
    parser.add_argument('--dtype', choices=('float32', 'bfloat16', 'float16'), default='float32', help='by autocast')
    parser.add_argument('--classes', type=int, default=1000, help='classes of the text tower measurement')
    parser.add_argument('--repeats', type=int, default=1, help='the median is reported')
    parser.add_argument('--chunk', type=int, default=50, help='classes the reference takes at a time')
    parser.add_argument('--only', choices=('text', 'plot'), help='run one of the two measurements')
    parser.add_argument('--quick', action='store_true', help='tiny model and inputs')
    return parser.parse_args(argv)


def main(argv: Sequence[str] | None = None) -> dict[str, dict[str, float]]:
    """Print the measurements and return them, ``text`` and ``plot``."""
    args = parse_args(argv)
    torch.manual_seed(0)
    device = torch.device(args.device)
    model = CLIP(QUICK_ARCH if args.quick else 'RN50').eval().requires_grad_(False).to(device)
    setup = Setup(model, device, getattr(torch, args.dtype), args.repeats)
    names = resolve_class_names('imagenet')
    where = torch.cuda.get_device_name() if device.type == 'cuda' else f'CPU, {torch.get_num_threads()} threads'
    print(f'{where}, torch {torch.__version__}, {args.dtype}, median of {args.repeats}, RN50 with random weights')
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
