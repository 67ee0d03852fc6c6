"""Train and test a config with several seeds, and report mean and standard deviation.

python tools/analysis_tools/run_seeds.py configs/plot/plot_rn50.py --seeds 1 2 3
python tools/analysis_tools/run_seeds.py configs/plot/plot_rn50.py --dataset dtd --shots 1 2 4 8 16

Every seed is one run of tools/train.py --test in its own folder <work dir>/seed<N>; a config that trains nothing is
tested once by tools/test.py. Options not listed here are handed on to that tool, e.g. --amp and --cfg-options. Several
numbers of shots have a work dir each. The same command run again continues what was interrupted and keeps what was
finished. Writes seeds.json and seeds.md into the work dir.
"""

import argparse
import json
import shlex
import subprocess
import sys
from pathlib import Path

from vlprompt.apis.command_line import before_imports, call


def parse_args() -> tuple[argparse.Namespace, list[str]]:
    """Own options, and those of tools/train.py."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('config', help='config file, or the name of a shipped one (tools/list_configs.py)')
    parser.add_argument('--dataset', metavar='NAME', help='dataset: a name, or a config file')
    parser.add_argument('--shots', type=int, nargs='+', metavar='K', help='training images per class')
    parser.add_argument('--seeds', type=int, nargs='+', default=[1, 2, 3], help='default: 1 2 3')
    parser.add_argument(
        '--work-dir',
        help='default: work_dirs/<config>_<dataset>_<shots>shot_seeds; with several numbers of shots, each gets a '
        'folder <K>shot in it',
    )
    return parser.parse_known_args()


before_imports(parse_args, __name__)

from vlprompt.engine import cli
from vlprompt.engine.config import load_config
from vlprompt.evaluation.seeds import Spread, aggregate

TOOLS = Path(__file__).resolve().parent.parent


def run_seed(config: str, seed: int, work_dir: Path, trains: bool, options: list[str]) -> dict[str, float]:
    """Metrics of one seed, from its folder if the same command has finished there before.

    Raises:
        SystemExit: the run failed, or the folder holds the result of another command.
    """
    command = [str(TOOLS / ('train.py' if trains else 'test.py')), config, '--seed', str(seed)]
    command += ['--work-dir', str(work_dir), *(['--test', '--resume'] if trains else []), *options]
    result, record = work_dir / cli.METRICS_FILE, work_dir / 'command.json'
    if record.is_file() and json.loads(record.read_text()) != command:
        sys.exit(f'{work_dir} holds a run with other options (see {record}); choose another --work-dir or remove it')
    if not result.is_file():
        work_dir.mkdir(parents=True, exist_ok=True)
        record.write_text(json.dumps(command))
        print(f'seed {seed}: {shlex.join(command)}', flush=True)
        if subprocess.run([sys.executable, *command]).returncode:
            sys.exit(f'seed {seed} failed; its log is in {work_dir}')
    return json.loads(result.read_text())


def table(config: str, seeds: list[int], spreads: dict[str, Spread]) -> str:
    """Markdown: a row per metric with the value of every seed."""
    lines = [
        f'`{config}`, seeds {", ".join(map(str, seeds))}; mean ± standard deviation over seeds',
        '',
        '| metric | ' + ' | '.join(f'seed {seed}' for seed in seeds) + ' | mean ± std |',
        '|---' * (len(seeds) + 2) + '|',
    ]
    for name, spread in spreads.items():
        values = ' | '.join(f'{value:.2f}' for value in spread.values)
        lines.append(f'| {name} | {values} | {spread.mean:.2f} ± {spread.std:.2f} |')
    return '\n'.join(lines) + '\n'


def run_all(args: argparse.Namespace, shots: int | None, options: list[str]) -> None:
    """All seeds with one number of shots (None: that of the config), and their report."""
    chosen = {key: value for key, value in (('dataset', args.dataset), ('shots', shots)) if value is not None}
    cfg = load_config(args.config, chosen)
    work_dir = Path(args.work_dir or Path('work_dirs') / f'{cli.run_name(cfg)}_seeds')
    if args.work_dir and len(args.shots or ()) > 1:
        work_dir /= f'{shots}shot'
    options = [word for key, value in chosen.items() for word in (f'--{key}', str(value))] + options
    trains = cfg.get('train_cfg') is not None or bool(cfg.get('phases'))
    seeds = args.seeds if trains else args.seeds[:1]
    results = [run_seed(args.config, seed, work_dir / f'seed{seed}', trains, options) for seed in seeds]

    spreads = aggregate(results)
    report = table(cli.run_name(cfg), seeds, spreads)
    (work_dir / 'seeds.md').write_text(report, encoding='utf-8')
    content = {name: dict(mean=s.mean, std=s.std, values=s.values) for name, s in spreads.items()}
    (work_dir / 'seeds.json').write_text(json.dumps(dict(config=args.config, seeds=seeds, metrics=content), indent=2))
    print(report)


def main() -> None:
    args, options = parse_args()
    for shots in args.shots or [None]:
        run_all(args, shots, options)


if __name__ == '__main__':
    call(main)
