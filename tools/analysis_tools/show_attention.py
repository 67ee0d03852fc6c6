"""Draw the contributions of image regions to a descriptor: gradient-weighted maps of a re-identification model.

vlprompt show-attention clipreid_vit-b16 \
    work_dirs/clipreid_vit-b16_market1501/finetune/epoch_60.pth --images a.jpg b.jpg --out maps.png
vlprompt show-attention clipreid_vit-b16 \
    work_dirs/clipreid_vit-b16_market1501/finetune/epoch_60.pth --from-test-set 6 --out maps.png
vlprompt show-attention clipreid_vit-b16 \
    work_dirs/clipreid_vit-b16_market1501/finetune/epoch_60.pth --images a.jpg b.jpg --query q.jpg --out maps.png

With --query, a map shows the regions that agree with that image, without it, contributions to the image's own
descriptor. Every map is coloured from zero to its
own maximum.
"""

import argparse
from pathlib import Path

from vlprompt.apis.command_line import ToolParser, add_image_options, add_model_options, before_imports, call


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    parser = ToolParser(__doc__)
    add_model_options(parser)
    add_image_options(parser)
    parser.add_argument('--query', metavar='FILE', help='image whose descriptor the others are compared with')
    parser.add_argument('--out', required=True, metavar='FILE.png', help='the picture')
    return parser.parse_args(argv)


before_imports(parse_args, __name__)

import torch

from vlprompt.apis import load_files, model_from, runs
from vlprompt.engine.hooks.data import agree_with_data
from vlprompt.errors import ConfigError
from vlprompt.registry import DATASETS
from vlprompt.visualization import save_figure, title_of
from vlprompt.visualization.gradient_maps import draw_gradient_maps, gradient_maps


def main(argv: list[str] | None = None) -> None:
    args = parse_args(argv)
    model = model_from(args)
    if not hasattr(model, 'describe'):
        raise ConfigError(f'{args.config}: {type(model).__name__} has no descriptors; use a model of type ReIdentifier')
    if args.from_test_set:
        dataset = DATASETS.build(model.cfg.test_dataloader.dataset)
        agree_with_data(model, dataset, f'the test set of {args.config}')
        samples = [dataset[index] for index in runs.evenly_spaced(len(dataset), args.from_test_set)]
    else:
        samples = [*load_files(model, args.images)]
    queries = [*load_files(model, [args.query])] if args.query else []
    if not args.from_test_set and model.sie is not None:
        model.sie.at_test = 'mean'  # the camera of a file is unknown
    batch = dict(
        inputs=[sample['inputs'] for sample in samples + queries],
        data_samples=[sample['data_samples'] for sample in samples + queries],
    )
    data = model.data_preprocessor(batch)
    with torch.no_grad():
        targets = model(**data, mode='tensor')
    count = len(samples)
    if queries:
        targets = targets[-1:].expand(len(targets), -1)
    maps = gradient_maps(model, data['inputs'], targets, data['data_samples'])
    paths = [Path(sample.img_path) for sample in batch['data_samples']]
    pictures = [image.permute(1, 2, 0).numpy() for image in batch['inputs']]
    order = list(range(count, len(paths))) + list(range(count))
    captions = [('query: ' if i >= count else '') + title_of(paths[i].stem) for i in order]
    title = f'agreement with {title_of(paths[-1].name)}' if queries else "each image's own descriptor"
    print(save_figure(draw_gradient_maps([pictures[i] for i in order], maps[order], captions, title), args.out))


if __name__ == '__main__':
    call(main)
