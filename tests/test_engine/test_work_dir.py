"""One training in a folder; files that appear whole; leftovers of dead processes."""

import multiprocessing
import os
import socket
import subprocess
import sys
import time

import pytest

from tests.interruption import claim_elsewhere
from vlprompt.engine import work_dir as module
from vlprompt.engine.work_dir import LOCK_FILE, claim, one_run, release, remove_leftovers
from vlprompt.errors import RunError
from vlprompt.files import written_whole

HOLD = """
import sys, time
from vlprompt.engine.work_dir import claim
claim(sys.argv[1])
print('claimed', flush=True)
time.sleep(60)
"""


@pytest.fixture
def other(tmp_path):
    """Another process that has claimed ``tmp_path``."""
    process = subprocess.Popen([sys.executable, '-c', HOLD, str(tmp_path)], stdout=subprocess.PIPE, text=True)
    assert process.stdout.readline() == 'claimed\n'
    yield process
    process.kill()
    process.wait()


@pytest.mark.slow
def test_a_second_training_is_refused_until_the_first_has_died(tmp_path, other):
    with pytest.raises(RunError) as error:
        claim(tmp_path)
    message = str(error.value)
    assert f'process {other.pid} on {socket.gethostname()}, started 20' in message
    assert '--work-dir' in message
    other.kill()
    other.wait()
    claim(tmp_path)
    assert f'process {os.getpid()} ' in (tmp_path / LOCK_FILE).read_text()
    release(tmp_path)


def test_the_same_process_may_claim_again_and_releases_once(tmp_path):
    claim(tmp_path)
    claim(tmp_path / '..' / tmp_path.name)
    release(tmp_path)
    release(tmp_path)
    assert (tmp_path / LOCK_FILE).read_text() == ''


def test_a_data_worker_neither_keeps_nor_drops_the_lock(tmp_path):
    """Forked children share open files, but a record lock belongs to one process."""
    claim(tmp_path)
    assert f'process {os.getpid()} ' in claim_elsewhere(tmp_path)
    sleeper = multiprocessing.get_context('fork').Process(target=time.sleep, args=(60,))
    sleeper.start()
    release(tmp_path)
    assert claim_elsewhere(tmp_path) == ''
    sleeper.kill()
    sleeper.join()


def test_what_is_claimed_in_one_run_stays_so_to_its_end(tmp_path):
    before, base, part = (tmp_path / name for name in ('before', 'base', 'base/part'))
    for folder in (before, part):
        folder.mkdir(parents=True)
    claim(before)
    with one_run(base):
        assert not (base / LOCK_FILE).exists(), 'a process that claims nothing holds nothing'
        with one_run(part):
            claim(part)
            release(part)
        release(before)
        for folder in (base, part):
            assert f'process {os.getpid()} ' in claim_elsewhere(folder)
        assert claim_elsewhere(before) == ''
    for folder in (base, part):
        assert claim_elsewhere(folder) == ''


def test_a_run_that_fails_gives_up_what_it_claimed(tmp_path):
    def fail():
        with one_run(tmp_path):
            claim(tmp_path)
            raise ArithmeticError

    with pytest.raises(ArithmeticError):
        fail()
    assert claim_elsewhere(tmp_path) == ''


def test_a_disk_without_locks_is_no_obstacle(tmp_path, monkeypatch, capfd):
    def no_locks(*arguments):
        raise OSError(37, 'No locks available')

    monkeypatch.setattr(module.fcntl, 'lockf', no_locks)
    claim(tmp_path)
    assert tmp_path not in module._HELD


def test_a_file_appears_whole_or_not_at_all(tmp_path):
    path = tmp_path / 'new' / 'a.txt'
    with written_whole(path) as temporary:
        temporary.write_text('first')
    with pytest.raises(TypeError), written_whole(path) as temporary:
        temporary.write_text(2)
    assert path.read_text() == 'first'
    assert [p.name for p in path.parent.iterdir()] == ['a.txt']


def test_leftovers_of_dead_processes_are_removed(tmp_path):
    dead = subprocess.Popen([sys.executable, '-c', ''])
    dead.wait()
    host = module.HOST
    names = {
        'dead': f'.epoch_1.pth.{host}.{dead.pid}.tmp',
        'alive': f'.resume.pth.{host}.{os.getppid()}.tmp',
        'foreign': '.epoch_2.pth.node-7.123.tmp',
        'old': '.epoch_3.pth.node-7.124.tmp',
        'strange': '.something.tmp',
    }
    for name in names.values():
        (tmp_path / name).touch()
    yesterday = time.time() - 25 * 3600
    os.utime(tmp_path / names['old'], (yesterday, yesterday))
    assert {p.name for p in remove_leftovers(tmp_path)} == {names['dead'], names['old']}
    claim(tmp_path)  # so no other training writes here
    assert {p.name for p in remove_leftovers(tmp_path)} == {names['foreign']}
    release(tmp_path)
    assert {p.name for p in tmp_path.glob('.*.tmp')} == {names['alive'], names['strange']}
