"""Draw samples of a config's data as in training: after the pipeline, with labels, masks or boxes.

vlprompt browse-dataset mask-rcnn_denseclip-r50_fpn_1x_coco --out samples
vlprompt browse-dataset plot_rn50 --dataset dtd --split test --out samples
vlprompt browse-dataset adaptformer_vit-b16_lift-plus --out samples --number 8 --epoch 3

One PNG per sample, spread evenly over the dataset, of classification, segmentation and detection configs alike. No
model is built.
"""

import argparse
from pathlib import Path
from typing import Any

from vlprompt.apis.command_line import ToolParser, add_config_options, before_imports, call, natural, positive


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    parser = ToolParser(__doc__)
    add_config_options(parser)
    parser.add_argument('--out', required=True, metavar='DIR', help='folder of the pictures')
    parser.add_argument('--number', type=positive, default=16, help='samples to draw')
    parser.add_argument('--split', choices=['train', 'val', 'test'], default='train', help='of the data')
    parser.add_argument(
        '--epoch', type=natural, default=0, help='augmentation of this epoch, if the dataset has epochs'
    )
    return parser.parse_args(argv)


before_imports(parse_args, __name__)

import numpy as np
from matplotlib.figure import Figure
from mmengine.config import Config
from mmengine.registry import init_default_scope

from vlprompt.apis import runs
from vlprompt.datasets.dense.palette import voc_palette
from vlprompt.datasets.images import numbered_name, numbered_pattern
from vlprompt.datasets.transforms import follow_progress
from vlprompt.errors import ConfigError
from vlprompt.files import set_aside
from vlprompt.prompts import readable
from vlprompt.registry import DATASETS
from vlprompt.visualization import (
    Segmentation,
    draw_image,
    draw_objects,
    draw_segmentation,
    objects_of,
    save_figure,
    title_of,
)


def main(argv: list[str] | None = None) -> None:
    args = parse_args(argv)
    cfg = runs.read_config(args)
    loader = cfg.get(f'{args.split}_dataloader')
    if loader is None:
        raise ConfigError(f'{args.config} has no {args.split}_dataloader')
    init_default_scope(cfg.get('default_scope', 'vlprompt'))
    dataset = DATASETS.build(loader.dataset)
    set_aside(args.out, [numbered_pattern()])
    follow_progress(dataset, args.epoch, (cfg.get('train_cfg') or {}).get('max_epochs') or 1)
    for index in runs.evenly_spaced(len(dataset), args.number):
        knows_epochs = hasattr(dataset, 'seed')
        sample = dataset[args.epoch * len(dataset) + index if knows_epochs else index]
        figure, path = draw(sample, dataset.metainfo, reads_bgr(cfg))
        print(save_figure(figure, Path(args.out, numbered_name(index, path))))


def reads_bgr(cfg: Config) -> bool:
    """Whether the model's preprocessor expects BGR, the order of OpenCV."""
    return bool((cfg.get('model', {}).get('data_preprocessor') or {}).get('bgr_to_rgb', False))


def draw(sample: dict[str, Any], meta: dict[str, Any], bgr: bool) -> tuple[Figure, Path]:
    """A packed sample as a picture, and the path of its image."""
    truth = sample['data_samples']
    image = np.ascontiguousarray(sample['inputs'].numpy().transpose(1, 2, 0))
    image = np.ascontiguousarray(image[..., ::-1]) if bgr else image
    path = Path(truth.get('img_path') or 'image')
    title = title_of(path)
    classes = [readable(name) for name in meta.get('classes') or ()]
    if 'gt_instances' in truth:
        return draw_objects(image, {'objects': objects_of(truth.gt_instances)}, classes, meta['palette'], title), path
    if 'gt_sem_seg' in truth:
        mask = truth.gt_sem_seg.data[0].numpy()
        palette = meta.get('palette') or voc_palette(len(classes))
        return draw_segmentation(image, Segmentation(None, classes, palette, mask), title), path
    label = int(truth.gt_label) if 'gt_label' in truth else None
    what = 'no label' if label is None else classes[label] if label < len(classes) else f'label {label}'
    return draw_image(image, what, title), path


if __name__ == '__main__':
    call(main)
