"""Errors of the machine become one line that names the file and the option to change."""

import errno
import multiprocessing
import os
import re
import signal
import sys

import pytest
import torch
from torch.utils.data import DataLoader

from vlprompt.apis.command_line import call, user_message
from vlprompt.apis.faults import explain_fault
from vlprompt.engine.writing import write_checkpoint
from vlprompt.errors import NonFiniteError, RunError, Stopped

CASES = [
    (OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), 'w/resume.pth'), r'w/resume.pth .*disk is full.*--resume'),
    (OSError(errno.EFBIG, os.strerror(errno.EFBIG)), r'a file cannot be written.*ulimit -f'),
    (OSError(errno.EROFS, os.strerror(errno.EROFS), '/ro/w'), r'/ro/w .*read-only: choose another folder'),
    (PermissionError(errno.EACCES, os.strerror(errno.EACCES), '/root/w'), r': /root/w is not accessible'),
    (FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), 'w'), r'w is a file where a folder is needed'),
    (OSError(errno.ENOMEM, os.strerror(errno.ENOMEM)), 'the machine is out of memory'),
    (MemoryError(), r'MemoryError: the machine is out of memory: lower train_dataloader.batch_size'),
    (
        RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory: you tried to allocate 4194304 bytes."),
        r'out of memory \(it tried to allocate 4194304 bytes\): lower',
    ),
    (torch.OutOfMemoryError('CUDA out of memory. Tried to allocate 2.00 GiB.'), r'GPU.*allocate 2.00 GiB.*batch_size'),
    (RuntimeError('DataLoader worker (pid(s) 21403) exited unexpectedly'), 'was killed.*num_workers.*--resume'),
    (RuntimeError('DataLoader worker (pid 7) is killed by signal: Killed. '), 'was killed'),
    (
        RuntimeError('DataLoader worker (pid 7) is killed by signal: Bus error. It is possible that dataloader workers '
                     'are out of shared memory.'),
        '/dev/shm.*--shm-size',
    ),
    (RuntimeError('unable to resize file </torch_1> to the right size: File too large (27)'), 'ulimit -f unlimited'),
    (RuntimeError('unable to resize file </torch_1> to the right size: No space left on device (28)'), '/dev/shm'),
    (
        RuntimeError('unable to open shared memory object </torch_1_2_0> in read-write mode: Too many open files (24)'),
        r'ulimit -n.*num_workers=0',
    ),
    (RuntimeError('received 0 items of ancdata'), 'ulimit -n'),
    (RuntimeError('InvalidCxxCompiler: No working C++ compiler found in x'), 'no compiler: .*without --compile'),
    (RuntimeError('The server socket has failed to listen. EADDRINUSE'), 'MASTER_PORT'),
]  # fmt: skip


@pytest.mark.parametrize(('error', 'message'), CASES, ids=lambda value: str(value)[:30])
def test_a_fault_is_one_line_with_a_remedy(error, message):
    text = explain_fault(error)
    assert '\n' not in text

    assert re.search(message, text), text
    assert user_message(error) == text


@pytest.mark.parametrize('error', [RuntimeError('shapes differ'), KeyError('x'), OSError('image a.png cannot be read')])
def test_other_errors_are_left_alone(error):
    assert explain_fault(error) is None


def test_a_mistake_in_the_code_keeps_its_traceback():
    def broken():
        raise KeyError('x')

    with pytest.raises(KeyError):
        call(broken)


@pytest.mark.parametrize('error', [NonFiniteError('loss_cls is nan'), RunError('in use')])
def test_own_errors_are_one_line(error):
    def failing():
        raise error

    with pytest.raises(SystemExit, match=f'^{type(error).__name__}: {error}$'):
        call(failing)


def test_a_stopped_training_ends_with_the_code_of_its_signal(capsys):
    def stopped():
        raise Stopped('saved', signal.SIGTERM)

    with pytest.raises(SystemExit) as end:
        call(stopped)
    assert end.value.code == 143
    assert capsys.readouterr().err == 'saved\n'


def test_a_killed_worker_is_recognised():
    """What torch really says."""

    class Killing:
        def __len__(self):
            return 4

        def __getitem__(self, index):
            os.kill(os.getpid(), signal.SIGKILL)

    with pytest.raises(RuntimeError) as error:
        list(DataLoader(Killing(), num_workers=1))
    assert 'lower num_workers' in explain_fault(error.value)


def _write_with_limit(folder, limit, queue):
    import resource

    torch.set_num_threads(1)  # the threads that earlier tests have started are not in a forked process
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, resource.RLIM_INFINITY))
    try:
        write_checkpoint(dict(a=torch.ones(100_000)), folder / 'resume.pth')
    except OSError as error:
        queue.put((explain_fault(error), sorted(os.listdir(folder))))


@pytest.mark.parametrize('limit', [0, 1000, 300_000])
def test_a_file_that_cannot_grow_is_named(tmp_path, limit):
    """torch hides the system's error behind one of its own; nothing is left over and the old file stays."""
    write_checkpoint(dict(a=torch.zeros(1)), tmp_path / 'resume.pth')
    context = multiprocessing.get_context('fork')
    queue = context.Queue()
    process = context.Process(target=_write_with_limit, args=(tmp_path, limit, queue))
    process.start()
    message, left = queue.get(timeout=60)
    process.join()
    assert f'{tmp_path / "resume.pth"} cannot be written, since it is larger than the limit' in message
    assert left == ['resume.pth']
    assert torch.load(tmp_path / 'resume.pth', weights_only=True)['a'] == 0


@pytest.mark.skipif(sys.platform != 'linux', reason='/dev/full')
def test_a_full_disk_is_named(tmp_path):
    (tmp_path / 'full').symlink_to('/dev/full')
    from vlprompt.engine import writing

    with open('/dev/full', 'wb', buffering=0) as file:
        stream = writing._Stream(file)
        with pytest.raises((OSError, RuntimeError)):
            torch.save(dict(a=torch.ones(1000)), stream)
    assert stream.error.errno == errno.ENOSPC
