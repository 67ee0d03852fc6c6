"""Check a dataset: counts, missing and unreadable files, shared images, and what a run would warn of.

A supported dataset, your own data, or the data of a config:

    vlprompt check-dataset --dataset caltech101                    # in data/caltech-101
    vlprompt check-dataset --dataset caltech101 --data-root /disk/caltech-101
    vlprompt check-dataset --data-root data/mine                   # a folder per class
    vlprompt check-dataset --data-root data/mine --ann-file split.json
    vlprompt check-dataset coop_rn50 --dataset caltech101
    vlprompt check-dataset --dataset cifar100_lt --imbalance 100
    vlprompt check-dataset --long-tailed --data-root data/mine --ann-file '{split}.txt'
    vlprompt check-dataset --dataset market1501
    vlprompt check-dataset --reid --data-root data/mine          # in Market-1501's layout
    vlprompt check-dataset --dataset seg_folder --data-root data/mine   # images and masks
    vlprompt check-dataset --dataset coco_json --data-root data/mine    # boxes, perhaps masks
    vlprompt check-dataset --dataset ade20k

Counts are per class (images, pixels or boxes), or, for re-identification, identities, images and cameras per split. For
imbalanced training images, the imbalance ratio and the many-, medium- and few-shot classes are printed.

Every image and every mask is opened. The exit code is 1 if there is a problem.
"""

import argparse
import copy
import importlib
import sys
from collections.abc import Iterator
from functools import partial
from inspect import signature
from typing import Any

from vlprompt.apis.command_line import ToolParser, before_imports, call, natural, positive


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    parser = ToolParser(__doc__)
    parser.add_argument('config', nargs='?', help='a config with a test or training dataset')
    parser.add_argument('--data-root', help='folder of the dataset (default: its folder below data/)')
    parser.add_argument('--dataset', help="a supported dataset, such as 'caltech101'")
    parser.add_argument('--long-tailed', action='store_true', help='your own data is long-tailed')
    parser.add_argument('--imbalance', type=float, help='of a long-tailed dataset that is cut out of a balanced one')
    parser.add_argument('--split-seed', type=natural, help='of that draw (default: 0)')
    parser.add_argument('--reid', action='store_true', help='your own data is for re-identification')
    parser.add_argument('--ann-file', help='of your own data: *.json, *.csv or *.txt; without it a folder per class')
    parser.add_argument('--data-prefix', help='folder that image paths are relative to')
    parser.add_argument('--classes', help='text file with one class name per line, for folders and lists')
    parser.add_argument('--workers', type=positive, default=4, help='threads that open images')
    return parser.parse_intermixed_args(argv)


before_imports(parse_args, __name__)

from mmengine.config import Config
from mmengine.registry import DATASETS, init_default_scope

from vlprompt.apis import runs
from vlprompt.datasets.build_reader import build_classification_reader, build_reid_reader
from vlprompt.datasets.checks.classes import check_same_classes
from vlprompt.datasets.checks.identities import SearchRules
from vlprompt.datasets.checks.parts import ClassPart, Part
from vlprompt.datasets.checks.report import Report, check_datasets, check_reader
from vlprompt.datasets.presets import PRESETS
from vlprompt.datasets.reader import Reader
from vlprompt.engine import load_config
from vlprompt.engine.compose import compose
from vlprompt.engine.config_files import CONFIGS, config_names
from vlprompt.engine.data_checks import LOOPS, search_rules
from vlprompt.engine.phases import phase_configs

LAYOUTS = dict(folder=None, list='{split}.txt', split_json='split.json', csv='images.csv')
"""Layout of your own data -> its ``ann_file``."""

BUILDERS = dict(
    FewShotDataset=build_classification_reader,
    LongTailedDataset=partial(build_classification_reader, task='long_tailed'),
    ReIDDataset=build_reid_reader,
)
"""Type of a dataset -> function that builds its reader from some of its arguments."""

DENSE = dict(
    seg=('mmseg', 'vlprompt.datasets.dense.folder_seg'),
    det=('mmdet', 'vlprompt.datasets.dense.coco_instances'),
)
"""Task -> scope of its datasets, and the module that registers those of this package."""


def reports(args: argparse.Namespace) -> Iterator[Report]:
    """One report for each source of data that the arguments name.

    Raises:
        ValueError: an unknown dataset, or arguments that contradict each other.
    """
    if args.config is not None:
        refuse_others(args, 'the data of a config', 'config', 'dataset', 'data_root')
        options = dict(dataset=args.dataset, data_root=args.data_root)
        cfg = load_config(args.config, {key: value for key, value in options.items() if value is not None})
        yield from reports_of_config(cfg, args.config, args.workers)
        return
    for task, (scope, module) in DENSE.items():
        if args.dataset in config_names(CONFIGS / '_base_' / 'datasets' / task):
            refuse_others(args, f'dataset {args.dataset!r}', 'dataset', 'data_root')
            importlib.import_module(module)
            options = {} if args.data_root is None else dict(data_root=args.data_root)
            cfg = compose(Config(dict(task=task, dataset=args.dataset, default_scope=scope)), options)
            yield from reports_of_config(cfg, f'dataset {args.dataset!r}', args.workers)
            return
    yield check_reader(reader_of(args), workers=args.workers)


def refuse_others(args: argparse.Namespace, what: str, *used: str) -> None:
    """Raise a ValueError for an option that was given and has no effect on some kind of data."""
    for name, value in vars(args).items():
        if value is not None and value is not False and name not in (*used, 'workers'):
            option = '--' + name.replace('_', '-')
            raise ValueError(f'{option} has no effect on {what}: leave it out')


def reader_of(args: argparse.Namespace) -> Reader:
    """The reader of a dataset for classification or re-identification that the arguments name."""
    if args.dataset in LAYOUTS:
        args.reid |= args.dataset == 'csv'
        args.dataset, args.ann_file = None, args.ann_file or LAYOUTS[args.dataset]
    if args.reid or args.dataset in PRESETS['reid']:
        refuse_others(args, 're-identification', 'reid', 'dataset', 'data_root', 'ann_file', 'data_prefix')
        return build_reid_reader(args.data_root, args.dataset, args.ann_file, args.data_prefix or '')
    if args.imbalance is None and args.split_seed is not None:
        raise ValueError('--split-seed has no effect without --imbalance: leave it out')
    only_long_tailed = args.dataset in PRESETS['long_tailed'] and args.dataset not in PRESETS['few_shot']
    return build_classification_reader(
        args.data_root,
        args.dataset,
        args.ann_file,
        args.data_prefix or '',
        args.classes,
        imbalance=args.imbalance,
        split_seed=args.split_seed or 0,
        task='long_tailed' if args.long_tailed or only_long_tailed else 'few_shot',
    )


def reports_of_config(cfg: Config, name: str, workers: int) -> Iterator[Report]:
    """The reports on the data of a config, of all its phases."""
    sources: dict[str, tuple[Reader, int | None, SearchRules, bool]] = {}
    dense: dict[str, Any] = {}
    listed: list[Config] = []
    for single in phase_configs(cfg).values() if cfg.get('phases') else [cfg]:
        init_default_scope(single.get('default_scope') or 'mmengine')
        for loop in LOOPS:
            dataset = (single.get(f'{loop}_dataloader') or {}).get('dataset')
            if dataset is None:
                continue
            bases = [node for node in runs.datasets_of(dataset) if not _wraps(node)]
            if all(str(base.type).rpartition('.')[2] in BUILDERS for base in bases):
                for base in bases:
                    reader = _reader_of_dataset(base)
                    rules = search_rules(single.get('test_evaluator'))
                    own = base.get('dataset') is None  # a benchmark may have classes of its own
                    sources.setdefault(str(reader.source), (reader, base.get('shots'), rules, own))
            elif loop not in dense and dataset not in listed:
                listed.append(dataset)  # the test set is often the validation set
                dense[loop] = build_dataset(dataset)
    if not sources and not dense:
        raise SystemExit(f'{name} has no data loader with a dataset')
    trained: Part | None = None
    for reader, shots, rules, own in sources.values():
        report = check_reader(reader, shots, rules, workers)
        parts = [part for part in report.facts.parts if isinstance(part, ClassPart)]
        for part in parts if own and trained is not None else ():
            if not part.training:
                report.facts.add(check_same_classes(trained, part))
        trained = trained or next((part for part in parts if part.training), None)  # the loop of training comes first
        yield report
    if dense:
        try:
            yield check_datasets(dense, workers)
        except TypeError as error:  # of a dataset that this package does not know
            raise SystemExit(f'{name}: this tool cannot check it: {error}') from None


def _wraps(dataset: Config) -> bool:
    return 'datasets' in dataset or ('dataset' in dataset and not isinstance(dataset.dataset, str | None))


def _reader_of_dataset(dataset: Config) -> Reader:
    build = BUILDERS[dataset.type.rpartition('.')[2]]
    return build(**{key: dataset[key] for key in signature(build).parameters if key in dataset})


def build_dataset(dataset: Config) -> Any:
    """The dataset of a config, with broken entries skipped and listed; or the error that it cannot be read."""
    dataset = copy.deepcopy(dataset)
    for node in runs.datasets_of(dataset):
        if str(node.type).endswith('CocoInstances'):
            node.broken = 'skip'
    try:
        return DATASETS.build(dataset)
    except (ValueError, OSError) as error:
        return error


def main(argv: list[str] | None = None) -> int:
    args = parse_args(argv)
    problems = 0
    try:
        for report in reports(args):
            print(report)
            problems += len(report.problems)
    except (ValueError, FileNotFoundError) as error:  # an unknown benchmark, arguments that contradict each other
        sys.exit(f'check_dataset.py: {error}')
    return int(problems > 0)


if __name__ == '__main__':
    call(lambda: sys.exit(main()))
