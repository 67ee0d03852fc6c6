"""Runs of one command with several seeds, each in its own folder, which are not repeated when they have finished."""

from __future__ import annotations

import json
import shlex
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from vlprompt.apis.command_line import what_differs
from vlprompt.errors import RunError
from vlprompt.files import METRICS_FILE, read_json, written_whole
from vlprompt.shipped import TOOLS

COMMAND_FILE = 'command.json'


def trains_something(cfg: Mapping[str, Any]) -> bool:
    """Whether a config has a training, of one or of several phases."""
    return cfg.get('train_cfg') is not None or bool(cfg.get('phases'))


def run_seed(
    config: str,
    seed: int,
    work_dir: Path,
    trains: bool,
    options: Sequence[str],
    inputs: Mapping[str, str] | None = None,
) -> dict[str, float]:
    """Metrics of one seed, from its folder if the same command has finished there before.

    Args:
        config: file or name of a config.
        seed: of the run.
        work_dir: folder of this run alone.
        trains: whether the config trains something: tools/train.py --test, otherwise tools/test.py.
        options: further options of that tool.
        inputs: what else the result depends on, name -> version.

    Raises:
        RunError: the run failed, or the folder holds the result of another command or of other inputs.
    """
    command = [str(TOOLS / ('train.py' if trains else 'test.py')), config, '--seed', str(seed)]
    command += ['--work-dir', str(work_dir), *(['--test', '--resume'] if trains else []), *options]
    result, record = work_dir / METRICS_FILE, work_dir / COMMAND_FILE
    asked = dict(command=command, inputs=dict(inputs or {}))
    if record.is_file() and (before := read_json(record)) != asked:
        differing = what_differs(before['command'], command, (before['inputs'], asked['inputs']))
        raise RunError(
            f'{work_dir} holds a run with other options or inputs ({differing}; see {record}); choose another folder '
            'or remove it'
        )
    if not result.is_file():
        work_dir.mkdir(parents=True, exist_ok=True)
        with written_whole(record) as file:
            file.write_text(json.dumps(asked))
        print(f'seed {seed}: {shlex.join(command)}', flush=True)
        if subprocess.run([sys.executable, *command]).returncode:
            raise RunError(f'seed {seed} failed; its log is in {work_dir}')
    return read_json(result)
