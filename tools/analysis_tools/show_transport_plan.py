"""Draw the transport plans of a PLOT model: the mass of each prompt of a class over an image.

vlprompt show-transport-plan plot_rn50 \
    work_dirs/plot_rn50_caltech101_16shot/epoch_200.pth --from-test-set 8 --out plans
vlprompt show-transport-plan plot_rn50 \
    work_dirs/plot_rn50_caltech101_16shot/epoch_200.pth --images cat.jpg dog.jpg --classes cat "sea lion" --out plans

One PNG per image: a row for each class, a column for each prompt. Colours show T*M*N, the plan relative to the
uniform one, on one scale for all pictures of a call; with --stretch each prompt has its own. How far a plan is from the
uniform one is printed, and written to transport_plans.json: its entropy (1: uniform), and the share of its mass, and of
that of each prompt, that is not where the uniform plan has it (0: uniform).
"""

import argparse
import json
from pathlib import Path

from vlprompt.apis.command_line import (
    ToolParser,
    add_image_options,
    add_model_options,
    before_imports,
    call,
    positive,
)


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    parser = ToolParser(__doc__)
    add_model_options(parser)
    add_image_options(parser)
    parser.add_argument('--classes', nargs='+', metavar='NAME', help='classes to show')
    parser.add_argument(
        '--top-k', type=positive, default=2, help='without --classes: the K most likely classes besides the true one'
    )
    parser.add_argument(
        '--stretch',
        action='store_true',
        help="stretch every panel to its own minimum and maximum, as in the paper's figures",
    )
    parser.add_argument('--out', required=True, metavar='DIR', help='folder of the pictures')
    return parser.parse_args(argv)


before_imports(parse_args, __name__)

from mmengine.config import Config
from torch import nn

from vlprompt.apis import load_files, model_from, runs
from vlprompt.apis.plans import align_sample, check_plans
from vlprompt.datasets.images import numbered_name, numbered_pattern
from vlprompt.errors import ConfigError
from vlprompt.files import set_aside
from vlprompt.prompts import readable
from vlprompt.registry import DATASETS
from vlprompt.visualization import (
    class_plans,
    deviation_limit,
    draw_transport_plans,
    save_figure,
    title_of,
)


def load_samples(args: argparse.Namespace, cfg: Config, model: nn.Module) -> list[dict]:
    """Images through the config's test pipeline: dicts with ``inputs`` and ``data_samples``."""
    dataset_cfg = cfg.test_dataloader.dataset
    if args.images:
        return [*load_files(model, args.images)]
    dataset = DATASETS.build(dataset_cfg)
    if list(map(readable, dataset.metainfo['classes'])) != list(map(readable, model.class_names)):
        raise ConfigError(
            f'{args.config}: the test set has {len(dataset.metainfo["classes"])} classes that are not the '
            f'{len(model.class_names)} of model.class_names, so its labels mean nothing to the model'
        )
    return [dataset[index] for index in runs.evenly_spaced(len(dataset), args.from_test_set)]


def class_indices(names: list[str], model: nn.Module, config: str) -> list[int]:
    """Indices of the requested classes; spaces and underscores are equal."""
    known = [readable(name) for name in model.class_names]
    for name in names:
        if readable(name) not in known:
            raise ConfigError(
                f'--classes: {name!r} is not a class of {config}; its {len(known)} are {", ".join(known)}'
            )
    return [known.index(readable(name)) for name in names]


def main(argv: list[str] | None = None) -> None:
    args = parse_args(argv)
    model = model_from(args)
    check_plans(model, args.config)
    asked = class_indices(args.classes, model, args.config) if args.classes else None
    figures = []
    for sample in load_samples(args, model.cfg, model):
        image, aligned = align_sample(model, sample)
        annotated = sample['data_samples']
        true = int(annotated.gt_label) if 'gt_label' in annotated else None
        rows = class_plans(aligned, 0, model.class_names, true, args.top_k, asked)
        figures.append((Path(annotated.img_path), image, rows))

    out = Path(args.out)
    set_aside(out, ['transport_plans.json', numbered_pattern(3)], keep=args.images or ())
    limit = deviation_limit([row.plan for _, _, rows in figures for row in rows])
    for number, (path, image, rows) in enumerate(figures):
        figure = draw_transport_plans(image, rows, title_of(path), limit, args.stretch)
        print(save_figure(figure, out / numbered_name(number, path, digits=3)))
        for row in rows:
            prompts = ', '.join(f'{100 * value:.1f}' for value in row.prompt_deviations)
            print(f'  {row.name}{f" ({row.note})" if row.note else ""}: {row.numbers} (by prompt: {prompts})')
    content = [dict(image=str(path), classes=[row.described() for row in rows]) for path, _, rows in figures]
    (out / 'transport_plans.json').write_text(json.dumps(content, indent=1) + '\n', encoding='utf-8')


if __name__ == '__main__':
    call(main)
