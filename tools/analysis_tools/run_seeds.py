"""Train and test a config with several seeds and numbers of shots; report mean and standard deviation over seeds.

vlprompt run-seeds plot_rn50 --dataset dtd --seeds 1 2 3
vlprompt run-seeds plot_rn50 --dataset dtd --shots 1 2 4 8 16

Every run is one of vlprompt train --test in its own folder, <work dir>/seed<N> or <work dir>/<K>shot/seed<N>; a config
that trains nothing is tested once by vlprompt test. Options not listed here are passed on to that tool, e.g.
--data-root, --amp and --cfg-options. The same command run again continues what was interrupted and keeps what was
finished; an edited config, other options and a folder with a run of another command are errors. Writes seeds.json and
seeds.md into the work dir.
"""

import argparse
import json
from pathlib import Path

from vlprompt.apis.command_line import ToolParser, before_imports, call, natural, positive


def parse_args() -> tuple[argparse.Namespace, list[str]]:
    """Own options, and those of vlprompt train."""
    parser = ToolParser(__doc__)
    parser.add_argument('config', help='config file, or the name of a shipped one (vlprompt list)')
    parser.add_argument('--dataset', metavar='NAME', help='dataset, as in vlprompt train')
    parser.add_argument('--shots', type=positive, nargs='+', metavar='K', help='training images per class, one or more')
    parser.add_argument('--seeds', type=natural, nargs='+', default=[1, 2, 3], help='of the runs')
    parser.add_argument('--work-dir', help='folder of the runs (default: work_dirs/<config>_<dataset>_seeds)')
    args, others = parser.parse_known_args()
    if '--seed' in others:
        parser.error('--seed: give the seeds of all runs by --seeds')
    return args, others


before_imports(parse_args, __name__)

from vlprompt.apis.seeds import run_seed, trains_something
from vlprompt.apis.versions import inputs_of
from vlprompt.engine.config import load_config
from vlprompt.engine.config_files import run_name
from vlprompt.evaluation.seeds import Spread, aggregate


def table(title: str, seeds: list[int], spreads: dict[str, Spread]) -> str:
    """Markdown: a row per metric with the value of every seed."""
    lines = [
        f'{title}, seeds {", ".join(map(str, seeds))}; mean ± standard deviation over seeds',
        '',
        '| metric | ' + ' | '.join(f'seed {seed}' for seed in seeds) + ' | mean ± std |',
        '|---' * (len(seeds) + 2) + '|',
    ]
    for name, spread in spreads.items():
        values = ' | '.join(f'{value:.2f}' for value in spread.values)
        lines.append(f'| {name} | {values} | {spread.mean:.2f} ± {spread.std:.2f} |')
    return '\n'.join(lines) + '\n'


def main() -> None:
    args, options = parse_args()
    chosen = {} if args.dataset is None else dict(dataset=args.dataset)
    tables, contents = [], []
    numbers = list(dict.fromkeys(args.shots or [None]))
    for shots in numbers:
        cfg = load_config(args.config, chosen if shots is None else chosen | dict(shots=shots))
        trains, inputs = trains_something(cfg), inputs_of(cfg)
        seeds = list(dict.fromkeys(args.seeds if trains else args.seeds[:1]))
        several = len(numbers) > 1
        work_dir = Path(args.work_dir or Path('work_dirs') / f'{run_name(cfg, shots=not several)}_seeds')
        folder = work_dir / f'{shots}shot' if several else work_dir
        given = [part for key, value in chosen.items() for part in (f'--{key}', value)]
        given += [] if shots is None else ['--shots', str(shots)]
        results = [
            run_seed(args.config, seed, folder / f'seed{seed}', trains, given + options, inputs) for seed in seeds
        ]
        spreads = aggregate(results)
        tables.append(table(' '.join([f'`{args.config}`', *given]), seeds, spreads))
        metrics = {name: dict(mean=s.mean, std=s.std, values=s.values) for name, s in spreads.items()}
        contents.append(dict(config=args.config, dataset=cfg.get('dataset'), shots=shots, seeds=seeds, metrics=metrics))
    report = '\n'.join(tables)
    (work_dir / 'seeds.md').write_text(report, encoding='utf-8')
    (work_dir / 'seeds.json').write_text(json.dumps(contents, indent=2))
    print(report)


if __name__ == '__main__':
    call(main)
