"""What segmentation by words costs with many classes: time of the text, time and memory of an image.

NACLIP's config on ViT-B/16 with random weights (speed does not depend on their values), the 171 names of COCO-Stuff in
80 templates, an image of 512 x 683 pixels, labelled as the config does: the shorter side resized to 336 pixels, windows
of 224 every 112, cosines of all pixels, their mean, resizing to the file, softmax. The text is encoded with the first
image and kept. The other side encodes it for every image. Refinement by pixels (PAMR) is measured apart.

Memory is the peak of what is allocated above the model: of a GPU, or on a CPU of the process during an image.

    python dev/benchmarks/segment_by_words.py
    python dev/benchmarks/segment_by_words.py --device cuda --repeats 20
    python dev/benchmarks/segment_by_words.py --quick      # the built-in model, 5 names: shows that it runs
"""

from __future__ import annotations

import resource
import sys
import time
from collections.abc import Callable, Sequence

import torch
from mmseg.structures import SegDataSample
from torch import Tensor

from dev.benchmarks.timing import benchmark_parser, describe_machine, in_turns, megabytes, peak_bytes, prepare
from vlprompt.apis import init_model
from vlprompt.models.dense.class_names import dense_class_names
from vlprompt.models.segmentors import ClipSegmentor

SIZE = (512, 683)
"""Height and width of the file in pixels."""
SHORT_SIDE = 336


def build(args, refine: bool) -> ClipSegmentor:
    """The model of the config, with or without refinement by pixels."""
    name = 'naclip_micro-vit' if args.quick else 'naclip_vit-b16'
    names = dense_class_names('coco_stuff', 'mmseg')[: 5 if args.quick else None]
    options = {'model.clip.weights': None, 'windows': 'slide', 'dataset': 'coco_stuff'}
    options |= {} if refine else {'model.refine': None}
    return init_model(name, cfg_options=options, class_names=names, device=args.device)


def label(model: ClipSegmentor, images: Tensor) -> Tensor:
    """Labels of the pixels of an image that was resized from :data:`SIZE`."""
    sample = SegDataSample(metainfo=dict(ori_shape=SIZE, img_shape=tuple(images.shape[-2:])))
    with torch.no_grad():
        (found,) = model(images, [sample], mode='predict')
    return found.pred_sem_seg.data


def peak(run: Callable[[], object], device: torch.device) -> int:
    """Peak memory of a call in bytes; on a CPU, by how much it raised the largest memory of the process."""
    if device.type == 'cuda':
        return peak_bytes(run, device)
    unit = 1 if sys.platform == 'darwin' else 1024
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    run()
    return unit * (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)


def main(argv: Sequence[str] | None = None) -> dict[str, float]:
    """Print the figures and return them: seconds of the text, and of an image with kept and with new text."""
    args = benchmark_parser(__doc__, repeats=5, dtype=False).parse_args(argv)
    prepare(args)
    model, refined = build(args, refine=False), build(args, refine=True)
    scale = SHORT_SIDE / min(SIZE)
    images = torch.randn(1, 3, *(round(side * scale) for side in SIZE), device=args.device)
    print(f'{describe_machine(args.device)}; {len(model.class_names)} classes, {SIZE[0]} x {SIZE[1]} pixels')

    start = time.perf_counter()
    with torch.no_grad():
        text = model.text_features()
    seconds = time.perf_counter() - start
    print(f'text, once: {seconds:.1f} s, {megabytes(text.numel() * text.element_size())} kept')
    memory = peak(lambda: label(model, images), args.device)
    refined._text_cache = model._text_cache
    sides = {'an image': lambda: label(model, images), 'with refinement': lambda: label(refined, images)}
    timed = in_turns(sides, args.device, args.repeats)
    for name, side in timed.items():
        print(f'{name:<16} {side.seconds:6.2f} s')
    alone = timed['an image'].seconds
    print(f'with the text encoded for every image {seconds + alone:.2f} s   {(seconds + alone) / alone:.1f}x as long')
    print(f'memory of an image: {megabytes(memory)} above the model')
    return dict(text=seconds, image=alone, refined=timed['with refinement'].seconds, memory=memory)


if __name__ == '__main__':
    main()
