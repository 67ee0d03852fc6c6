"""Draw predictions of a DenseCLIP segmentor or detector, the ground truth, and score maps of class names.

vlprompt show-score-map denseclip_r50_fpn_80k_ade20k-512x512 \
    work_dirs/denseclip_r50_fpn_80k_ade20k-512x512/iter_80000.pth --from-test-set 4 --out scores
vlprompt show-score-map denseclip_r50_fpn_80k_ade20k-512x512 \
    work_dirs/denseclip_r50_fpn_80k_ade20k-512x512/iter_80000.pth --images street.jpg \
    --class-names road "red bus" cyclist --out scores
vlprompt show-score-map denseclip_r50_fpn_80k_ade20k-512x512 \
    work_dirs/denseclip_r50_fpn_80k_ade20k-512x512/iter_80000.pth --images street.jpg --masks street.png --out scores

One PNG per image. The prediction is among the classes of the training; score maps are drawn for any names, by default
those of the classes in the picture: predicted (objects with a score of 0.3 and more) or true. They are cosines of the
whole image at the size of the test pipeline, even if the prediction is made window by window. A name with more tokens
than the model has room for needs a larger context_length, as the error says.
"""

import argparse
import inspect
from collections.abc import Iterator
from pathlib import Path

from vlprompt.apis.command_line import ToolParser, add_image_options, add_model_options, before_imports, call


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    parser = ToolParser(__doc__)
    add_model_options(parser)
    add_image_options(parser)
    parser.add_argument('--masks', nargs='+', metavar='FILE', help='ground truth of --images, in the same order')
    parser.add_argument('--class-names', nargs='+', metavar='NAME', help='names to draw score maps for')
    parser.add_argument('--stretch', action='store_true', help='colour every name from its own minimum to its maximum')
    parser.add_argument('--out', required=True, metavar='DIR', help='folder of the pictures')
    args = parser.parse_args(argv)
    if args.masks and len(args.masks) != len(args.images or ()):
        parser.error('--masks needs one file for each of --images')
    return args


before_imports(parse_args, __name__)

import numpy as np
import torch
from mmengine.config import Config
from mmengine.dataset import Compose
from mmengine.structures import BaseDataElement as DataSample
from torch import nn

from vlprompt.apis import load_files, model_from, runs
from vlprompt.apis.score_maps import score_maps_of
from vlprompt.datasets.dense.palette import mask_palette, voc_palette
from vlprompt.datasets.exif import applies_exif
from vlprompt.datasets.images import numbered_name, numbered_pattern
from vlprompt.engine.config_check import resolve
from vlprompt.engine.hooks.data import agree_with_data
from vlprompt.errors import ConfigError
from vlprompt.files import set_aside
from vlprompt.prompts import readable
from vlprompt.registry import DATASETS
from vlprompt.visualization import (
    Segmentation,
    draw_score_maps,
    fit_longest_side,
    objects_of,
    paint_objects,
    read_image,
    save_figure,
    title_of,
)

SCORE = 0.3
"""Smallest score of a detection that is shown."""


def load_samples(args: argparse.Namespace, model: nn.Module, num_classes: int) -> Iterator[dict]:
    """Images, with masks if there are any, through the config's test pipeline."""
    cfg = model.cfg
    dataset_cfg = cfg.test_dataloader.dataset
    if args.from_test_set:
        dataset = DATASETS.build(dataset_cfg)
        agree_with_data(model, dataset, f'the test set of {args.config}')
        yield from (dataset[index] for index in runs.evenly_spaced(len(dataset), args.from_test_set))
        return
    if not args.masks:
        yield from load_files(model, args.images)
        return
    if cfg.default_scope == 'mmdet':
        raise ConfigError('--masks are for segmentors; the truth of detectors comes with --from-test-set')
    pipeline = Compose(dataset_cfg.pipeline)
    meaning = {key: option_of(cfg, key) for key in ('reduce_zero_label', 'ignore_index')}
    for path, mask in zip(args.images, args.masks, strict=True):
        annotation = dict(seg_map_path=mask, num_classes=num_classes, label_map=None, seg_fields=[])
        yield pipeline(dict(img_path=path, **annotation, **meaning))


def test_set_class(cfg: Config) -> type:
    """The class of the test set."""
    return resolve(cfg.test_dataloader.dataset.type, [DATASETS], cfg.default_scope)


def option_of(cfg: Config, name: str) -> object:
    """An argument of the test set from its config, or else its default, without loading it."""
    given = cfg.test_dataloader.dataset
    if name in given:
        return given[name]
    constructors = (inspect.signature(cls.__init__).parameters for cls in test_set_class(cfg).__mro__)
    return next(parameters[name].default for parameters in constructors if name in parameters)


def palette_of(cfg: Config, num_classes: int) -> list:
    """The colours of the test set's classes, or those of PASCAL VOC."""
    if cfg.default_scope == 'mmdet':
        return voc_palette(num_classes + 1)[1:]
    palette = cfg.test_dataloader.dataset.get('palette') or test_set_class(cfg).METAINFO.get('palette')
    if palette and len(palette) == num_classes:
        return palette
    return mask_palette(num_classes, bool(option_of(cfg, 'reduce_zero_label')))


def detection_panels(
    predicted: DataSample, image: np.ndarray, palette: list
) -> tuple[list[tuple[str, np.ndarray]], list[int]]:
    """Captions and pictures of predicted and true objects, and the classes of both."""
    found = {f'objects, {100 * SCORE:.0f} % and more': objects_of(predicted.pred_instances).above(SCORE)}
    if 'bboxes' in predicted.get('gt_instances', ()):
        found['ground truth'] = objects_of(predicted.gt_instances)
    pictures = [
        (caption, fit_longest_side(paint_objects(image, objects, palette))) for caption, objects in found.items()
    ]
    return pictures, sorted({int(label) for objects in found.values() for label in objects.labels})


def segmentation_of(predicted: DataSample, image: np.ndarray, classes: list[str], palette: list) -> Segmentation:
    """Prediction and, if known, truth of a segmentor."""
    truth = predicted.gt_sem_seg.data[0].cpu().numpy() if 'gt_sem_seg' in predicted else None
    shown = Segmentation(predicted.pred_sem_seg.data[0].cpu().numpy(), classes, palette, truth)
    return shown.resized(fit_longest_side(image).shape[:2])


@torch.no_grad()
def main(argv: list[str] | None = None) -> None:
    args = parse_args(argv)
    model = model_from(args)
    if not hasattr(model, 'score_map'):
        raise ConfigError(f'{args.config}: {type(model).__name__} has no score maps; use a model of type DenseCLIP')
    classes = [readable(name) for name in model.class_names]
    palette = palette_of(model.cfg, len(classes))
    set_aside(args.out, [numbered_pattern(3)], keep=[*(args.images or ()), *(args.masks or ())])
    for number, sample in enumerate(load_samples(args, model, len(classes))):
        batch = dict(inputs=[sample['inputs']], data_samples=[sample['data_samples']])
        predicted = model.test_step(batch)[0]
        scores = score_maps_of(model, sample, args.class_names)

        path = Path(predicted.img_path)
        image = read_image(path, applies_exif(model.cfg.test_dataloader.dataset.pipeline))
        segmentation, pictures = None, []
        if 'pred_instances' in predicted:
            pictures, present = detection_panels(predicted, image, palette)
        else:
            segmentation = segmentation_of(predicted, image, classes, palette)
            present = segmentation.present()
        if args.class_names is None:
            present = present or scores.amax(dim=(1, 2)).topk(min(4, len(classes))).indices.tolist()
            scores = scores[present]
        names = args.class_names or [classes[k] for k in present]
        title = title_of(path)
        figure = draw_score_maps(fit_longest_side(image), scores, names, segmentation, title, args.stretch, pictures)
        print(save_figure(figure, Path(args.out, numbered_name(number, path, digits=3))))


if __name__ == '__main__':
    call(main)
