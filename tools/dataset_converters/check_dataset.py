"""Check a data set: counts per split and class, missing and unreadable images, leaks, label gaps.

A benchmark, one's own data, or the data of a config:

    python tools/dataset_converters/check_dataset.py --dataset caltech101
    python tools/dataset_converters/check_dataset.py --data-root data/mine --ann-file split.json
    python tools/dataset_converters/check_dataset.py configs/coop/coop_rn50_16shot_caltech101.py

Every image is opened. The exit code is 1 if there is a problem.
"""

import argparse
import sys

from vlprompt.compat.environment import check_environment

check_environment()  # before anything imports torchvision or an mm package

from mmengine.config import Config  # noqa: E402

from vlprompt.datasets.check import check_dataset  # noqa: E402
from vlprompt.datasets.readers import SplitReader, build_reader  # noqa: E402

READER_KEYS = ('data_root', 'dataset', 'ann_file', 'data_prefix', 'classes', 'split')


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('config', nargs='?', help='a config with a test or training data set')
    parser.add_argument('--data-root', default='data', help='folder of the benchmarks, or of your own data')
    parser.add_argument('--dataset', help="a benchmark, such as 'caltech101'")
    parser.add_argument('--ann-file', help='of your own data: *.json, *.csv or *.txt; without it a folder per class')
    parser.add_argument('--data-prefix', default='', help='folder that image paths are relative to')
    parser.add_argument('--classes', help='text file with one class name per line, for folders and lists')
    parser.add_argument('--workers', type=int, default=4, help='threads that open images')
    return parser.parse_args(argv)


def readers(args: argparse.Namespace) -> list[SplitReader]:
    """One reader per data set that the arguments name."""
    if args.config is None:
        return [build_reader(args.data_root, args.dataset, args.ann_file, args.data_prefix, args.classes)]
    config = Config.fromfile(args.config)
    unique = {}
    for loader in ('train_dataloader', 'test_dataloader'):
        dataset = (config.get(loader) or {}).get('dataset')
        if dataset is not None:
            reader = build_reader(**{key: dataset[key] for key in READER_KEYS if key in dataset})
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
        report = check_dataset(reader, args.workers)
        print(report)
        problems += len(report.problems)
    return int(problems > 0)


if __name__ == '__main__':
    sys.exit(main())
