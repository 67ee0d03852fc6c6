"""Analyse the features of a classifier: nearest neighbours, spread of classes, domains, use of group prompts.

vlprompt analyse-features lpt_micro-vit \
    work_dirs/lpt_micro-vit_scenes_lt/groups/epoch_4.pth --reference generated --out work_dirs/analysis

One pass over the training images (without augmentation) and one over the test images compute the features of the
frozen trunk and of the tuned model; everything else follows from them:

* K-NN accuracy: test images classified by a vote of the nearest (long-tailed) training images;
* inner-class distance R_i (mean and deviation over classes) and the inner/inter ratio, on test images;
* lda.png, with --reference: pretraining and target images before and after tuning, along the directions that
  separate these four groups best;
* prompt_usage.png, with a prompt pool: which group prompts test images choose.

Also writes analysis.json and analysis.md.
"""

import argparse
import json
from pathlib import Path
from typing import Any

from vlprompt.apis.command_line import ToolParser, add_model_options, before_imports, call, positive


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    parser = ToolParser(__doc__)
    add_model_options(parser)
    parser.add_argument('--out', required=True, type=Path, metavar='DIR', help='folder of the results')
    parser.add_argument('--normalize', choices=['none', 'l2'], default='none', help='scale features before distances')
    parser.add_argument(
        '--k', type=positive, default=20, help='neighbours of the main table; the others are listed below it'
    )
    parser.add_argument('--convention', choices=['oltr', 'lpt'], default='oltr', help='of many, medium and few')
    parser.add_argument(
        '--reference',
        metavar='DIR',
        help="folder of images of the pretraining domain, or 'generated': scenes like those of the micro models",
    )
    parser.add_argument('--lda-images', type=positive, default=128, help='images of each group in lda.png')
    parser.add_argument('--batch-size', type=positive, default=64, help='images of a batch')
    return parser.parse_args(argv)


before_imports(parse_args, __name__)

import numpy as np
import torch
from mmengine.dataset import Compose
from PIL import Image
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.data import Dataset

from vlprompt.apis import load_files, model_from, runs
from vlprompt.apis.feature_table import FeatureTable, feature_table
from vlprompt.apis.inference import LeftOut
from vlprompt.datasets.generated import generate, pretraining_options
from vlprompt.errors import ConfigError
from vlprompt.evaluation import ShotAccuracy, shot_groups
from vlprompt.evaluation.feature_analysis import (
    class_spread,
    knn_predict,
    lda_projection,
    prompt_usage,
)
from vlprompt.files import set_aside
from vlprompt.registry import DATASETS
from vlprompt.visualization import draw_projection, draw_prompt_usage, save_figure

NEIGHBOURS = (1, 5, 10, 20, 200)
GROUPS = ('overall', 'many', 'medium', 'few')


# ------------------------------------------------------------------------------------------------------------- images


class GeneratedImages(Dataset):
    """``count`` scenes such as the micro models' training data, through a test pipeline."""

    def __init__(self, count: int, pipeline: list[dict]) -> None:
        self.transforms = Compose(pipeline)
        self.count = count

    def __len__(self) -> int:
        return self.count

    def __getitem__(self, index: int) -> dict:
        scene = generate(seed=1, index=index, size=128, **pretraining_options())
        return self.transforms(dict(img=Image.fromarray(scene.image), img_path=f'scene {index}'))


def reference_images(source: str, count: int, model: nn.Module, out: Path) -> Dataset:
    """Images without labels through the model's test pipeline: files of a folder, without those in ``out``, or
    generated scenes.
    """
    if source == 'generated':
        return GeneratedImages(count, model.cfg.test_dataloader.dataset.pipeline)
    try:
        found = LeftOut().files_of([Path(source)], results=out)
    except FileNotFoundError as error:
        raise FileNotFoundError(f'--reference: there is no image in {source}') from error
    return load_files(model, [found[index] for index in runs.evenly_spaced(len(found), count)])


# ----------------------------------------------------------------------------------------------------------- analyses


def scaled(features: Tensor, how: str) -> Tensor:
    return F.normalize(features, dim=1) if how == 'l2' else features


def analyse_view(
    name: str, train: FeatureTable, test: FeatureTable, counts: list[int], args: argparse.Namespace
) -> dict:
    """Numbers of the features ``name``, ``'trunk'`` or ``'tuned'``."""
    bank, queries = (scaled(table.features[name], args.normalize) for table in (train, test))
    ks = sorted({k for k in (*NEIGHBOURS, args.k) if k <= len(bank)})
    knn: dict[str, dict[str, dict]] = {}
    for metric in ('cosine', 'euclidean'):
        predicted = knn_predict(queries, bank, train.labels, ks, metric)
        knn[metric] = {
            str(k): ShotAccuracy.calculate(test.labels.numpy(), labels.numpy(), counts, args.convention)
            for k, labels in predicted.items()
        }
    spread_of_classes = class_spread(queries, test.labels)._asdict()
    spread_of_classes['inner'] = [round(value, 5) for value in spread_of_classes['inner'].tolist()]
    return dict(knn=knn, spread=spread_of_classes)


def analyse_usage(test: FeatureTable, size: int, counts: list[int], args: argparse.Namespace) -> dict[str, Any]:
    """Numbers and picture of the group prompts that test images choose."""
    usage = prompt_usage(test.groups, size)
    parts = {}
    for name, labels in shot_groups(counts, args.convention).items():
        chosen = test.groups[torch.isin(test.labels, torch.from_numpy(labels))]
        parts[name] = torch.bincount(chosen.flatten(), minlength=size).numpy()
    note = f'{usage.used} of {size} in use, entropy {usage.entropy:.2f}, {usage.top_set:.0%} take the same set'
    figure = draw_prompt_usage(parts, 'Group prompts chosen by test images', note)
    print(save_figure(figure, args.out / 'prompt_usage.png'))
    return usage._asdict() | dict(counts=usage.counts.tolist(), groups={k: v.tolist() for k, v in parts.items()})


def draw_domains(test: FeatureTable, reference: FeatureTable, args: argparse.Namespace) -> None:
    """lda.png: each model and domain is a group."""
    chosen = runs.evenly_spaced(len(test.labels), args.lda_images)
    features, names = [], []
    for view in test.features:
        for domain, part in (('pretraining', reference.features[view]), ('target', test.features[view][chosen])):
            features.append(scaled(part, args.normalize).numpy())
            names += [f'{view}, {domain} images'] * len(part)
    groups = np.unique(names, return_inverse=True)[1]
    features = np.concatenate(features)
    components = min(2, groups.max())
    points = features @ lda_projection(features, groups, components)
    if components == 1:  # two groups have one direction; the second only spreads the points
        points = np.column_stack([points[:, 0], np.random.default_rng(0).normal(size=len(points))])
    print(save_figure(draw_projection(points, names, 'Domains before and after tuning (LDA)'), args.out / 'lda.png'))


# ------------------------------------------------------------------------------------------------------------- report


def markdown(result: dict[str, Any]) -> str:
    """The numbers as tables."""
    head = f'K-NN accuracy (K={result["k"]}, cosine, %)'
    lines = [
        f'`{result["config"]}`, `{result["checkpoint"]}`: {result["train_images"]} training images, '
        f'{result["test_images"]} test images, features scaled: {result["normalize"]}; classes by training images '
        f'({result["convention"]}): ' + ', '.join(f'{size} {name}' for name, size in result['classes'].items()) + '.',
        '',
        f'| features | {head}: ' + ' | '.join(GROUPS) + ' | R_i | inner/inter | pairwise | mean norm |',
        '|---|' + '---|' * (len(GROUPS) + 4),
    ]
    for name, view in result['views'].items():
        accuracy, space = view['knn']['cosine'][str(result['k'])], view['spread']
        cells = [_percent(accuracy, group) for group in GROUPS]
        cells += [f'{space["inner_mean"]:.3f} ± {space["inner_std"]:.3f}']
        cells += [f'{space[key]:.3f}' for key in ('ratio', 'ratio_pairs', 'norm')]
        lines.append(f'| {name} | ' + ' | '.join(cells) + ' |')
    lines += ['', '| features | distance | K | ' + ' | '.join(GROUPS) + ' |', '|---|---|---|' + '---|' * len(GROUPS)]
    for name, view in result['views'].items():
        for metric, table in view['knn'].items():
            for k, accuracy in table.items():
                cells = ' | '.join(_percent(accuracy, group) for group in GROUPS)
                lines.append(f'| {name} | {metric} | {k} | {cells} |')
    if 'prompt_usage' in result:
        usage = result['prompt_usage']
        lines += [
            '',
            f'Group prompts: {usage["used"]} of {len(usage["counts"])} in use, entropy {usage["entropy"]:.3f} of 1, '
            f'the most frequent set is taken by {usage["top_set"]:.1%} of the test images.',
        ]
    return '\n'.join(lines) + '\n'


def _percent(accuracy: dict[str, float], group: str) -> str:
    return f'{accuracy[group]:.2f}' if group in accuracy else '-'


def main(argv: list[str] | None = None) -> None:
    args = parse_args(argv)
    model = model_from(args)
    cfg = model.cfg
    for loader in ('train_dataloader', 'test_dataloader'):
        if cfg.get(loader) is None:
            raise ConfigError(f'{args.config} has no {loader}: features of training and of test images are compared')
    test_pipeline = cfg.test_dataloader.dataset.pipeline
    train_set = DATASETS.build(dict(cfg.train_dataloader.dataset, pipeline=test_pipeline))
    test_set = DATASETS.build(cfg.test_dataloader.dataset)
    if train_set.metainfo['classes'] != test_set.metainfo['classes']:
        raise ConfigError(f'{args.config}: training and test images have other classes, so their labels do not agree')
    if args.k > len(train_set):
        raise ConfigError(f'--k {args.k}: there are only {len(train_set)} training images')
    images = None
    if args.reference is not None:
        images = reference_images(args.reference, args.lda_images, model, args.out)
    workers = cfg.test_dataloader.num_workers
    train = feature_table(model, train_set, args.batch_size, workers)
    test = feature_table(model, test_set, args.batch_size, workers)
    counts = torch.bincount(train.labels, minlength=len(test_set.metainfo['classes'])).tolist()
    set_aside(args.out, ['analysis.json', 'analysis.md', 'prompt_usage.png', 'lda.png'])
    args.out.mkdir(parents=True, exist_ok=True)
    result: dict[str, Any] = dict(
        config=args.config,
        checkpoint=args.checkpoint,
        train_images=len(train.labels),
        test_images=len(test.labels),
        normalize=args.normalize,
        k=args.k,
        convention=args.convention,
        classes={name: len(labels) for name, labels in shot_groups(counts, args.convention).items()},
        views={name: analyse_view(name, train, test, counts, args) for name in test.features},
    )
    if test.groups is not None:
        result['prompt_usage'] = analyse_usage(test, len(model.tuner.pool.keys), counts, args)
    if images is not None:
        draw_domains(test, feature_table(model, images, args.batch_size, workers), args)
    text = markdown(result)
    (args.out / 'analysis.json').write_text(json.dumps(result, indent=1) + '\n', encoding='utf-8')
    (args.out / 'analysis.md').write_text(text, encoding='utf-8')
    print(text)


if __name__ == '__main__':
    call(main)
