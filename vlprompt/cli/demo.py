"""Prompts and other methods on built-in data with built-in models, and a page of pictures about them.

    vlprompt demo
    vlprompt demo --quick --out work_dirs/demo_quick --data-root data/scenes_quick

Trains CoOp and PLOT and compares them with zero-shot CLIP; then shows where a model finds words and, with adapters that
ship with the package, segmentation and detection (DenseCLIP), re-identification (CLIP-ReID) and a long tail (VPT, LPT).
Runs the same commands a user would type, prints every command, and ends with a table and a page, index.html in the
folder of --out. Needs no download.
"""

from __future__ import annotations

from pathlib import Path

from vlprompt.apis.command_line import ToolParser, call
from vlprompt.apis.demo.commands import Commands, clock
from vlprompt.apis.demo.few_shot import SCENES, FewShot, methods_table
from vlprompt.apis.demo.tour import Tour
from vlprompt.compat.environment import check_environment


def main() -> None:
    parser = ToolParser(__doc__)
    parser.add_argument('--out', type=Path, default=Path('work_dirs/demo'), help='folder of page, runs and pictures')
    parser.add_argument(
        '--data-root', type=Path, default=SCENES, help='folder of the few-shot data, created if missing'
    )
    parser.add_argument('--quick', action='store_true', help='one epoch on little data, to see that everything runs')
    parser.add_argument(
        '--cfg-options',
        nargs='+',
        default=[],
        metavar='KEY=VALUE',
        help='passed on to every command about zero-shot CLIP, CoOp and PLOT',
    )
    args = parser.parse_args()
    check_environment()
    commands = Commands(args.out / 'logs', FewShot.steps + Tour.steps + 1)
    few_shot = FewShot(commands, args.out, args.data_root, args.quick, args.cfg_options)
    tour = Tour(commands, args.out, args.quick)
    few_shot.run()
    tour.run()
    commands.announce('write the page')
    from vlprompt.apis.demo.page import write_demo_page  # imports matplotlib, which --help need not wait for

    page = write_demo_page(args.out, few_shot, tour, commands.elapsed)
    print(f'\n{methods_table(few_shot.methods)}')
    print(f'\nDone in {clock(commands.elapsed)} minutes. Raw output of every step: {commands.logs}')
    if args.quick:
        print('--quick: one epoch on little data, so the accuracies mean nothing.')
    print(f'\nOpen this page in a browser, it shows everything together: {page.resolve().as_uri()}')


if __name__ == '__main__':
    call(main)
