"""Compare the forms of local features: do they fit the text, and do they say where things are?

vlprompt local-features zero-shot_micro-vit none --data scenes
vlprompt local-features plot_rn50 work_dirs/plot/epoch_200.pth \
    --data data/voc --split val --local native value --out work_dirs/local

The data are images with masks of named objects. Of the built-in world: scenes with one named object each, about the
classes of its dense tasks in usual styles (scenes) or about those of its few-shot task, which also name the place
(few-shot), and scenes of its segmentation task (segmentation); or a folder of images, masks and names, as
vlprompt.FolderSegDataset reads it. The model classifies among the names of the data. Prints a table of the measures
defined in docs/local_features.md; with --out also writes it as local_features.md and .json, and draws maps of the
cosines of named objects, form by form.

A form is a published name, or ATTENTION/full, ATTENTION/reduced or ATTENTION/reduced/SIGMA, such as kk/reduced/1.
"""

import argparse
import json
from pathlib import Path

from vlprompt.apis.command_line import (
    ToolParser,
    add_model_options,
    before_imports,
    call,
    local_form,
    natural,
    positive,
)


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    parser = ToolParser(__doc__)
    add_model_options(parser)
    parser.add_argument('--data', required=True, metavar='NAME', help='scenes, few-shot, segmentation, or a folder')
    parser.add_argument('--split', help='of the data (default: test for few-shot, val for others)')
    parser.add_argument(
        '--images', type=positive, metavar='N', help='that many images (default: 240, or all of a folder)'
    )
    parser.add_argument(
        '--local', nargs='+', type=local_form, metavar='FORM', help='forms to compare (default: all names)'
    )
    parser.add_argument(
        '--size', type=positive, help="shorter side of the images in pixels (default: that of the tower's own images)"
    )
    parser.add_argument('--out', type=Path, metavar='DIR', help='folder of table and pictures')
    parser.add_argument(
        '--pictures', type=natural, default=8, metavar='N', help='images to draw, spread evenly; 0: none'
    )
    parser.add_argument('--objects', nargs='+', metavar='NAME', help='draw only images with these objects')
    args = parser.parse_args(argv)
    if args.objects and args.out is None:
        parser.error('--objects are for the pictures, which need --out')
    return args


before_imports(parse_args, __name__)

import torch
from torch import nn

from vlprompt.apis import model_from, runs
from vlprompt.apis.local_features import (
    cell_of,
    check_model,
    fitted,
    forms_of,
    measure_forms,
    score_named,
    spelled,
)
from vlprompt.datasets.dense.palette import voc_palette
from vlprompt.datasets.generated.classes import OBJECT_CLASSES, SCENE_CLASSES
from vlprompt.datasets.images import numbered_pattern
from vlprompt.datasets.named_objects import (
    NamedImage,
    NamedObjects,
    few_shot_objects,
    folder_objects,
    scene_objects,
    segmentation_objects,
)
from vlprompt.errors import ConfigError
from vlprompt.files import set_aside
from vlprompt.visualization import Segmentation, draw_score_maps, save_figure

IMAGES = 240
COLUMNS = {
    'pooled zero-shot': '{pooled:.1f}',
    'cells': '{cells:.1f}',
    'cells inside': '{cells_inside:.1f}',
    'margin in / out': '{margin_in:.3f} / {margin_out:.3f}',
    'pointing': '{pointing:.1f}',
    'mIoU': '{miou:.1f}',
}
PLAN_COLUMNS = {
    'mass in object': '{mass_in_object:.2f}',
    'of the best prompt': '{best_prompt:.2f}',
    'spread of prompts': '{plan_spread:.4f}',
}


def load_data(args: argparse.Namespace) -> NamedObjects:
    """The images that ``--data`` names."""
    if args.data in ('scenes', 'few-shot'):
        classes = SCENE_CLASSES if args.data == 'few-shot' else OBJECT_CLASSES
        per_class, rest = divmod(args.images or IMAGES, len(classes))
        if rest:
            raise ConfigError(f'--images {args.images}: there are {len(classes)} classes of scenes; give a multiple')
        if args.data == 'few-shot':
            return few_shot_objects(args.split or 'test', per_class)
        if args.split:
            raise ConfigError(f'--split {args.split} has no effect on --data scenes, which has none')
        return scene_objects(per_class)
    if args.data == 'segmentation':
        return segmentation_objects(args.split or 'val', args.images or IMAGES)
    return folder_objects(args.data, args.split or 'val', args.images)


def markdown(args: argparse.Namespace, rows: dict[str, dict[str, float]], about: dict[str, float]) -> str:
    """The measures as a table, and what they were computed on."""
    chance = next(iter(rows.values()))['pointing_chance']
    columns = COLUMNS | (PLAN_COLUMNS if all('plan_spread' in row for row in rows.values()) else {})
    lines = [
        f'`{args.config}`, `{args.checkpoint}`: {about["images"]} images with {about["objects"]} named objects of '
        f'`{args.data}`. Global feature alone: {about["global"]:.1f} % zero-shot. Pointing by chance: {chance:.1f} %.',
        '',
        '| local features | ' + ' | '.join(columns) + ' |',
        '|---|' + '---|' * len(columns),
    ]
    lines += [
        f'| {name} | ' + ' | '.join(c.format(**row) for c in columns.values()) + ' |' for name, row in rows.items()
    ]
    return '\n'.join(lines) + '\n'


def draw(model: nn.Module, images: list[NamedImage], forms: list, args: argparse.Namespace) -> None:
    """One PNG per image: cosines of one of its named objects under each form."""
    names = model.class_names
    palette = voc_palette(len(names) + 1)[1:]
    for number, image in enumerate(images):
        present = [k for k in range(len(names)) if (image.mask == k).any()]
        wanted = [k for k in present if not args.objects or names[k] in args.objects]
        scored = score_named(model, image, forms)
        for k in wanted[:1]:
            maps = torch.stack([one.scores[:, k].unflatten(0, one.grid) for one in scored])
            truth = Segmentation(None, names, palette, image.mask)
            figure = draw_score_maps(image.image, maps, list(map(spelled, forms)), truth, f'“{names[k]}”', stretch=True)
            name = f'{number:03d}_{names[k]}'.replace(' ', '_').replace('/', '_')
            print(save_figure(figure, args.out / f'{name}.png'))


def chosen_images(data: NamedObjects, cell: int, size: int, args: argparse.Namespace) -> list[NamedImage]:
    """Images to draw, spread evenly over those with a wanted object."""
    names = args.objects or data.names
    ids = [k for k, name in enumerate(data.names) if name in names]
    found = [image for image in fitted(data, cell, size) if any((image.mask == k).any() for k in ids)]
    return [found[index] for index in runs.evenly_spaced(len(found), args.pictures)] if found else []


def main(argv: list[str] | None = None) -> None:
    args = parse_args(argv)
    data = load_data(args)
    if unknown := sorted(set(args.objects or ()) - set(data.names)):
        raise ConfigError(f'--objects: {", ".join(unknown)} are no names of the data; they are {", ".join(data.names)}')
    model = model_from(args, class_names=data.names)
    check_model(model, args.config)
    forms = args.local or list(forms_of(model))
    cell, size = cell_of(model), args.size or min(model.clip.visual.image_size)
    results, about = measure_forms(model, fitted(data, cell, size), forms)
    rows = {spelled(local): result for local, result in zip(forms, results, strict=True)}
    text = markdown(args, rows, about)
    print(text)
    if args.out is None:
        return
    set_aside(args.out, ['local_features.json', 'local_features.md'], [numbered_pattern(3)])
    args.out.mkdir(parents=True, exist_ok=True)
    content = dict(config=args.config, checkpoint=args.checkpoint, data=args.data, **about, forms=rows)
    (args.out / 'local_features.json').write_text(json.dumps(content, indent=1) + '\n', encoding='utf-8')
    (args.out / 'local_features.md').write_text(text, encoding='utf-8')
    draw(model, chosen_images(data, cell, size, args), forms, args)


if __name__ == '__main__':
    call(main)
