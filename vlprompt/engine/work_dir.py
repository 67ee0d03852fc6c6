"""The folder of a run: one training at a time in it, files that appear whole or not at all, no leftovers of dead runs,
and results of an earlier one set aside.

Needs no torch.
"""

from __future__ import annotations

import errno
import fcntl
import os
import re
import shlex
import socket
import sys
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from mmengine.logging import print_log

from vlprompt.errors import RunError
from vlprompt.files import HOST, METRICS_FILE, set_aside, written_whole

LOCK_FILE = '.training'
"""Locked by the training that uses a folder; holds a line about it.  The file stays, the lock dies with the process."""

_HELD: dict[Path, IO[str]] = {}
"""Folders that this process has claimed, with the open lock file."""

_RUN: list[Path] = []
"""The folder of :func:`one_run`, in its block."""

_KEPT: set[Path] = set()
"""Folders that were claimed in the block of :func:`one_run`."""

_DAY = 24 * 3600


def claim(folder: str | Path) -> None:
    """Claim a folder for a training of this process; :func:`release` ends it, or the end of the process does.

    A second claim of the same process is accepted.  Where the file system has no locks, a line in the log says so.
    In a block of :func:`one_run`, its folder is claimed too.

    Raises:
        RunError: another process trains in this folder.
    """
    for single in (*_RUN, Path(folder).resolve()):
        if single not in _HELD:
            _lock(single)


def _lock(folder: Path) -> None:
    file = open(folder / LOCK_FILE, 'a+', encoding='utf-8')  # noqa: SIM115  (open as long as the lock is held)
    try:
        fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)  # of this process alone: data workers do not inherit it
    except OSError as error:
        file.seek(0)
        other = file.read().strip()
        file.close()
        if error.errno not in (errno.EACCES, errno.EAGAIN):
            print_log(f'{folder} cannot be locked ({error.strerror}): start no second training in it.', 'current')
            return
        raise RunError(
            f'another training uses {folder}: {other or "it has not said which"}. '
            'Choose another folder with --work-dir, or wait until it has ended'
        ) from None
    file.truncate(0)
    started = time.strftime('%Y-%m-%d %H:%M:%S')
    file.write(f'process {os.getpid()} on {socket.gethostname()}, started {started} by {shlex.join(sys.argv)}\n')
    file.flush()
    _HELD[folder] = file
    if _RUN:
        _KEPT.add(folder)


def release(folder: str | Path) -> None:
    """Give up a folder that this process has claimed; if it was in a block of :func:`one_run`, that does so."""
    folder = Path(folder).resolve()
    file = None if folder in _KEPT else _HELD.pop(folder, None)
    if file is not None:
        file.truncate(0)
        file.close()


@contextmanager
def one_run(folder: str | Path) -> Iterator[None]:
    """A block whose trainings, one after another, are one run in a folder, as are the phases of a config and a test.

    The first :func:`claim` in it claims ``folder`` too, and what is claimed in it stays so to its end.  (Processes of a
    distributed run that claim nothing hold nothing.)  A block within a block belongs to the outer one.
    """
    if _RUN:
        yield
        return
    _RUN.append(Path(folder).resolve())
    try:
        yield
    finally:
        _RUN.clear()
        while _KEPT:
            release(_KEPT.pop())


# --------------------------------------------------------------------------------------------------------------- files


def remove_leftovers(folder: str | Path) -> list[Path]:
    """Remove temporary files of :func:`~vlprompt.files.written_whole` whose processes have died, and return them.

    Those of another host belong to a dead process if this one has claimed the folder, or if they are a day old.
    """
    folder = Path(folder)
    claimed = folder.resolve() in _HELD
    removed = []
    for file in folder.glob('.*.tmp'):
        match = re.fullmatch(r'\..+\.([\w-]+)\.(\d+)\.tmp', file.name)
        if match is None:
            continue
        host, process = match.group(1), int(match.group(2))
        try:
            old = time.time() - file.stat().st_mtime > _DAY
            if (not _is_alive(process)) if host == HOST else (claimed or old):
                file.unlink()
                removed.append(file)
        except FileNotFoundError:  # its process has just finished
            continue
    return removed


TESTED_FILE = 'tested.json'
"""Name of the file beside it with the same ``metrics`` and the ``checkpoint`` that was tested: its path from there, or
None for none."""

FIT_FILE = 'fit.json'
"""Name of the file in a work directory that says how a solver was fitted, and what chose its hyper-parameters."""

RUN_FILES = ('epoch_*.pth', 'iter_*.pth', 'best_*.pth', 'resume.pth', 'last_checkpoint', FIT_FILE)
"""What a training leaves in its folder, besides logs."""

LOG_FOLDERS = '[0-9]' * 8 + '_' + '[0-9]' * 6
"""Names of the folders of logs, the times at which they were begun."""


def set_run_aside(folder: str | Path, parts: Iterable[str] = ('',), keep: Iterable[str | Path] = ()) -> Path | None:
    """:func:`~vlprompt.files.set_aside` of an earlier training, its logs and its test.

    Logs that were begun after the newest result stay: they may be those of a test that runs.

    Args:
        folder: of the run.
        parts: folders in it that hold a training each, the phases that the new run begins; ``''``: the folder itself.
        keep: files and folders that stay, such as the log of the new run.
    """
    folder, parts = Path(folder), list(parts)
    results = [*(str(Path(part, name)) for part in parts for name in RUN_FILES), METRICS_FILE, TESTED_FILE]
    newest = max((path.lstat().st_mtime for name in results for path in folder.glob(name)), default=0)
    logs = [path for part in parts for path in folder.glob(str(Path(part, LOG_FOLDERS)))]
    older = [str(path.relative_to(folder)) for path in logs if path.lstat().st_mtime <= newest]
    target = set_aside(folder, results, older, keep)
    for naming in target.rglob('last_checkpoint') if target else ():
        if name := Path(naming.read_text()).name:  # empty if mmengine's own runner was killed while it wrote
            with written_whole(naming) as file:  # it names the new run's else
                file.write_text(str(naming.with_name(name)))
    return target


def _is_alive(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except PermissionError:  # of another user
        return True
    return True
