"""Reading files: only regular ones, text as UTF-8, and numbers in text; errors name the file and the line.  Folders of
results that are used again.
"""

from __future__ import annotations

import csv
import fcntl
import io
import json
import logging
import os
import re
import shutil
import socket
import stat
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from itertools import count
from pathlib import Path
from typing import Any

_log = logging.getLogger(__name__)

DIGITS = 18
"""Largest number of digits of a whole number in text: what fits into 64 bits whatever the digits are."""


def read_bytes(path: str | Path, what: str = 'file') -> bytes:
    """The content of a regular file.

    Nothing else is opened: reading a named pipe or a device may never end.

    Args:
        path: the file.
        what: what it is, for messages.

    Raises:
        FileNotFoundError: there is no such file.
        OSError: it is a folder, a pipe, a device or a socket, or cannot be read; the message names it.
    """
    try:
        mode = Path(path).stat().st_mode
        if not stat.S_ISREG(mode):
            raise OSError(f'it is {kind_of_file(mode)}, not a regular file')
        return Path(path).read_bytes()
    except FileNotFoundError:
        raise FileNotFoundError(f'{what} {path} does not exist') from None
    except (OSError, ValueError) as error:  # ValueError: a name that no file can have
        raise OSError(f'{what} {path} cannot be read: {getattr(error, "strerror", None) or error}') from error


def kind_of_file(mode: int) -> str:
    """In words, what ``st_mode`` of a file that is not a regular one says that it is."""
    kinds = {
        stat.S_IFDIR: 'a folder',
        stat.S_IFIFO: 'a named pipe',
        stat.S_IFSOCK: 'a socket',
        stat.S_IFCHR: 'a device',
        stat.S_IFBLK: 'a device',
    }
    return kinds.get(stat.S_IFMT(mode), 'a special file')


def read_text(file: str | Path, what: str = 'file') -> str:
    r"""The content of a UTF-8 text file, with or without byte order mark; lines end with ``'\n'``.

    Raises:
        FileNotFoundError, OSError: as for :func:`read_bytes`.
        ValueError: it is not UTF-8, or contains a NUL character; the message names file, line and remedy.
    """
    content = read_bytes(file, what)
    try:
        text = content.decode('utf-8-sig')
    except UnicodeDecodeError as error:
        utf16 = content.startswith((b'\xff\xfe', b'\xfe\xff'))
        line = content[: error.start].count(b'\n') + 1
        found = 'it is UTF-16' if utf16 else f'byte 0x{content[error.start]:02x} is not'
        raise ValueError(
            f"{file}:{line}: not UTF-8 text ({found}); save the file in this encoding ('CSV UTF-8' in Excel)"
        ) from error
    if '\0' in text:
        line = text[: text.index('\0')].count('\n') + 1
        raise ValueError(f'{file}:{line}: there is a NUL character, which text has not; save the file as UTF-8 text')
    return text.replace('\r\n', '\n').replace('\r', '\n')


def read_lines(file: str | Path, what: str = 'file') -> Iterator[tuple[str, str]]:
    """``('<file>:<line number>', line)`` of every line of a text file that is not blank, without surrounding spaces.

    Lines end at line feeds and carriage returns alone, as in editors.
    """
    for number, line in enumerate(read_text(file, what).split('\n'), 1):
        if line.strip():
            yield f'{file}:{number}', line.strip()


def read_table(
    file: str | Path, required: Sequence[str], optional: Sequence[str] = (), otherwise: str = ''
) -> Iterator[tuple[str, dict[str, str]]]:
    """``('<file>:<line number>', column -> field)`` of every row of a CSV file; the first line names the columns.

    Args:
        file: the file.
        required: columns that must exist, with a field in every row.
        optional: columns that may exist; named in messages.
        otherwise: what can be done without one of them; ends the message about a missing one.

    Raises:
        ValueError: a missing or repeated column, a row of another length, an empty required field, or a field longer
            than :func:`csv.field_size_limit`.
    """
    rows = _rows(read_text(file), lambda line: f'{file}:{line}')
    columns = [name.strip() for name in next(rows, (1, []))[1]]
    missing = [name for name in required if name not in columns]
    if missing:
        more = f' and, if you have them, {" and ".join(optional)}' if optional else ''
        other = '; fields are separated by commas, not semicolons' if any(';' in name for name in columns) else ''
        raise ValueError(
            f'{file}:1: no column {", ".join(map(repr, missing))}; the first line must name the columns '
            f'{", ".join(required)}{more}{other}{otherwise}'
        )
    twice = [name for name in (*required, *optional) if columns.count(name) > 1]
    if twice:
        raise ValueError(f'{file}:1: {columns.count(twice[0])} columns are called {twice[0]!r}; remove all but one')
    for line, values in rows:
        if len(values) != len(columns):
            raise ValueError(f'{file}:{line}: expected {len(columns)} fields ({", ".join(columns)})')
        fields = {name: value.strip() for name, value in zip(columns, values, strict=True)}
        empty = [name for name in required if not fields[name]]
        if empty:
            raise ValueError(f'{file}:{line}: field {empty[0]!r} is empty')
        yield f'{file}:{line}', fields


def split_fields(line: str, place: str) -> list[str]:
    """The fields of one line in CSV's form; a ValueError begins with ``place``."""
    return next(_rows(line, lambda _: place), (1, []))[1]


def _rows(text: str, place: Callable[[int], str]) -> Iterator[tuple[int, list[str]]]:
    """Number of the first line, and fields, of every row in CSV's form that is not empty."""
    rows = csv.reader(io.StringIO(text, newline=''))
    while True:
        first = rows.line_num + 1
        try:
            fields = next(rows, None)
        except csv.Error as error:
            raise ValueError(f'{place(first)}: {error}; is a quotation mark not closed?') from error
        if fields is None:
            return
        if fields:
            yield first, fields


def read_json(file: str | Path, what: str = 'file') -> Any:
    """The content of a JSON file; a ValueError names an invalid file, and the line where the parser says it."""
    text = read_text(file, what)
    try:
        return json.loads(text)
    except json.JSONDecodeError as error:
        raise ValueError(f'{file}:{error.lineno}: not valid JSON: {error}') from error
    except (ValueError, RecursionError) as error:  # a number of thousands of digits; brackets thousands deep
        raise ValueError(f'{file}: not valid JSON: {error}') from error


METRICS_FILE = 'test_metrics.json'
"""Name of the file in a work directory with the metrics of the last test."""


def read_metrics(file: str | Path) -> dict[str, float]:
    """The metrics in a file such as ``test_metrics.json``.

    Raises:
        FileNotFoundError: no such file.
        ValueError: not names and numbers.
    """
    return checked_metrics(read_json(file, 'metrics of a test'), file)


def checked_metrics(content: Any, file: str | Path) -> dict[str, float]:
    """The content of a file if it is metrics, a number for each name.

    Raises:
        ValueError: it is not.
    """
    if not isinstance(content, dict) or not all(isinstance(value, (int, float)) for value in content.values()):
        raise ValueError(f'{file} holds no metrics of a test: a {METRICS_FILE} has a number for each name')
    return content


def whole_number(text: str, place: str) -> int | None:
    """The number that a text of decimal digits stands for; None for any other text, also negative numbers.

    Args:
        text: the text.
        place: file and line, for the message.

    Raises:
        ValueError: more digits than 64 bits hold.
    """
    if not text.isdecimal():
        return None
    digits = text.lstrip('0') or '0'
    if len(digits) > DIGITS:
        raise ValueError(f'{place}: {shortened(text)!r} has {len(digits)} digits; a number has at most {DIGITS}')
    return int(digits)


def is_text(name: str) -> bool:
    """Whether a name can be written as UTF-8: names of files may hold other bytes, and JSON half of a character."""
    try:
        name.encode()
    except UnicodeEncodeError:
        return False
    return True


_ODD_NUMBER = re.compile(r'[+-]\d+|[+-]?(\d+\.\d*|\.\d+)(e[+-]?\d+)?|\d+e[+-]\d+|nan|<na>', re.IGNORECASE)


def is_odd_number(text: str) -> bool:
    """Whether a text is a number that numbers nothing, such as those of a table with empty cells: 3.0, -2, nan."""
    return _ODD_NUMBER.fullmatch(text) is not None


WHOLE_NUMBERS = (
    'a table with empty cells is written with 1.0 for 1 and nan for nothing: fill the cells, and write whole numbers '
    '(in pandas, astype(int))'
)
"""What to do about such numbers, for messages."""


def shortened(text: str, length: int = 40) -> str:
    """The text, or its beginning with an ellipsis if it has more than ``length`` characters."""
    return text if len(text) <= length else f'{text[: length - 3]}...'


# --------------------------------------------------------------------------------------------------- folders of results


@contextmanager
def naming_place(place: str | Path) -> Iterator[None]:
    """Errors of the system without a name of a file, such as those of a full disk, get that of a file or folder."""
    try:
        yield
    except OSError as error:
        if error.errno is not None and error.filename is None:
            error.filename = str(place)
        raise


HOST = re.sub(r'[^\w-]', '-', socket.gethostname()) or 'host'
"""Name of this machine in names of temporary files."""


@contextmanager
def written_whole(path: str | Path) -> Iterator[Path]:
    """The name of a temporary file beside ``path``, which replaces it at the end of the block.

    A process that is killed half-way leaves the old file, or none, never a broken one.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f'.{path.name}.{HOST}.{os.getpid()}.tmp')
    try:
        with naming_place(path):
            yield temporary
            os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


EARLIER = 'earlier'
"""Folder, in one that is used again, of what was in it before."""


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Until the block ends, other processes wait that lock the same folder."""
    lock = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
    finally:
        os.close(lock)


def set_aside(
    folder: str | Path, patterns: Iterable[str], logs: Iterable[str] = (), keep: Iterable[str | Path] = ()
) -> Path | None:
    """Move results of an earlier run of a tool to ``<folder>/earlier/<time of the newest of them>``, with a warning.

    Those that the new run does not replace would otherwise be taken for its own.  Anything else in the folder stays.

    Args:
        folder: that a tool is about to write into; it need not exist.
        patterns: shell-style names of what the tool writes, relative to the folder.
        logs: the same for what is moved along with results, and left alone where there are none.
        keep: files and folders that stay.

    Returns:
        The folder that they were moved to; None if there were none.

    Raises:
        OSError: one cannot be moved; those before it are in the folder that is named.
    """
    folder, kept = Path(folder), {Path(path).resolve() for path in keep}

    def matches(names: Iterable[str]) -> list[Path]:
        return [path for name in names for path in sorted(folder.glob(name)) if path.resolve() not in kept]

    found = matches(patterns)
    if not found:
        return None
    number, example = len(found), found[0].relative_to(folder)
    newest = max(path.lstat().st_mtime for path in found)
    found += matches(logs)
    target = _new_folder(folder / EARLIER, time.strftime('%Y%m%d_%H%M%S', time.localtime(newest)))
    for path in found:
        _move(path, target / path.relative_to(folder))
    what = f'a result of an earlier run, {example}, is' if number == 1 else (
        f'{number} results of an earlier run, such as {example}, are'
    )  # fmt: skip
    _log.warning('%s: %s moved to %s', folder, what, target)
    return target


def _new_folder(parent: Path, name: str) -> Path:
    """Make a folder of that name, or with a number behind it where there is one."""
    for turn in count():
        target = parent / (f'{name}_{turn}' if turn else name)
        try:
            target.mkdir(parents=True)
        except FileExistsError:
            if not parent.is_dir():
                raise
        else:
            return target


def _move(path: Path, place: Path) -> None:
    """Move a file, folder or link, also to another disk; a link leads where it led before.

    Raises:
        OSError: it cannot be moved.
    """
    try:
        place.parent.mkdir(parents=True, exist_ok=True)
        if path.is_symlink():
            place.symlink_to(path.parent.resolve() / path.readlink())
            path.unlink()
        else:
            shutil.move(path, place)
    except OSError as error:
        raise OSError(
            f'{path}, a result of an earlier run, cannot be moved to {place} ({error.strerror or error}): move or '
            'delete it, or choose another folder'
        ) from error
