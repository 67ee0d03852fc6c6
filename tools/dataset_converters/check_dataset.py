"""Check a dataset: counts per split, missing and unreadable images, leaks, label gaps.

Classification or re-identification: a supported dataset, your own data, or the data of a config:

    python tools/dataset_converters/check_dataset.py --dataset caltech101                    # in data/caltech-101
    python tools/dataset_converters/check_dataset.py --dataset caltech101 --data-root /disk/caltech-101
    python tools/dataset_converters/check_dataset.py --data-root data/mine                   # a folder per class
    python tools/dataset_converters/check_dataset.py --data-root data/mine --ann-file split.json
    python tools/dataset_converters/check_dataset.py configs/coop/coop_rn50.py --dataset caltech101
    python tools/dataset_converters/check_dataset.py --dataset cifar100_lt --imbalance 100
    python tools/dataset_converters/check_dataset.py --long-tailed --data-root data/mine --ann-file '{split}.txt'
    python tools/dataset_converters/check_dataset.py --dataset market1501
    python tools/dataset_converters/check_dataset.py --reid --data-root data/mine          # in Market-1501's layout

Counts are per class, or, for re-identification, identities, images and cameras per split. For imbalanced training
images, the imbalance ratio and the many-, medium- and few-shot classes are printed.

Every image is opened. The exit code is 1 if there is a problem.
"""

import argparse
import sys
from functools import partial
from inspect import signature

from vlprompt.apis.command_line import before_imports


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('config', nargs='?', help='a config with a test or training dataset')
    parser.add_argument('--data-root', help='folder of the dataset (default: its folder below data/)')
    parser.add_argument('--dataset', help="a supported dataset, such as 'caltech101'")
    parser.add_argument('--long-tailed', action='store_true', help='your own data is long-tailed')
    parser.add_argument('--imbalance', type=float, help='of a long-tailed dataset that is cut out of a balanced one')
    parser.add_argument('--split-seed', type=int, default=0, help='of that draw')
    parser.add_argument('--reid', action='store_true', help='your own data is for re-identification')
    parser.add_argument('--ann-file', help='of your own data: *.json, *.csv or *.txt; without it a folder per class')
    parser.add_argument('--data-prefix', default='', help='folder that image paths are relative to')
    parser.add_argument('--classes', help='text file with one class name per line, for folders and lists')
    parser.add_argument('--workers', type=int, default=4, help='threads that open images')
    return parser.parse_intermixed_args(argv)


before_imports(parse_args, __name__)

from vlprompt.datasets.build_reader import build_classification_reader, build_reid_reader
from vlprompt.datasets.classification.check import check_dataset
from vlprompt.datasets.presets import PRESETS
from vlprompt.datasets.reader import Reader
from vlprompt.datasets.reid.check import check_reid
from vlprompt.datasets.reid.readers.base import ReIDReader
from vlprompt.engine import load_config

LAYOUTS = dict(folder=None, list='{split}.txt', split_json='split.json', csv='images.csv')
"""Layout of your own data -> its ``ann_file``."""

BUILDERS = dict(
    FewShotDataset=build_classification_reader,
    LongTailedDataset=partial(build_classification_reader, task='long_tailed'),
    ReIDDataset=build_reid_reader,
)
"""Type of a dataset -> function that builds its reader from some of its arguments."""


def readers(args: argparse.Namespace) -> list[Reader]:
    """One reader per dataset that the arguments name."""
    if args.config is None:
        if args.dataset in LAYOUTS:
            args.reid |= args.dataset == 'csv'
            args.dataset, args.ann_file = None, args.ann_file or LAYOUTS[args.dataset]
        if args.reid or args.dataset in PRESETS['reid']:
            return [build_reid_reader(args.data_root, args.dataset, args.ann_file, args.data_prefix)]
        only_long_tailed = args.dataset in PRESETS['long_tailed'] and args.dataset not in PRESETS['few_shot']
        reader = build_classification_reader(
            args.data_root,
            args.dataset,
            args.ann_file,
            args.data_prefix,
            args.classes,
            imbalance=args.imbalance,
            split_seed=args.split_seed,
            task='long_tailed' if args.long_tailed or only_long_tailed else 'few_shot',
        )
        return [reader]
    options = dict(dataset=args.dataset, data_root=args.data_root)
    config = load_config(args.config, {key: value for key, value in options.items() if value is not None})
    unique = {}
    for loader in ('train_dataloader', 'test_dataloader'):
        dataset = (config.get(loader) or {}).get('dataset')
        if dataset is not None:
            kind = dataset.type.rpartition('.')[2]
            if kind not in BUILDERS:
                raise SystemExit(
                    f'{args.config}: this tool checks data for classification and re-identification; masks and '
                    'annotations in the form of COCO are checked when a run reads them'
                )
            keys = signature(BUILDERS[kind]).parameters
            reader = BUILDERS[kind](**{key: dataset[key] for key in keys if key in dataset})
            unique.setdefault(reader.source, reader)
    if not unique:
        raise SystemExit(f'{args.config} has neither a train_dataloader nor a test_dataloader with a dataset')
    return list(unique.values())


def main(argv: list[str] | None = None) -> int:
    args = parse_args(argv)
    try:
        found = readers(args)
    except (ValueError, FileNotFoundError) as error:  # an unknown benchmark, arguments that contradict each other
        sys.exit(f'check_dataset.py: {error}')
    problems = 0
    for reader in found:
        check = check_reid if isinstance(reader, ReIDReader) else check_dataset
        report = check(reader, args.workers)
        print(report)
        problems += len(report.problems)
    return int(problems > 0)


if __name__ == '__main__':
    sys.exit(main())
