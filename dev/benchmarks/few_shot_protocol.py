"""A table of few-shot methods with one command, against the same runs one after another.

Methods x shots x seeds on the built-in world: by default zero-shot, Tip-Adapter, GDA, CoOp and PLOT (the prior, two
methods in feature space, two prompts) x 1, 2, 4, 8, 16 shots x 3 seeds, which are 61 runs, since zero-shot needs one.

* one command: `tools/few_shot.py`;
* one by one: `tools/train.py ... --test` (`tools/test.py` for zero-shot), a process for each run, without stored
  features (`test_cfg.store=None`, `train_cfg.store=None`), so that every run reads and encodes its images.

Both sides run the same configs and draws, on a GPU if there is one; the accuracies of all runs that both have made must
agree. The data are generated into a temporary folder, where both sides work and store what they store.

    python dev/benchmarks/few_shot_protocol.py                 # everything on both sides: hours on two cores
    python dev/benchmarks/few_shot_protocol.py --epochs 3      # the prompts learn for 3 epochs on both sides
    python dev/benchmarks/few_shot_protocol.py --one-by-one 1  # that side: first seed, times the number of seeds
    python dev/benchmarks/few_shot_protocol.py --quick         # two methods, few images: shows that it runs
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from vlprompt.apis.few_shot.execute import METRIC, RUN_FILE
from vlprompt.apis.few_shot.protocols import TRAINED, FewShotRun, plan
from vlprompt.engine.config import load_config
from vlprompt.engine.config_files import find_config
from vlprompt.files import METRICS_FILE

TOOLS = Path(__file__).resolve().parents[2] / 'tools'
METHODS = ('zero-shot_micro-rn', 'tip-adapter_micro-rn', 'gda_micro-rn', 'coop_micro-rn', 'plot_micro-rn')


def run_tool(tool: str, *arguments: str, folder: Path) -> float:
    """Seconds of a tool in a process of its own.

    Raises:
        RuntimeError: it failed; its last output is part of the message.
    """
    environment = dict(os.environ, OMP_NUM_THREADS=str(os.cpu_count()))
    start = time.perf_counter()
    done = subprocess.run(
        [sys.executable, str(TOOLS / tool), *arguments], cwd=folder, env=environment, capture_output=True, text=True
    )
    seconds = time.perf_counter() - start
    if done.returncode:
        raise RuntimeError(f'{tool} {" ".join(arguments)} failed:\n{(done.stdout + done.stderr)[-2000:]}')
    return seconds


def configs_in(folder: Path, methods: Sequence[str], epochs: int | None) -> list[str]:
    """Config files of the methods; those that train by epochs get so many, None: as shipped."""
    files = []
    for method in methods:
        file = find_config(method)
        by_epochs = (load_config(file).get('train_cfg') or {}).get('max_epochs') is not None
        if epochs is not None and by_epochs:
            own = folder / file.name
            own.write_text(f'_base_ = {str(file)!r}\ntrain_cfg = dict(max_epochs={epochs})\n')
            file = own
        files.append(str(file))
    return files


def one_by_one(run: FewShotRun, folder: Path) -> tuple[float, float]:
    """Seconds and accuracy of a run by itself."""
    work_dir = folder / 'one_by_one' / run.folder
    stores = ['test_cfg.store=None']
    if 'FitLoop' in str((load_config(run.config).get('train_cfg') or {}).get('type')):
        stores.append('train_cfg.store=None')
    tool = ['train.py', run.config, '--test'] if run.trains else ['test.py', run.config]
    seconds = run_tool(*tool, *run.arguments, '--work-dir', str(work_dir), '--cfg-options', *stores, folder=folder)
    return seconds, json.loads((work_dir / METRICS_FILE).read_text())[METRIC]


def compare(args: argparse.Namespace, folder: Path) -> dict[str, float]:
    """Run both sides in a folder."""
    few = ['--per-class', '4', '2', '4'] if args.quick else []
    world = ['--task', 'few-shot', '--out', 'data/scenes', *few]
    run_tool('dataset_converters/generate_world.py', *world, folder=folder)
    methods = configs_in(folder, args.methods, args.epochs)
    runs = plan('all', methods, ['scenes'], args.shots, args.seeds)
    shots, seeds = (list(map(str, numbers)) for numbers in (args.shots, args.seeds))
    command = [*methods, '--shots', *shots, '--seeds', *seeds, '--work-dir', 'one_command']
    jobs = [] if args.jobs is None else ['--jobs', str(args.jobs)]
    together = run_tool('few_shot.py', *command, *jobs, folder=folder)
    print(f'one command, {len(runs)} runs: {together:.0f} s', flush=True)

    chosen = [run for run in runs if run.seed is None or run.seed in args.seeds[: args.one_by_one]]
    apart = 0.0
    for run in chosen:
        seconds, accuracy = one_by_one(run, folder)
        other = json.loads((folder / 'one_command' / run.folder / RUN_FILE).read_text())['accuracy'][TRAINED]
        if abs(accuracy - other) > args.tolerance:
            raise RuntimeError(f'{run}: accuracy {accuracy:.2f} by itself and {other:.2f} in one command')
        apart += seconds * (1 if run.seed is None or args.one_by_one is None else len(args.seeds) / args.one_by_one)
        print(f'  {run}: {seconds:.0f} s', flush=True)
    note = '' if len(chosen) == len(runs) else f' (extrapolated from {len(chosen)} runs)'
    print(f'one by one, {len(runs)} runs: {apart:.0f} s{note}   {apart / together:.1f}x as long')
    return dict(runs=len(runs), together=together, apart=apart, compared=len(chosen))


def main(argv: Sequence[str] | None = None) -> dict[str, float]:
    """Print the comparison and return it: numbers of runs, seconds of either side."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--methods', nargs='+', default=list(METHODS), metavar='CONFIG')
    parser.add_argument('--shots', type=int, nargs='+', default=[1, 2, 4, 8, 16])
    parser.add_argument('--seeds', type=int, nargs='+', default=[1, 2, 3])
    parser.add_argument('--epochs', type=int, help='epochs of methods that train by epochs (default: as shipped)')
    parser.add_argument('--one-by-one', type=int, metavar='N', help='first N seeds of that side (default: all)')
    parser.add_argument('--jobs', type=int, help='of tools/few_shot.py')
    parser.add_argument(
        '--tolerance', type=float, default=0.5, help='largest difference of accuracies, in percentage points'
    )
    parser.add_argument('--quick', action='store_true', help='two methods, one shot, one seed, few images')
    args = parser.parse_args(argv)
    if args.one_by_one is not None and not 1 <= args.one_by_one <= len(args.seeds):
        parser.error(f'--one-by-one {args.one_by_one}: from 1 to {len(args.seeds)}, the number of seeds')
    if args.quick:
        args.methods, args.shots, args.seeds, args.epochs = ['zero-shot_micro-rn', 'gda_micro-rn'], [1], [1], 1
    with tempfile.TemporaryDirectory() as folder:
        return compare(args, Path(folder))


if __name__ == '__main__':
    main()
