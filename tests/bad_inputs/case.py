"""A case: how its input is written, what is run on it, and what must come of it."""

from __future__ import annotations

import contextlib
import io
import os
import re
import resource
import signal
import sys
import tempfile
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import vlprompt.models.detectors  # once here: every forked process would import mmdet and mmseg
import vlprompt.models.segmentors  # noqa: F401
from tools.dataset_converters import check_dataset
from tools.model_converters import official
from vlprompt.apis.command_line import call
from vlprompt.cli import predict, test, train

TOOLS = dict(train=train, test=test, predict=predict, check=check_dataset, convert=official)
SECONDS, MEMORY = 120, 4 * 2**30
CLASSES = ('clear message', 'accepted rightly', 'traceback', 'silent')


@dataclass(frozen=True)
class Case:
    """An input and its right answer.

    Args:
        kind: of input, for the table.
        name: what is odd about it.
        make: ``make(folder)`` writes the input and returns the tool and its arguments.
        refused: pattern of the message that ends the run; None if the input is right or only odd.
        says: pattern that the output must contain, of an input that is not refused.
    """

    kind: str
    name: str
    make: Callable[[Path], list]
    refused: str | None = None
    says: str | None = None

    def __str__(self) -> str:
        return f'{self.kind}: {self.name}'


@dataclass(frozen=True)
class Outcome:
    """What a run did: its exit code (negative: the signal that ended it), message and output."""

    code: int
    message: str
    output: str

    def classify(self, case: Case) -> str:
        """One of :data:`CLASSES`: 'silent' is anything accepted, or refused in other words, against the answer."""
        if self.code < 0 or self.message.startswith('Traceback'):
            return 'traceback'
        if case.refused is not None:
            found = self.code and re.search(case.refused, self.message or self.output, re.S)  # of check_dataset
            return 'clear message' if found else 'silent'
        found = self.code == 0 and re.search(case.says or '', self.output, re.S)
        return 'accepted rightly' if found else 'silent'


CASES: list[Case] = []


def add(
    kind: str, name: str, make: Callable[[Path], list], refused: str | None = None, says: str | None = None
) -> None:
    """Add a case."""
    CASES.append(Case(kind, name, make, refused, says))


def case(kind: str, name: str, refused: str | None = None, says: str | None = None) -> Callable:
    """Decorator that adds a case whose input a function writes."""

    def decorate(make: Callable[[Path], list]) -> Callable[[Path], list]:
        add(kind, name, make, refused, says)
        return make

    return decorate


def run(case: Case, keep: Callable[[Path], None] = lambda folder: None) -> Outcome:
    """Run a case in a forked process, which may crash, hang or use too much memory.

    Args:
        case: to run.
        keep: called with the folder afterwards, before it is removed.
    """
    with tempfile.TemporaryDirectory(prefix='vlprompt') as name:
        folder = Path(name)
        tool, *arguments = case.make(folder)
        pid = os.fork()
        if pid == 0:
            _child(folder, tool, [str(argument) for argument in arguments])
        code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
        message = folder / 'message'
        keep(folder)
        return Outcome(
            code,
            message.read_text(errors='replace') if message.is_file() else '',
            (folder / 'output').read_text(errors='replace'),
        )


def _child(folder: Path, tool: str, arguments: list[str]) -> None:
    code, message = 1, ''
    try:
        with open(folder / 'output', 'wb') as output:
            os.dup2(output.fileno(), 1)
            os.dup2(output.fileno(), 2)
        sys.stdout, sys.stderr = (  # not those of pytest
            io.TextIOWrapper(io.FileIO(fd, 'w', closefd=False), line_buffering=True) for fd in (1, 2)
        )
        signal.alarm(SECONDS)
        used = int(Path('/proc/self/statm').read_text().split()[0]) * resource.getpagesize()
        resource.setrlimit(resource.RLIMIT_AS, (used + MEMORY,) * 2)
        os.chdir(folder)
        sys.argv = [tool, *arguments]
        result = []
        call(lambda: result.append(TOOLS[tool].main()))
        code = result[0] or 0
    except SystemExit as end:
        code, message = (end.code or 0, '') if not isinstance(end.code, str) else (1, end.code)
    except BaseException:
        message = traceback.format_exc()
    finally:
        for stream in (sys.stdout, sys.stderr):
            with contextlib.suppress(ValueError):
                stream.flush()
        (folder / 'message').write_text(message, errors='backslashreplace')
        os._exit(code)
