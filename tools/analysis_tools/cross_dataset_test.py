"""Test one re-identification model on several datasets, whatever it was trained on.

vlprompt cross-dataset-test clipreid_vit-b16 \
    work_dirs/clipreid_vit-b16_msmt17/finetune/epoch_60.pth --dataset msmt17 \
    --datasets market1501 dukemtmc=/disk/DukeMTMC-reID data/mine --out cross.json

A dataset is a benchmark in its folder below data/, a benchmark in another folder (NAME=DIR), or a folder in
Market-1501's layout. Classifiers are ignored; images go through the config's test pipeline, and are ranked as its
test_evaluator does, on other datasets than its own with their protocol for cameras and draws. If the model was trained
with side information, they get the mean over its cameras.
"""

import argparse
import json
from pathlib import Path

from vlprompt.apis.command_line import ToolParser, add_model_options, before_imports, call, natural


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    parser = ToolParser(__doc__)
    add_model_options(parser)
    parser.add_argument(
        '--datasets',
        nargs='+',
        required=True,
        metavar='NAME[=DIR]',
        help='folders, or datasets such as market1501 (vlprompt list --datasets lists them under reid)',
    )
    parser.add_argument('--rerank', action='store_true', help='also report k-reciprocal re-ranking')
    parser.add_argument('--rescore', action='store_true', help='also report training-free re-scoring')
    parser.add_argument('--out', metavar='FILE.json', help='also write the metrics, after every dataset')
    parser.add_argument('--workers', type=natural, default=2, help='processes that load images')
    return parser.parse_args(argv)


before_imports(parse_args, __name__)

from torch import nn

from vlprompt.apis import describe_images, model_from, retrieval_metric, stack_descriptors
from vlprompt.datasets import ReIDDataset
from vlprompt.datasets.presets import PRESETS
from vlprompt.engine.hooks.data import agree_with_data
from vlprompt.evaluation import RetrievalMetric
from vlprompt.files import written_whole


def evaluate(model: nn.Module, args: argparse.Namespace, name: str) -> dict[str, float]:
    """Metrics of one dataset."""
    loader = model.cfg.test_dataloader
    dataset = ReIDDataset(**place_of(name), split='test', pipeline=loader.dataset.pipeline)
    agree_with_data(model, dataset, name)
    samples = describe_images(model, dataset, loader.batch_size, args.workers)
    metric = metric_of(model, args, name)
    images, is_query = stack_descriptors(samples), [sample.is_query for sample in samples]
    return metric.calculate(images.features, images.pids, images.camids, is_query, files=images.files)


def metric_of(model: nn.Module, args: argparse.Namespace, name: str) -> RetrievalMetric:
    """The config's metric; on other datasets than the config's, with their protocol: queries drawn or not, cameras."""
    changes = dict(device=args.device)
    if not is_own(model, name):
        changes |= dict(same_camera='remove', repeats=10 if name.startswith('vehicleid') else 0)
    own = retrieval_metric(model.cfg)
    changes |= {way: dict() for way in ('rerank', 'rescore') if getattr(args, way) and getattr(own, way) is None}
    return retrieval_metric(model.cfg, **changes)


def place_of(name: str) -> dict[str, str | None]:
    """``data_root`` and ``dataset`` of an argument of ``--datasets``.

    >>> place_of('msmt17=/disk/MSMT17')
    {'dataset': 'msmt17', 'data_root': '/disk/MSMT17'}
    >>> place_of('data/mine')
    {'data_root': 'data/mine'}
    """
    benchmark, _, folder = name.partition('=')
    return dict(dataset=benchmark, data_root=folder or None) if benchmark in PRESETS['reid'] else dict(data_root=name)


def is_own(model: nn.Module, name: str) -> bool:
    """Whether an argument of ``--datasets`` is the dataset of the config."""
    dataset, place = model.cfg.test_dataloader.dataset, place_of(name)
    if 'dataset' in place:
        return place['dataset'] == dataset.get('dataset')
    root = dataset.get('data_root')
    return root is not None and Path(place['data_root']).absolute() == Path(root).absolute()


def main(argv: list[str] | None = None) -> None:
    args = parse_args(argv)
    model = model_from(args)
    side_information = getattr(model, 'sie', None)
    results = {}
    for name in args.datasets:
        if side_information is not None:
            side_information.at_test = 'own' if is_own(model, name) else 'mean'
        results[name] = evaluate(model, args, name)
        values = '  '.join(f'{metric} {value:6.2f}' for metric, value in results[name].items())
        print(f'{name:20}  {values}', flush=True)
        if args.out:
            with written_whole(args.out) as file:
                file.write_text(json.dumps(results, indent=2) + '\n')


if __name__ == '__main__':
    call(main)
