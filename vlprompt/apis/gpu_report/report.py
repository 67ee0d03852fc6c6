"""The results of a report: kept after every measurement, taken up again, written as Markdown."""

from __future__ import annotations

import gc
import json
import re
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from vlprompt import __version__
from vlprompt.apis.gpu_report.case import Row
from vlprompt.apis.gpu_report.devices import peak_of
from vlprompt.apis.gpu_report.probes import CpuProbe, probe_of
from vlprompt.apis.gpu_report.sections import SECTIONS, Setting
from vlprompt.files import written_whole


def version() -> str:
    """The commit of a checkout, ``-changed`` if files differ from it; else the version of the package."""
    folder = Path(__file__).parent
    try:
        told = subprocess.run(
            ['git', 'describe', '--always', '--abbrev=10', '--dirty=-changed', '--exclude=*'],
            cwd=folder,
            capture_output=True,
            text=True,
            check=True,
        )
    except (OSError, subprocess.CalledProcessError):  # no git, or no checkout
        return __version__
    return told.stdout.strip()


@dataclass
class Report:
    """Rows by section and name, in a file.

    Attributes:
        path: of the JSON file.
        about: device, torch, version, and whether models are small.
        rows: what was measured, by section and name; a row with ``error`` is measured again.
    """

    path: Path
    about: dict[str, Any]
    rows: dict[str, dict[str, Row]]

    @classmethod
    def of(cls, folder: Path, setting: Setting, probe: CpuProbe) -> Report:
        """The report of a device, torch and version in a folder; what it holds already stays."""
        about = dict(device=probe.name, torch=torch.__version__, version=version(), small=setting.small)
        name = re.sub(r'[^\w.+-]+', '-', '_'.join([probe.name, torch.__version__, about['version']]))
        path = folder / f'{name}{"_small" if setting.small else ""}.json'
        rows = json.loads(path.read_text())['rows'] if path.is_file() else {}
        return cls(path, about, rows)

    def put(self, section: str, name: str, row: Row) -> None:
        """Keep a row, in the file too, and write the Markdown file beside it."""
        self.rows.setdefault(section, {})[name] = row
        with written_whole(self.path) as file:
            file.write_text(json.dumps(dict(about=self.about, rows=self.rows), indent=2) + '\n')
        with written_whole(self.path.with_suffix('.md')) as file:
            file.write_text(self.markdown())

    def has(self, section: str, name: str) -> bool:
        """Whether a row was measured without an error."""
        row = self.rows.get(section, {}).get(name)
        return row is not None and 'error' not in row

    def markdown(self) -> str:
        """Tables of all sections."""
        about = self.about
        lines = [f'# {about["device"]}, torch {about["torch"]}, vlprompt {about["version"]}', '']
        on_cpu = about['device'] == CpuProbe.name
        if about['small']:
            lines += ['Micro models: this shows that everything runs, not how fast.', '']
        if not on_cpu and peak_of(about['device']) is None:
            lines += ['The peak rates of this device are not known, so no share of them is given.', '']
        for section, rows in self.rows.items():
            checks = [name for name, row in rows.items() if 'differences' in row]
            if timed := {name: row for name, row in rows.items() if 'ms' in row}:
                lines += [f'## {section}', '', *_times(timed, on_cpu), '']
            if checks:
                lines += [f'## {section}', '', *_checks({name: rows[name] for name in checks}), '']
            failed = [f'* {name}: {row["error"]}' for name, row in rows.items() if 'error' in row]
            if failed:
                lines += [f'Not measured of {section}:', '', *failed, '']
        return '\n'.join(lines).rstrip() + '\n'


def _times(rows: Mapping[str, Row], on_cpu: bool) -> list[str]:
    last = 'H100 by counts, ms' if on_cpu else 'share of the roofline'
    head = f'| | ms | images/s | launches | waits | peak, MB | GFLOP | TFLOP/s | {last} |'
    lines = [head, '|---' * 9 + '|']
    for name, row in rows.items():
        images, waits = row['images_per_s'], row['waits']
        number = row.get('estimate_ms') if on_cpu else row.get('share')
        cells = (
            f'{row["ms"]:.2f}',
            '' if images is None else f'{images:.1f}',
            f'{row["launches"]:,}',
            '' if waits is None else f'{waits}',
            f'{row["peak"] / 1e6:,.0f}',
            f'{row["flops"] / 1e9:,.1f}',
            f'{row["flops_per_s"] / 1e12:.2f}',
            '' if number is None else f'{number:.2f}',
        )
        lines.append(f'| {name} | ' + ' | '.join(cells) + ' |')
    return lines


def _checks(rows: Mapping[str, Row]) -> list[str]:
    lines = ['| | largest relative differences | limit | |', '|---|---|---|---|']
    for name, row in rows.items():
        shown = ', '.join(f'{what} {value:.1e}' for what, value in row['differences'].items())
        lines.append(f'| {name} | {shown} | {row["limit"]:.0e} | {"passed" if row["passed"] else "**failed**"} |')
    return lines


def write_report(
    folder: Path,
    setting: Setting,
    sections: Sequence[str] = tuple(SECTIONS),
    minutes: float = 8.0,
    say: Callable[[str], None] = print,
) -> tuple[Report, int]:
    """Measure what the report of a folder lacks, until the time is over.

    Args:
        folder: of the files ``<device>_<torch>_<version>.json`` and ``.md``.
        setting: device and sizes.
        sections: names, see :data:`SECTIONS`.
        minutes: that it may take; nothing begins that would end later if it took as long as the longest before.
        say: told what is done.

    Returns:
        The report, and how many measurements are left.
    """
    probe = probe_of(setting.device)
    report, end = Report.of(folder, setting, probe), time.monotonic() + 60 * minutes
    left, longest = 0, 0.0
    for section in sections:
        for case in SECTIONS[section](setting):
            if report.has(section, case.name):
                continue
            start = time.monotonic()
            if start + longest > end:
                left += 1
                continue
            try:
                row = case.measure(probe, setting.pick(1.0, 0.0))
            except Exception as error:  # what cannot be measured here leaves the time to the others, and is reported
                row = dict(error=f'{type(error).__name__}: {str(error).partition(chr(10))[0]}')
            report.put(section, case.name, row)
            longest = max(longest, time.monotonic() - start)
            say(f'{section}: {case.name}: {_short(row)}')
            gc.collect()
            if setting.device.type == 'cuda':
                torch.cuda.empty_cache()
    return report, left


def _short(row: Row) -> str:
    if 'error' in row:
        return row['error']
    return 'passed' if row.get('passed') else 'FAILED' if 'passed' in row else f'{row["ms"]:.2f} ms'
