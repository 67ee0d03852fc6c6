"""Draw loss, accuracy or mIoU, learning rate and plan entropy of one or several training runs.

vlprompt plot-curves work_dirs/coop_rn50_dtd_16shot work_dirs/plot_rn50_dtd_16shot \
    --out curves.png

Phases of one training (work_dirs/lpt_..._scenes_lt/shared and .../groups) are drawn as separate runs.
"""

import argparse
import sys
from pathlib import Path

from vlprompt.apis.command_line import HelpFormatter, before_imports, call


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=HelpFormatter)
    parser.add_argument('runs', nargs='+', metavar='WORK_DIR', help='work directories of training, or scalars.json')
    parser.add_argument('--keys', nargs='+', help='scalars to draw, such as loss_cls (default: those above)')
    parser.add_argument('--title', default='', help='first line of the picture')
    parser.add_argument('--out', required=True, metavar='FILE.png', help='picture; the suffix gives the format')
    return parser.parse_args(argv)


before_imports(parse_args, __name__)

from vlprompt.visualization import draw_curves, read_runs, save_figure


def main(argv: list[str] | None = None) -> None:
    args = parse_args(argv)
    try:
        found = {path: read_runs(path) for path in args.runs}
        runs = [run for several in found.values() for run in several]
        if len({run.name for run in runs}) < len(runs):  # .../coop/seed1 and .../plot/seed1
            for path, several in found.items():
                for run in several:
                    run.name = f'{Path(path).resolve().parent.name}/{run.name}'
        print(save_figure(draw_curves(runs, args.keys, args.title), args.out))
    except ValueError as error:  # a broken log, an unknown scalar, a format matplotlib cannot write
        sys.exit(f'plot_curves.py: {error}')


if __name__ == '__main__':
    call(main)
