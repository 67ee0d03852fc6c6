"""DenseCLIP with text features computed once, compared with running the text tower again as in the published code.

Random weights (speed does not depend on their values), all in one process, the two sides in turns. Seconds are those
of the clock on a GPU, and of the processor on a CPU, where other programs then do not count:

* slide test of one image: text once per evaluation, against the text of every class for every window, by the plain
  path over all positions (as published) and by the shared-prefix path;
* training step (forward and backward): frozen tower and shared prefix, against the plain path over all positions, with
  the tower frozen, and with gradients for the tower as in the published code; seconds per step, bytes that the forward
  pass keeps for the backward pass, and bytes of gradients.

    python dev/benchmarks/denseclip_slide.py
    python dev/benchmarks/denseclip_slide.py --device cuda --repeats 10
    python dev/benchmarks/denseclip_slide.py --quick       # a tiny model: shows that it runs, not how fast
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

from vlprompt.compat.environment import check_environment

check_environment()  # before anything imports torchvision or an mm package

import torch  # noqa: E402
from mmengine.structures import PixelData  # noqa: E402
from mmseg.structures import SegDataSample  # noqa: E402
from torch import Tensor, nn  # noqa: E402

from dev.benchmarks.timing import (  # noqa: E402
    Timed,
    benchmark_parser,
    describe_machine,
    in_turns,
    kept_bytes,
    prepare,
    relative_difference,
)
from vlprompt.apis import init_model  # noqa: E402

CONFIG = Path(__file__).resolve().parents[2] / 'configs/denseclip/denseclip_r50_fpn_80k_ade20k-512x512.py'
QUICK = {
    'model.backbone.clip.arch': 'micro-rn',
    'model.backbone.matching.context_decoder.width': 64,
    'model.backbone.matching.context_decoder.heads': 1,
    'model.neck.out_channels': 16,
    'model.decode_head.channels': 16,
}
Result = TypeVar('Result')


@contextmanager
def text_anew(model: nn.Module, reference: bool, trained: bool = False) -> Iterator[None]:
    """Context in which every forward pass of the segmentor runs its text tower.

    Args:
        model: the segmentor.
        reference: by the path over all positions; else by the shared prefix.
        trained: the tower gets gradients.
    """
    matching = model.backbone.matching
    matching.text_features = partial(matching.prompt.encode, matching.text, reference=reference)
    matching.text.requires_grad_(trained)
    try:
        yield
    finally:
        del matching.text_features
        matching.text.requires_grad_(False)
        matching.text.zero_grad(set_to_none=True)


def seconds_of(runs: Mapping[str, Callable[[], object]], repeats: int, device: torch.device) -> dict[str, float]:
    """Median seconds of each run; one line per run says how many times as long as the first it takes."""
    sides: dict[str, Timed] = in_turns(runs, device, repeats, processor=True)
    first = next(iter(sides.values())).seconds
    for name, side in sides.items():
        print(f'  {name:44} {side.seconds:8.3f} s   {side.seconds / first:5.2f} x')
    return {name: side.seconds for name, side in sides.items()}


@torch.no_grad()
def compare_slide(model: nn.Module, image: Tensor, repeats: int) -> dict[str, Any]:
    """Slide inference of one image (1, 3, H, W) to (1, K, H, W) logits: seconds by side, and their difference."""
    model.eval()
    meta = [dict(ori_shape=tuple(image.shape[-2:]), img_shape=tuple(image.shape[-2:]))]

    def run() -> Tensor:
        return model.inference(image, meta)

    def anew(reference: bool) -> Tensor:
        with text_anew(model, reference):
            return run()

    difference = relative_difference(run(), anew(True))
    print(f'Slide test: {image.shape[-2]} x {image.shape[-1]}, {model.num_classes} classes, {model.test_cfg}')
    runs = {
        'text once per evaluation': run,
        'text per window, plain path (as published)': partial(anew, True),
        'text per window, shared prefix': partial(anew, False),
    }
    seconds = seconds_of(runs, repeats, image.device)
    print(f'  largest difference of the logits, relative to the largest: {difference:.1e}')
    return dict(seconds=seconds, difference=difference)


def compare_training(model: nn.Module, images: Tensor, repeats: int) -> dict[str, Any]:
    """Loss and gradients of a batch (B, 3, H, W): seconds by side, and bytes of :func:`kept_bytes` and gradients."""
    model.train()
    labels = torch.randint(0, model.num_classes, (len(images), 1, *images.shape[-2:]), device=images.device)
    samples = [SegDataSample(gt_sem_seg=PixelData(data=label)) for label in labels]

    def loss() -> Tensor:
        return sum(value for name, value in model(images, samples, mode='loss').items() if 'loss' in name)

    def encode_text() -> Tensor:
        return model.backbone.matching.text_features()

    def step() -> None:
        model.zero_grad(set_to_none=True)
        loss().backward()

    def on(side: Callable[[], AbstractContextManager], call: Callable[[], Result]) -> Result:
        with side():
            return call()

    sides = {
        'frozen tower, shared prefix': nullcontext,
        'frozen tower, plain path': partial(text_anew, model, reference=True),
        'trained tower, plain path (as published)': partial(text_anew, model, reference=True, trained=True),
    }
    print(f'Training step: {len(images)} x 3 x {images.shape[-2]} x {images.shape[-1]}, {model.num_classes} classes')
    seconds = seconds_of({name: partial(on, side, step) for name, side in sides.items()}, repeats, images.device)
    parameters = list(model.parameters())
    print('Bytes kept for the backward pass; those of the text tower; bytes of gradients')
    sizes = {}
    for name, side in sides.items():
        kept = [on(side, partial(kept_bytes, forward, parameters)) for forward in (loss, encode_text)]
        gradients = on(side, lambda: sum(p.nbytes for p in parameters if p.requires_grad))
        print(f'  {name:44}' + ''.join(f'{size / 1e6:8,.0f} MB' for size in (*kept, gradients)))
        sizes[name] = dict(kept=kept[0], kept_by_text=kept[1], gradients=gradients)
    return dict(seconds=seconds, bytes=sizes)


def parse_args(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = benchmark_parser(__doc__, repeats=3, dtype=False)
    parser.add_argument('--shape', type=int, nargs=2, default=(512, 683), help='height and width of the test image')
    parser.add_argument('--crop', type=int, default=512, help='side of windows and training images')
    parser.add_argument('--batch', type=int, default=1, help='training images')
    parser.add_argument('--only', choices=('slide', 'train'), help='run one of the two measurements')
    return parser.parse_args(argv)


def main(argv: Sequence[str] | None = None) -> dict[str, dict[str, Any]]:
    """Print the measurements and return them, ``slide`` and ``train``."""
    args = parse_args(argv)
    crop, shape = (64, (64, 96)) if args.quick else (args.crop, tuple(args.shape))
    prepare(args)
    options = {
        'model.backbone.clip.weights': None,
        'model.backbone.clip.image_size': crop,
        'model.test_cfg.crop_size': (crop, crop),
    }
    options['model.test_cfg.stride'] = (crop * 2 // 3,) * 2
    device = args.device
    model = init_model(CONFIG, cfg_options=options | (QUICK if args.quick else {}), device=device)
    print(f'{describe_machine(device)}, median of {args.repeats}, {"micro-rn" if args.quick else "RN50"}')
    results = {}
    if args.only != 'train':
        results['slide'] = compare_slide(model, torch.randn(1, 3, *shape, device=device), args.repeats)
    if args.only != 'slide':
        results['train'] = compare_training(model, torch.randn(args.batch, 3, crop, crop, device=device), args.repeats)
    return results


if __name__ == '__main__':
    main()
