"""What to do about errors of the machine: full disks, memory, killed workers, folders that cannot be written.

They come from torch, mmengine or the system, in words that neither name the option to change nor what is safe.
Needs neither torch nor any mm package.
"""

from __future__ import annotations

import errno
import os
import re
from dataclasses import dataclass

from vlprompt.messages import LESS_GPU_MEMORY

_LESS_MEMORY = (
    'lower train_dataloader.batch_size (with optim_wrapper.accumulative_counts the effective size stays), the image '
    'size, or num_workers of the data loaders, each of which is a process of its own'
)
_NO_WORKERS = (
    'load the data without workers (--cfg-options train_dataloader.num_workers=0, and the same for the other loaders; '
    'in other tools --workers 0)'
)
_GO_ON = 'Files that were saved before are intact; a training goes on from its last checkpoint with --resume.'


@dataclass(frozen=True)
class Fault:
    """A kind of error.

    Attributes:
        pattern: regular expression that its text matches, with its class in front, ``'RuntimeError: ...'``; the group
            ``detail``, if any, is quoted.
        problem: what has happened.
        remedy: what to do.
        midway: whether it may come in the middle of a training, which can go on afterwards.
    """

    pattern: str
    problem: str
    remedy: str
    midway: bool = True


FAULTS = (
    Fault(
        r'OutOfMemoryError|CUDA out of memory|CUDA error: out of memory|CUBLAS_STATUS_ALLOC_FAILED',
        'the GPU is out of memory',
        LESS_GPU_MEMORY,
    ),
    Fault(
        r'shared memory object .*Too many open files|received 0 items of ancdata',
        'the data workers share more files than may be open',
        f'raise the limit (ulimit -n 65536), or {_NO_WORKERS}',
    ),
    Fault(
        r'</torch_.*File too large',
        'a batch of the data workers, which is a file in shared memory, is larger than the limit of the shell',
        f'raise the limit (ulimit -f unlimited), or {_NO_WORKERS}',
    ),
    Fault(
        r'No space left on device.*shm|</torch_.*No space left on device|unable to (?:open|allocate|mmap) shared '
        r'memory|[Bb]us error|insufficient shared',
        'the shared memory of the data workers (/dev/shm) is full',
        f'enlarge it (docker run --shm-size 8g), lower num_workers or batch_size of the data loaders, or {_NO_WORKERS}',
    ),
    Fault(
        r'^RuntimeError: DataLoader worker .*(?:exited unexpectedly|killed by signal)',
        'a process that loads data was killed, most likely because the machine ran out of memory',
        'lower num_workers or batch_size of the data loaders, or the image size',
    ),
    Fault(
        r'^MemoryError|DefaultCPUAllocator: (?:can.t allocate|not enough) memory|std::bad_alloc|\[Errno 12\]',
        'the machine is out of memory',
        _LESS_MEMORY,
    ),
    Fault(
        r'InvalidCxxCompiler|No working C\+\+ compiler|TritonMissing|Cannot find a working triton',
        'torch.compile finds no compiler',
        'install one (g++ for a CPU, triton for a GPU), or train without --compile',
        midway=False,
    ),
    Fault(
        r'EADDRINUSE|[Aa]ddress already in use',
        'the port by which the processes find each other is taken, perhaps by another run',
        'set another one, MASTER_PORT=29501, or end the other run',
        midway=False,
    ),
)
"""Looked up in this order."""

_OF_THE_SYSTEM = {
    errno.ENOSPC: ('cannot be written, since the disk is full', 'free some space'),
    errno.EDQUOT: ('cannot be written, since the quota of the disk is used up', 'free some space'),
    errno.EFBIG: ('cannot be written, since it is larger than the limit of the shell', 'raise the limit (ulimit -f)'),
    errno.EROFS: ('cannot be written, since its disk is read-only', 'choose another folder with --work-dir'),
    errno.EACCES: ('is not accessible for this user', 'change its permissions, or choose another folder'),
    errno.EPERM: ('is not accessible for this user', 'change its permissions, or choose another folder'),
    errno.EEXIST: ('is a file where a folder is needed', 'choose another folder, or move the file away'),
    errno.ENOTDIR: ('is a file where a folder is needed', 'choose another folder, or move the file away'),
    errno.EMFILE: ('cannot be opened, since too many files are open', 'raise the limit (ulimit -n 65536)'),
    errno.EIO: ('cannot be read or written: the disk reports an error', 'check the disk'),
    errno.ENAMETOOLONG: ('has a name that is too long for its disk', 'choose a shorter one'),
}
_MIDWAY = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO)


def explain_fault(error: BaseException) -> str | None:
    """One line that says what has happened, to which file, and what to do; None for any other error."""
    if isinstance(error, OSError) and error.errno in _OF_THE_SYSTEM:
        problem, remedy = _OF_THE_SYSTEM[error.errno]
        name = os.fsdecode(error.filename) if isinstance(error.filename, (str, bytes)) else 'a file'
        ending = f' {_GO_ON}' if error.errno in _MIDWAY else ''
        return f'{type(error).__name__}: {name} {problem}: {remedy}.{ending}'
    text = f'{type(error).__name__}: {error}'
    for fault in FAULTS:
        if re.search(fault.pattern, text, re.DOTALL):
            size = re.search(r'[Tt]ried to allocate ([\d.]+ \w+)', text)
            detail = f' (it tried to allocate {size.group(1)})' if size else ''
            ending = f' {_GO_ON}' if fault.midway else ''
            return f'{type(error).__name__}: {fault.problem}{detail}: {fault.remedy}.{ending}'
    return None
