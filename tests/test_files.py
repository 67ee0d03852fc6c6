"""Reading files: every encoding and every kind of file that is not text ends in a message with its name."""

import errno
import os
import shutil
import socket

import pytest

from vlprompt.files import (
    naming_place,
    read_bytes,
    read_json,
    read_lines,
    read_table,
    read_text,
    set_aside,
    split_fields,
    whole_number,
)


@pytest.fixture
def write(tmp_path):
    def of(content, name='a.txt'):
        path = tmp_path / name
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return path

    return of


def test_a_byte_order_mark_is_no_character(write):
    assert read_text(write('\ufeffKäfer\r\nHund\rMaus')) == 'Käfer\nHund\nMaus'
    assert read_json(write('\ufeff{"a": 1}')) == {'a': 1}
    rows = list(read_table(write('\ufeffpath,label\r\na.png,Käfer\r\n'), ['path', 'label']))
    assert [fields for _, fields in rows] == [dict(path='a.png', label='Käfer')]


@pytest.mark.parametrize(
    ('content', 'message'),
    [
        ('cat\nKäfer\n'.encode('cp1252'), r'a\.txt:2: not UTF-8 text \(byte 0xe4 is not\); save the file'),
        ('cat\n'.encode('utf-16'), r'a\.txt:1: not UTF-8 text \(it is UTF-16\); save the file'),
        ('cat\ndog\n'.encode('utf-16-le'), r'a\.txt:1: there is a NUL character'),
        (b'cat\nd\0g\n', r'a\.txt:2: there is a NUL character'),
    ],
)
def test_other_encodings_name_file_line_and_remedy(write, content, message):
    for read in (read_text, lambda path: list(read_lines(path)), read_json, lambda path: list(read_table(path, ['a']))):
        with pytest.raises(ValueError, match=message):
            read(write(content))


def test_lines_end_where_editors_end_them(write):
    path = write('a\x0bb\n\n\u2028c\x85d\r\n')
    assert list(read_lines(path)) == [(f'{path}:1', 'a\x0bb'), (f'{path}:3', 'c\x85d')]


def test_what_is_no_regular_file_is_never_opened(tmp_path):
    os.mkfifo(tmp_path / 'pipe')
    with socket.socket(socket.AF_UNIX) as listening:
        folder = os.getcwd()
        os.chdir(tmp_path)  # names of sockets are short
        try:
            listening.bind('socket')
        finally:
            os.chdir(folder)
        for path, kind in (
            (tmp_path / 'pipe', 'a named pipe'),
            (tmp_path / 'socket', 'a socket'),
            (tmp_path, 'a folder'),
            ('/dev/zero', 'a device'),
        ):
            with pytest.raises(OSError, match=rf'^list {path} cannot be read: it is {kind}, not a regular file$'):
                read_bytes(path, 'list')


def test_missing_and_impossible_names(tmp_path):
    (tmp_path / 'loop').symlink_to(tmp_path / 'loop')
    with pytest.raises(FileNotFoundError, match=r'^list .*/none does not exist$'):
        read_text(tmp_path / 'none', 'list')
    with pytest.raises(OSError, match=r'/loop cannot be read: Too many levels of symbolic links'):
        read_bytes(tmp_path / 'loop')
    with pytest.raises(OSError, match=r'cannot be read: embedded null byte'):
        read_bytes('a\0b')
    with pytest.raises(OSError, match=r'cannot be read: File name too long'):
        read_bytes(tmp_path / ('a' * 5000))


@pytest.mark.parametrize(
    ('content', 'message'),
    [
        (
            'path,label\na,b\n"' + 'x' * 131_073 + '",c\n',
            r'a\.txt:3: field larger than field limit \(131072\); is a quo',
        ),
        ('path,label\n\n"a.png,cat\nb.png,dog\n', r'a\.txt:3: expected 2 fields'),
        ('path;label\n', r"a\.txt:1: no column 'path', 'label'.* separated by commas, not semicolons"),
        ('path,label,path\n', r"a\.txt:1: 2 columns are called 'path'"),
        ('path,label\na.png,\n', r"a\.txt:2: field 'label' is empty"),
        ('', r"a\.txt:1: no column 'path'"),
    ],
)
def test_tables(write, content, message):
    with pytest.raises(ValueError, match=message):
        list(read_table(write(content), ('path', 'label')))


def test_fields_of_a_line():
    assert split_fields('"a, b.png",cat', 'list:3') == ['a, b.png', 'cat']
    with pytest.raises(ValueError, match=r'^list:3: field larger than field limit'):
        split_fields('x' * 131_073 + ',cat', 'list:3')


@pytest.mark.parametrize(
    ('content', 'message'),
    [
        ('{"a":\n oops}', r'a\.txt:2: not valid JSON'),
        ('[' * 100_000, r'a\.txt: not valid JSON'),
        ('[' + '1' * 5000 + ']', r'a\.txt: not valid JSON: .*5000 digits'),
    ],
)
def test_json(write, content, message):
    with pytest.raises(ValueError, match=message):
        read_json(write(content))


def test_whole_numbers():
    assert [whole_number(text, 'list:1') for text in ('0', '007', '9' * 18, '0' * 5000 + '3')] == [0, 7, 10**18 - 1, 3]
    assert [whole_number(text, 'list:1') for text in ('', '-1', '3.0', '²', '1e5', 'cat')] == [None] * 6
    with pytest.raises(ValueError, match=r"^list:1: '1111.*\.\.\.' has 5000 digits; a number has at most 18$"):
        whole_number('1' * 5000, 'list:1')


def test_results_of_an_earlier_run_are_set_aside_and_named(tmp_path, caplog):
    for name in ('a.json', 'b.png', 'own.png', 'part/c.png', 'log/1', 'notes.txt'):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(name)
    assert set_aside(tmp_path, ['*.csv'], logs=['log']) is None
    assert set_aside(tmp_path / 'new', ['*']) is None
    target = set_aside(tmp_path, ['*.json', '*.png', 'part/*.png'], ['log'], keep=[tmp_path / 'own.png'])
    assert target.parent == tmp_path / 'earlier'
    moved = sorted(str(path.relative_to(target)) for path in target.rglob('*') if path.is_file())
    assert moved == ['a.json', 'b.png', 'log/1', 'part/c.png']
    assert {path.name for path in tmp_path.iterdir()} == {'own.png', 'part', 'notes.txt', 'earlier'}
    assert f'{tmp_path}: 3 results of an earlier run, such as a.json, are moved to {target}' in caplog.text
    (tmp_path / 'd.json').touch()
    set_aside(tmp_path, ['*.json'])
    assert f'{tmp_path}: a result of an earlier run, d.json, is moved to ' in caplog.text


def test_results_move_to_another_disk_and_links_lead_where_they_led(tmp_path, monkeypatch, caplog):
    def other_disk(source, target):
        raise OSError(errno.EXDEV, 'Invalid cross-device link', str(source), None, str(target))

    folder = tmp_path / 'run'
    (folder / 'logs').mkdir(parents=True)
    (folder / 'logs' / 'a').write_text('log')
    (folder / 'b.png').write_text('picture')
    (tmp_path / 'store').write_text('far away')
    (folder / 'c.png').symlink_to('../store')
    monkeypatch.setattr(os, 'rename', other_disk)
    target = set_aside(folder, ['logs', '*.png'])
    assert {path.name: path.read_text() for path in target.glob('*.png')} == {'b.png': 'picture', 'c.png': 'far away'}
    assert (target / 'c.png').is_symlink()
    assert (target / 'logs' / 'a').read_text() == 'log'
    assert [path.name for path in folder.iterdir()] == ['earlier']


def test_a_result_that_cannot_be_moved_is_named(tmp_path, monkeypatch):
    def fail(source, target):
        raise PermissionError(errno.EPERM, 'Operation not permitted', str(source))

    (tmp_path / 'a.png').touch()
    monkeypatch.setattr(shutil, 'move', fail)
    with pytest.raises(OSError, match=rf'^{tmp_path}/a\.png, a result .* \(Operation not permitted\): move or delete'):
        set_aside(tmp_path, ['*.png'])


def test_nothing_that_was_set_aside_is_replaced(tmp_path):
    targets = []
    for text in '123':
        (tmp_path / 'a').write_text(text)
        os.utime(tmp_path / 'a', (0, 0))
        targets.append(set_aside(tmp_path, ['a']))
    assert [(target / 'a').read_text() for target in targets] == ['1', '2', '3']


def test_errors_of_the_system_get_the_name_of_a_place(tmp_path):
    for error, name in ((OSError(errno.ENOSPC, 'full'), tmp_path), (OSError(errno.ENOSPC, 'full', 'a'), 'a')):
        with pytest.raises(OSError, match='full') as raised, naming_place(tmp_path):
            raise error
        assert raised.value.filename == str(name)
