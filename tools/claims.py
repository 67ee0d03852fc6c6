"""Test the published claims about these methods on the built-in world, and write the table of docs/claims.md.

    vlprompt claims --list
    vlprompt claims plot-coop denseclip
    vlprompt claims --all --write                 # make claims
    vlprompt claims --all --write --missing       # what docs/claims.json does not have yet

Every claim compares settings of shipped configs over seeds. Runs lie in the work dir, are shared by claims and are not
repeated; the same command continues what was interrupted. Runs of a config that was edited since are an error, which
names their folder: remove it. Datasets that are missing are made. --write brings results
into docs/claims.json and the table into docs/claims.md; other rows and seeds stay as they are. Results that were
measured with other weights of the built-in models than today's count as not run.
"""

import argparse
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

from vlprompt.apis.command_line import ToolParser, before_imports, call, natural


def parse_args() -> argparse.Namespace:
    parser = ToolParser(__doc__)
    parser.add_argument('claims', nargs='*', metavar='CLAIM', help='names, see --list')
    parser.add_argument('--all', action='store_true', help='all claims')
    parser.add_argument('--list', action='store_true', help='print names and claims')
    parser.add_argument('--seeds', type=natural, nargs='+', default=[1, 2, 3], help='two or more')
    parser.add_argument('--work-dir', type=Path, default=Path('work_dirs/claims'), help='folder of the runs')
    parser.add_argument('--write', action='store_true', help='write docs/claims.json and the table of docs/claims.md')
    parser.add_argument(
        '--missing', action='store_true', help='take the runs in docs/claims.json that began with the same weights'
    )
    args = parser.parse_args()
    if sum((bool(args.claims), args.all, args.list)) != 1:
        parser.error('give names of claims, --all or --list')
    if len(set(args.seeds)) < 2:
        parser.error('--seeds: an interval needs at least two different seeds')
    args.seeds = list(dict.fromkeys(args.seeds))
    return args


before_imports(parse_args, __name__)

from vlprompt.apis.claims import CLAIMS, Claim, Setting
from vlprompt.apis.claims.table import (
    Result,
    insert_table,
    markdown,
    merged,
    read_results,
    settings_of,
    write_results,
)
from vlprompt.apis.seeds import has_finished, run_seed, trains_something
from vlprompt.apis.versions import inputs_of, models_of
from vlprompt.engine.config import load_config
from vlprompt.errors import ConfigError, RunError
from vlprompt.files import locked, written_whole
from vlprompt.shipped import TOOLS

ROOT = TOOLS.parent
PAGE, RECORD = (ROOT / 'docs' / name for name in ('claims.md', 'claims.json'))
TASKS = dict(
    scenes='few-shot',
    scenes_lt='long-tailed',
    scenes_seg='segmentation',
    scenes_det='detection',
    scenes_reid='reid',
)
"""Dataset of the built-in world -> task of the generator."""


def chosen_claims(args: argparse.Namespace) -> list[Claim]:
    known = {claim.name: claim for claim in CLAIMS}
    if unknown := [name for name in args.claims if name not in known]:
        raise ConfigError(f'unknown claims {unknown}; there are {", ".join(known)}')
    return list(CLAIMS) if args.all else [known[name] for name in dict.fromkeys(args.claims)]


def make_if_missing(dataset: str) -> None:
    """Make a dataset of the built-in world unless its folder exists; the folder appears when it is complete.

    Raises:
        RunError: it could not be made.
    """
    folder = ROOT / 'data' / dataset
    if folder.is_dir():
        return
    unfinished = folder.with_name(f'{dataset}.unfinished')
    shutil.rmtree(unfinished, ignore_errors=True)
    command = [str(TOOLS / 'dataset_converters' / 'generate_world.py'), '--task', TASKS[dataset], '--out']
    if subprocess.run([sys.executable, *command, str(unfinished)]).returncode:
        raise RunError(f'{folder} could not be made')
    os.replace(unfinished, folder)


def run_setting(setting: Setting, seeds: list[int], work_dir: Path, recorded: Result | None = None) -> Result:
    """Runs of one setting that are neither recorded nor in the work dir, and the results of all."""
    cfg = load_config(setting.config, {} if setting.shots is None else dict(shots=setting.shots))
    trains, models = trains_something(cfg), models_of(cfg)
    runs = {}
    for seed in seeds if trains else seeds[:1]:
        if recorded and recorded.models == models and seed in recorded.runs:
            runs[seed] = recorded.runs[seed]
            print(f'{setting.folder}, seed {seed}: recorded', flush=True)
            continue
        make_if_missing(cfg['dataset'])
        start = time.monotonic()
        folder = work_dir / setting.folder / f'seed{seed}'
        kept = has_finished(folder)
        runs[seed] = run_seed(setting.config, seed, folder, trains, setting.arguments, inputs_of(cfg))
        took = 'kept' if kept else f'{time.monotonic() - start:.0f} s'
        print(f'{setting.folder}, seed {seed}: {took}', flush=True)
    return Result(runs, trains, models)


def write(results: dict[str, Result]) -> None:
    """Bring new results into the record, and the table of all into the page; one process at a time."""
    with locked(RECORD.parent):
        results = merged(read_results(RECORD), results)
        write_results(RECORD, results)
        page = insert_table(PAGE.read_text(encoding='utf-8'), markdown(CLAIMS, results))
        with written_whole(PAGE) as file:
            file.write_text(page, encoding='utf-8')


def main() -> None:
    args = parse_args()
    if args.list:
        for claim in CLAIMS:
            runs = len(settings_of([claim])) * len(args.seeds)
            print(f'{claim.name:<22}{claim.method}: {claim.text} ({claim.metric.name}; {runs} runs)')
        return
    work_dir = args.work_dir.resolve()
    os.chdir(ROOT)  # where the configs look for data
    claims, results = chosen_claims(args), {}
    recorded = read_results(RECORD) if args.missing else {}
    for setting in settings_of(claims):
        results[setting.folder] = run_setting(setting, args.seeds, work_dir, recorded.get(setting.folder))
        if args.write:
            write({setting.folder: results[setting.folder]})
    print(markdown(claims, results))


if __name__ == '__main__':
    call(main)
