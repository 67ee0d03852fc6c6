"""Draw training images per class from head to tail, and the accuracy of test runs per class.

vlprompt test CONFIG CKPT --cfg-options test_evaluator.out_dir=work_dirs/vpt
vlprompt plot-long-tail work_dirs/vpt/shot_accuracy.json work_dirs/lpt/shot_accuracy.json \
    --out work_dirs/long_tail.png

A run is named after the folder of its file. Training and testing write a file for every run to
work_dirs/<config>_<dataset>[/<seed>][/<phase>]/<time>/; such a run is named after the first folder, seed and phase.
"""

import argparse
import re
from pathlib import Path

from vlprompt.apis.command_line import ToolParser, before_imports, call, positive


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    parser = ToolParser(__doc__)
    parser.add_argument('files', nargs='+', type=Path, help='shot_accuracy.json of one or more runs on the same data')
    parser.add_argument('--names', nargs='+', help='names of the runs')
    parser.add_argument(
        '--window',
        type=positive,
        help='classes that a point of a curve averages, an odd number; a tenth of all by default',
    )
    parser.add_argument('--title', default='', help='first line of the picture')
    parser.add_argument('--out', required=True, type=Path, help='picture to write')
    args = parser.parse_args(argv)
    if args.names is not None and len(args.names) != len(args.files):
        parser.error(f'--names: {len(args.names)} names for {len(args.files)} files')
    if args.window is not None and args.window % 2 == 0:
        parser.error(f'--window {args.window}: a point stands in the middle of its classes, so give an odd number')
    return args


before_imports(parse_args, __name__)

from vlprompt.errors import ConfigError
from vlprompt.evaluation import shot_groups
from vlprompt.files import read_json, read_text
from vlprompt.visualization import draw_long_tail, save_figure

TIME = re.compile(r'\d{8}_\d{6}')
"""A folder that mmengine creates at each start of a run."""
SEED = re.compile(r'seed\d+')
"""A folder that run_seeds.py creates."""


def name_of(file: Path) -> str:
    """The folder of a file, without a folder of a start; that of a phase or seed together with its parent."""
    folder = file.resolve().parent
    if TIME.fullmatch(folder.name):
        folder = folder.parent
    name = folder.name
    while is_part(folder):
        folder = folder.parent
        name = f'{folder.name}/{name}'
    return name


def is_part(folder: Path) -> bool:
    """Whether the folder belongs to a phase, according to the config in it, or to a seed of run_seeds.py."""
    phase = re.compile(rf'^phase = {folder.name!r}$', re.MULTILINE)
    return SEED.fullmatch(folder.name) is not None or any(
        phase.search(read_text(config)) for config in folder.glob('*.py')
    )


def read_run(file: Path) -> dict:
    """The content of a shot_accuracy.json."""
    run = read_json(file)
    if not isinstance(run, dict) or 'per_class' not in run:
        raise ConfigError(f'{file} is no shot_accuracy.json: it has no per_class')
    return run


def main(argv: list[str] | None = None) -> None:
    args = parse_args(argv)
    names = args.names or [name_of(file) for file in args.files]
    if len(set(names)) < len(names):
        raise ConfigError(f'two runs have the same name ({", ".join(names)}); give --names')
    runs = [read_run(file) for file in args.files]
    counts = [[row['train'] for row in run['per_class']] for run in runs]
    for file, other in zip(args.files, counts, strict=True):
        if other != counts[0]:
            raise ConfigError(f'{file} and {args.files[0]} are of different training data')
    first = runs[0]
    groups = shot_groups(counts[0], first['convention'], first['many'], first['few'])
    accuracy = {name: [row['accuracy'] for row in run['per_class']] for name, run in zip(names, runs, strict=True)}
    print(save_figure(draw_long_tail(counts[0], groups, accuracy, args.title, args.window), args.out))


if __name__ == '__main__':
    call(main)
