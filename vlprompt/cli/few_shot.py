"""Few-shot experiments: methods x datasets x shots x seeds, with tables and curves.

    vlprompt few-shot zero-shot_micro-rn coop_micro-rn plot_micro-rn
    vlprompt few-shot coop_rn50 plot_rn50 --datasets caltech101 dtd --shots 1 2 4 8 16 --seeds 1 2 3 --jobs 4
    vlprompt few-shot maple_vit-b16 --datasets dtd eurosat --protocol base-to-new --shots 16
    vlprompt few-shot coop_vit-b16 --datasets imagenet --protocol transfer --targets dtd imagenetv2 --shots 16

Every run has a folder of its own, <work dir>/<method>/<dataset>/<K>shot/seed<N>, with its result (run.json), its
output (output.log), logs and checkpoints. Python starts once for all runs, which go side by side; --devices spreads
them over GPUs, --slurm over a cluster. The same command again continues what was interrupted and repeats nothing. After
every run the work dir has new tables of all that have finished (results.md, results.csv, results.tex) and pictures
(curves.png, costs.png). --record FILE.json keeps results in one file too, from which another work dir or another
machine goes on.
"""

import argparse
from pathlib import Path

from vlprompt.apis.command_line import ToolParser, before_imports, call, natural, positive
from vlprompt.apis.few_shot import PROTOCOLS


def parse_args() -> argparse.Namespace:
    parser = ToolParser(__doc__)
    parser.add_argument('methods', nargs='+', metavar='CONFIG', help='config files or names (vlprompt list)')
    parser.add_argument('--datasets', nargs='+', default=['scenes'], metavar='NAME', help='to train on')
    parser.add_argument('--shots', type=positive, nargs='+', default=[1, 2, 4, 8, 16], metavar='K', help='per class')
    parser.add_argument('--seeds', type=natural, nargs='+', default=[1, 2, 3], metavar='N', help='of the runs')
    parser.add_argument('--protocol', choices=PROTOCOLS, default='all', help='what is trained on and tested')
    parser.add_argument('--targets', nargs='+', default=[], metavar='NAME', help='test sets of the protocol transfer')
    parser.add_argument('--work-dir', type=Path, help='folder of the runs (default: work_dirs/few_shot/<protocol>)')
    parser.add_argument(
        '--record', type=Path, metavar='FILE', help='JSON file of results: runs in it are not repeated, new ones added'
    )
    parser.add_argument(
        '--jobs', type=positive, metavar='N', help='runs at a time (default: one a GPU, or half the cores)'
    )
    parser.add_argument(
        '--devices', nargs='+', metavar='GPU', help='GPUs to spread the runs over (default: all that are visible)'
    )
    parser.add_argument('--slurm', metavar='PARTITION', help='submit every run to this partition, through submitit')
    parser.add_argument('--data-root', metavar='DIR', help='folder of the dataset that is trained on')
    parser.add_argument(
        '--cfg-options', nargs='+', default=[], metavar='KEY=VALUE', help='override values of all configs'
    )
    parser.add_argument(
        '--slurm-options',
        nargs='+',
        default=[],
        metavar='KEY=VALUE',
        help='parameters of submitit, such as timeout_min=240 slurm_account=vision',
    )
    args = parser.parse_args()
    if args.slurm and (args.jobs or args.devices):
        parser.error('--slurm: the cluster decides where and when runs go; leave --jobs and --devices out')
    if args.slurm_options and not args.slurm:
        parser.error('--slurm-options has no effect without --slurm')
    if args.data_root is not None:
        args.cfg_options.append(f'data_root={args.data_root}')
    return args


before_imports(parse_args, __name__)

import os
from contextlib import closing

from vlprompt.apis.few_shot.execute import Pool, check_work_dir, finished_before, result_of, visible_gpus
from vlprompt.apis.few_shot.figures import draw_costs, draw_curves
from vlprompt.apis.few_shot.protocols import notes_on_data, plan
from vlprompt.apis.few_shot.record import add_to_record, take_recorded
from vlprompt.apis.few_shot.report import comma_separated, latex, markdown, tables_of
from vlprompt.errors import RunError
from vlprompt.files import written_whole
from vlprompt.visualization.figures import save_figure


def write_report(work_dir: Path, protocol: str) -> str:
    """Tables and curves of what has finished in the work dir; returns the tables in Markdown."""
    results = finished_before(work_dir, protocol)
    tables = tables_of(protocol, results)
    shown = markdown(tables)
    for name, content in (('md', shown), ('csv', comma_separated(tables)), ('tex', latex(tables))):
        with written_whole(work_dir / f'results.{name}') as file:
            file.write_text(content, encoding='utf-8')
    if protocol == 'all':
        save_figure(draw_curves(results), work_dir / 'curves.png')
        shots = max((result.run.shots or 0 for result in results), default=0)
        save_figure(draw_costs(results, shots), work_dir / 'costs.png')
    return shown


def main() -> None:
    args = parse_args()
    work_dir = (args.work_dir or Path('work_dirs/few_shot', args.protocol)).resolve()
    runs = plan(args.protocol, args.methods, args.datasets, args.shots, args.seeds, args.targets, args.cfg_options)
    check_work_dir(runs, work_dir)
    work_dir.mkdir(parents=True, exist_ok=True)
    if args.record:
        print(f'{take_recorded(args.record, runs, work_dir)} results taken from {args.record}', flush=True)
    found = {run: result_of(run, work_dir) for run in runs}
    if args.record:
        add_to_record(args.record, [run for run, result in found.items() if result], work_dir)
    missing = [run for run, result in found.items() if result is None]
    print(f'{len(runs)} runs, {len(runs) - len(missing)} of them have finished before', flush=True)
    for note in notes_on_data(missing):
        print(f'WARNING: {note}', flush=True)
    if args.slurm:
        from vlprompt.apis.few_shot.slurm import SlurmPool

        pool = SlurmPool(work_dir, args.slurm, args.slurm_options)
    else:
        devices = args.devices or visible_gpus()
        pool = Pool(work_dir, args.jobs or len(devices) or max((os.cpu_count() or 1) // 2, 1), devices)
    failures = []
    with closing(pool(missing)) as finished:
        for done, (run, result) in enumerate(finished, 1):
            if isinstance(result, RunError):
                failures.append(result)
                print(f'[{done}/{len(missing)}] {result}', flush=True)
                continue
            found[run] = result
            values = ', '.join(f'{name} {value:.2f}' for name, value in result.accuracy.items())
            print(f'[{done}/{len(missing)}] {run}: {values} ({result.seconds:.0f} s)', flush=True)
            write_report(work_dir, args.protocol)
            if args.record:
                add_to_record(args.record, [run], work_dir)
    if any(found.values()):
        print(write_report(work_dir, args.protocol))
    if failures:
        raise RunError(f'{len(failures)} of {len(runs)} runs failed, the first: {failures[0]}')


if __name__ == '__main__':
    call(main)
