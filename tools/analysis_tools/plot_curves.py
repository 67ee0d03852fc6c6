"""Draw loss, accuracy or mIoU, learning rate and plan entropy of one or several training runs.

vlprompt plot-curves work_dirs/coop_rn50_dtd_16shot work_dirs/plot_rn50_dtd_16shot \
    --out curves.png
vlprompt plot-curves work_dirs/coop_rn50_dtd_16shot --names CoOp --keys loss accuracy/top1 \
    --line "zero-shot CLIP=work_dirs/zero-shot_rn50_dtd" "CoOp, published=accuracy/top1=62.51" --out curves.png

--line draws what does not change in training, as a dashed line in the panel of its scalar: the metrics of a test
(test_metrics.json, or its folder), or a number. A line belongs to the images that it was measured on: one of the test
set tells nothing beside a curve of validation images.

Phases of one training (work_dirs/lpt_..._scenes_lt/shared and .../groups) are drawn as separate runs.
"""

import argparse
import sys
from pathlib import Path

from vlprompt.apis.command_line import ToolParser, before_imports, call


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    parser = ToolParser(__doc__)
    parser.add_argument('runs', nargs='+', metavar='WORK_DIR', help='work directories of training, or scalars.json')
    parser.add_argument('--keys', nargs='+', help='scalars to draw, such as loss_cls (default: those above)')
    parser.add_argument('--names', nargs='+', help='names of the runs (default: their folders)')
    parser.add_argument(
        '--line',
        nargs='+',
        default=[],
        metavar='NAME=DIR_OR_FILE|NAME=KEY=VALUE',
        help='horizontal lines: the metrics of tests, or numbers; see above',
    )
    parser.add_argument('--title', default='', help='first line of the picture')
    parser.add_argument('--out', required=True, metavar='FILE.png', help='picture; the suffix gives the format')
    return parser.parse_args(argv)


before_imports(parse_args, __name__)

from vlprompt.visualization import Level, Run, draw_curves, read_level, read_runs, save_figure


def named_runs(paths: list[str], names: list[str] | None) -> list[Run]:
    """The runs of all paths, with names that differ."""
    found = {path: read_runs(path) for path in paths}
    runs = [run for several in found.values() for run in several]
    if names is not None:
        if len(names) != len(runs):
            raise ValueError(f'--names: {len(names)} for {len(runs)} runs ({", ".join(run.name for run in runs)})')
        for run, name in zip(runs, names, strict=True):
            run.name = name
    elif len({run.name for run in runs}) < len(runs):  # .../coop/seed1 and .../plot/seed1
        for path, several in found.items():
            for run in several:
                run.name = f'{Path(path).resolve().parent.name}/{run.name}'
    return runs


def level_of(line: str) -> Level:
    """The line that NAME=DIR_OR_FILE or NAME=KEY=VALUE stands for."""
    name, _, source = line.partition('=')
    key, has_value, number = source.rpartition('=')
    if not name or not source:
        raise ValueError(f'--line {line!r} is neither NAME=DIR_OR_FILE nor NAME=KEY=VALUE')
    if not has_value:
        return read_level(name, source)
    try:
        return Level(name, {key: float(number)})
    except ValueError as error:
        raise ValueError(f'--line {line!r}: {number!r} is no number') from error


def main(argv: list[str] | None = None) -> None:
    args = parse_args(argv)
    try:
        runs, levels = named_runs(args.runs, args.names), [level_of(line) for line in args.line]
        print(save_figure(draw_curves(runs, args.keys, args.title, levels), args.out))
    except ValueError as error:  # a broken log, an unknown scalar, a format matplotlib cannot write
        sys.exit(f'plot_curves.py: {error}')


if __name__ == '__main__':
    call(main)
