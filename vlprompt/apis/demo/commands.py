"""Commands of ``vlprompt`` one after the other, with what is worth seeing of their output."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path


class Commands:
    """Runs commands in numbered steps.

    Args:
        logs: folder of their outputs.
        steps: number of steps that there will be.

    Attributes:
        step: number of the current one, from 1.
        elapsed: seconds since the first began.
    """

    def __init__(self, logs: Path, steps: int) -> None:
        self.logs, self.steps = logs, steps
        self.step = 0
        self._start = time.monotonic()
        self._calls: dict[tuple[int, str], int] = {}

    @property
    def elapsed(self) -> float:
        return time.monotonic() - self._start

    def announce(self, what: str) -> None:
        """Begin a step."""
        self.step += 1
        print(f'\n[{self.step}/{self.steps}] {clock(self.elapsed)}  {what}', flush=True)

    def __call__(
        self,
        command: Sequence[str],
        options: Sequence[str] = (),
        show: Callable[[str], str | None] = lambda line: None,
    ) -> str:
        """Run a command of ``vlprompt``, print it and ``show(line)`` of each line, return all of its output.

        A command that fails ends the program.

        Args:
            command: its name and arguments.
            options: of ``--cfg-options``.
            show: line of the output -> what to print of it, or None.
        """
        command = [*command, *(['--cfg-options', *options] if options else [])]
        print(f'  $ {shlex.join(["vlprompt", *command])}', flush=True)
        self.logs.mkdir(parents=True, exist_ok=True)
        log = self._log(command[0])
        lines = []
        with subprocess.Popen(
            [sys.executable, '-m', 'vlprompt', *command], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        ) as process:
            for line in process.stdout:
                lines.append(line)
                short = show(line.rstrip())
                if short:
                    print(f'  {short}', flush=True)
        output = ''.join(lines)
        log.write_text(output)
        if process.returncode:
            last, status = ''.join(lines[-25:]), process.returncode
            sys.exit(f'\n{last}\nvlprompt {command[0]} failed ({status}); all of its output: {log}')
        return output

    def _log(self, name: str) -> Path:
        """The file for a command's output: of a step that has the same command twice, a number tells them apart."""
        key = (self.step, name)
        self._calls[key] = self._calls.get(key, 0) + 1
        number = f'-{self._calls[key]}' if self._calls[key] > 1 else ''
        return self.logs / f'{self.step}_{name}{number}.log'


_FIGURES = ('accuracy/top1', 'mIoU', 'coco/bbox_mAP', 'reid/mAP', 'shot/overall')
"""Names of the metric that tells most of a test."""


def progress(line: str) -> str | None:
    """The part of a log line about progress; None for other lines.

    >>> progress('11/22 07:00:00 - mmengine - INFO - Epoch(train)  [3][6/6]  lr: 1.9e-03  eta: 0:00:07  loss: 0.5')
    'epoch 3  lr: 1.9e-03  eta: 0:00:07  loss: 0.5'
    """
    trained = re.search(r'Epoch\(train\)\s+\[\s*(\d+)\].*', line)
    if trained:
        wanted = re.findall(r'(?:lr|eta|loss|accuracy|images/s|plan_entropy): \S+', line)
        return '  '.join([f'epoch {trained[1]}', *wanted])
    held_out = re.search(rf'Epoch\((val|test)\).*?({"|".join(_FIGURES)}): (\S+)', line)
    if held_out is None:
        return None
    split, name, value = held_out.groups()
    if name == 'accuracy/top1':
        return f'{split} accuracy: {float(value):.2f} %'
    return f'{split} {name.partition("/")[2] or name}: {percent(name, float(value)):.1f} %'


def percent(name: str, value: float) -> float:
    """A metric in percent: COCO's are shares of 1."""
    return 100 * value if name.startswith('coco/') else value


def clock(seconds: float) -> str:
    """Minutes and seconds.

    >>> clock(83)
    '1:23'
    """
    return f'{int(seconds) // 60}:{int(seconds) % 60:02d}'
