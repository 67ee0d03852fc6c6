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
    inputs: Mapping[str, str],
) -> dict[str, float]:
    """Metrics of one seed, from its folder if the same command has finished there before.

    They stand in the record of the command too, so that a later test of something else in the folder, which replaces
    its file of metrics, is not taken for this run.

    Args:
        config: file or name of a config.
        seed: of the run.
        work_dir: folder of this run alone.
        trains: whether the config trains something: tools/train.py --test, otherwise tools/test.py.
        options: further options of that tool.
        inputs: what else the result depends on, see :func:`~vlprompt.apis.versions.inputs_of`.

    Raises:
        RunError: the run failed, or the folder holds one of another command, config or built-in model, or one that was
            started by something else.
    """
    command = [str(TOOLS / ('train.py' if trains else 'test.py')), config, '--seed', str(seed)]
    command += ['--work-dir', str(work_dir), *(['--test', '--resume'] if trains else []), *options]
    record = work_dir / COMMAND_FILE
    asked: dict[str, Any] = dict(command=command, inputs=dict(inputs))
    before = read_json(record) if record.is_file() else {}
    same = all(before.get(name) == value for name, value in asked.items())
    if same and 'metrics' in before:
        return before['metrics']
    trace = _trace(work_dir)
    if trace and not before:
        raise RunError(
            f'{work_dir} holds a run of another command ({trace.relative_to(work_dir)}, but no {COMMAND_FILE}): choose '
            'another work dir, or move that run elsewhere'
        )
    if not same and (trace or 'metrics' in before):
        differing = what_differs(before['command'], command, (before['inputs'], asked['inputs']))
        raise RunError(
            f'{work_dir} holds a run with other options, config or built-in models ({differing}; see {record}): choose '
            'another work dir or remove it'
        )
    work_dir.mkdir(parents=True, exist_ok=True)
    _write(record, asked)
    print(f'seed {seed}: {shlex.join(command)}', flush=True)
    if subprocess.run([sys.executable, *command]).returncode:
        raise RunError(f'seed {seed} failed; its log is in {work_dir}')
    metrics = read_json(work_dir / METRICS_FILE)
    _write(record, dict(asked, metrics=metrics))
    return metrics


def has_finished(work_dir: Path) -> bool:
    """Whether a folder holds the metrics of a seed."""
    record = work_dir / COMMAND_FILE
    return record.is_file() and 'metrics' in read_json(record)


def _trace(work_dir: Path) -> Path | None:
    """A file of a test in a folder, or of a training, also of a phase, which ``--resume`` would go on with."""
    return next((file for name in (METRICS_FILE, 'last_checkpoint') for file in sorted(work_dir.rglob(name))), None)


def _write(record: Path, content: Mapping[str, Any]) -> None:
    with written_whole(record) as file:
        file.write_text(json.dumps(content))
