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
import logging
import statistics
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

from vlprompt.compat.environment import check_environment

check_environment()  # before anything imports torchvision or an mm package

import torch  # noqa: E402
from mmengine.logging import MMLogger  # noqa: E402
from mmengine.structures import PixelData  # noqa: E402
from mmseg.structures import SegDataSample  # noqa: E402
from torch import Tensor, nn  # noqa: E402

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
    """Median seconds of each run, after a first round that does not count; the runs take turns."""
    clock = time.perf_counter if device.type == 'cuda' else time.process_time
    seconds: dict[str, list[float]] = {name: [] for name in runs}
    for turn in range(repeats + 1):
        for name, run in runs.items():
            start = clock()
            run()
            if device.type == 'cuda':
                torch.cuda.synchronize()
            if turn:
                seconds[name].append(clock() - start)
    return {name: statistics.median(values) for name, values in seconds.items()}


def report(seconds: Mapping[str, float]) -> None:
    """One line per run; how many times as long as the first it takes."""
    first = next(iter(seconds.values()))
    for name, value in seconds.items():
        print(f'  {name:44} {value:8.3f} s   {value / first:5.2f} x')


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

    difference = (run() - anew(True)).abs().max() / run().abs().max()
    print(f'Slide test: {image.shape[-2]} x {image.shape[-1]}, {model.num_classes} classes, {model.test_cfg}')
    runs = {
        'text once per evaluation': run,
        'text per window, plain path (as published)': partial(anew, True),
        'text per window, shared prefix': partial(anew, False),
    }
    seconds = seconds_of(runs, repeats, image.device)
    report(seconds)
    print(f'  largest difference of the logits, relative to the largest: {difference:.1e}')
    return dict(seconds=seconds, difference=float(difference))


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
    report(seconds)
    parameters = list(model.parameters())
    print('Bytes kept for the backward pass; those of the text tower; bytes of gradients')
    sizes = {}
    for name, side in sides.items():
        kept = [on(side, partial(kept_bytes, forward, parameters)) for forward in (loss, encode_text)]
        gradients = on(side, lambda: sum(p.nbytes for p in parameters if p.requires_grad))
        print(f'  {name:44}' + ''.join(f'{size / 1e6:8,.0f} MB' for size in (*kept, gradients)))
        sizes[name] = dict(kept=kept[0], kept_by_text=kept[1], gradients=gradients)
    return dict(seconds=seconds, bytes=sizes)


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


def parse_args(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--device', default='cpu')
    parser.add_argument('--shape', type=int, nargs=2, default=(512, 683), help='height and width of the test image')
    parser.add_argument('--crop', type=int, default=512, help='side of windows and training images')
    parser.add_argument('--batch', type=int, default=1, help='training images')
    parser.add_argument('--repeats', type=int, default=3, help='the median is reported')
    parser.add_argument('--only', choices=('slide', 'train'), help='run one of the two measurements')
    parser.add_argument('--quick', action='store_true', help='tiny model and images')
    return parser.parse_args(argv)


def main(argv: Sequence[str] | None = None) -> dict[str, dict[str, Any]]:
    """Print the measurements and return them, ``slide`` and ``train``."""
    args = parse_args(argv)
    crop, shape = (64, (64, 96)) if args.quick else (args.crop, tuple(args.shape))
    MMLogger.get_instance('mmengine', log_level=logging.ERROR)
    torch.manual_seed(0)
    options = {
        'model.backbone.clip.weights': None,
        'model.backbone.clip.image_size': crop,
        'model.test_cfg.crop_size': (crop, crop),
    }
    options['model.test_cfg.stride'] = (crop * 2 // 3,) * 2
    device = torch.device(args.device)
    model = init_model(CONFIG, cfg_options=options | (QUICK if args.quick else {}), device=device)
    where = torch.cuda.get_device_name() if device.type == 'cuda' else f'CPU, {torch.get_num_threads()} threads'
    print(f'{where}, torch {torch.__version__}, median of {args.repeats}, {"micro-rn" if args.quick else "RN50"}')
    results = {}
    if args.only != 'train':
        results['slide'] = compare_slide(model, torch.randn(1, 3, *shape, device=device), args.repeats)
    if args.only != 'slide':
        results['train'] = compare_training(model, torch.randn(args.batch, 3, crop, crop, device=device), args.repeats)
    return results


if __name__ == '__main__':
    main()
