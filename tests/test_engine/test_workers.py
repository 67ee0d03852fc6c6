"""Data workers: errors while they send a batch, and the death of their parent process."""

import os
import resource
import select
import signal
import subprocess
import sys
import time

import pytest
import torch
from torch.utils.data import DataLoader, Dataset

from vlprompt.apis.command_line import user_message
from vlprompt.engine.features import image_loader
from vlprompt.engine.loops import rest_of_epoch
from vlprompt.engine.runner import PromptRunner
from vlprompt.engine.workers import LOOK_EVERY, guard_workers


class Unsendable:
    """Cannot be pickled."""

    def __init__(self, error):
        self.error = error

    def __reduce__(self):
        raise self.error


class Samples(Dataset):
    """Eight times the same sample."""

    def __init__(self, sample):
        self.sample = sample

    def __len__(self):
        return 8

    def __getitem__(self, index):
        if isinstance(self.sample, type):
            raise self.sample('of the dataset')
        return self.sample


def first_batch(dataset, **options):
    loader = guard_workers(DataLoader(dataset, num_workers=1, collate_fn=list, timeout=30, **options))
    return next(iter(loader))


@pytest.mark.parametrize('error', [RuntimeError('unable to resize file </torch_1_2_3>'), MemoryError('no more')])
def test_a_batch_that_cannot_be_sent_is_an_error_of_the_loader(error):
    """Otherwise the loader waits for it for ever."""
    with pytest.raises(
        type(error), match=f'Caught {type(error).__name__} in DataLoader worker process 0(?s:.*){error}'
    ):
        first_batch(Samples(Unsendable(error)))


@pytest.mark.slow  # torch needs five seconds to end that worker
def test_an_error_of_a_class_that_cannot_be_sent_arrives_too():
    class LocalError(Exception):
        pass

    with pytest.raises(RuntimeError, match=r'LocalError: of the dataset'):
        first_batch(Samples(LocalError))


@pytest.mark.skipif(sys.platform != 'linux', reason='shared memory is a file there')
def test_a_batch_beyond_the_limit_of_files_is_explained():
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (4096, before[1]))
    try:
        with pytest.raises(RuntimeError) as error:
            first_batch(Samples(torch.zeros(5000)))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    message = user_message(error.value)
    assert '\n' not in message
    assert 'ulimit -f unlimited' in message
    assert 'train_dataloader.num_workers=0' in message


@pytest.mark.slow
@pytest.mark.parametrize('method', ['fork', 'spawn', 'forkserver'])
def test_workers_live_as_long_as_their_parent_with_every_start_method(method):
    """With a fork server, the parent of the system is another process."""
    loader = guard_workers(
        DataLoader(list(range(40)), num_workers=1, multiprocessing_context=method, collate_fn=slowly, prefetch_factor=1)
    )
    assert [batch[0] for batch in loader] == list(range(40))


def slowly(samples):
    time.sleep(LOOK_EVERY / 15)
    return samples


BLOCKED = """
import time, torch
from torch.utils.data import DataLoader
from vlprompt.engine.workers import guard_workers
data = [bytes(200_000) for _ in range(100)]
batches = iter(guard_workers(DataLoader(data, num_workers=2, collate_fn=list, prefetch_factor=8)))
print('started', flush=True)
time.sleep(600)
"""


@pytest.mark.slow
def test_workers_end_with_their_parent_even_if_they_wait_for_it():
    """Their batches fill the pipe, which nobody reads, and SIGTERM comes from others."""
    process = subprocess.Popen([sys.executable, '-c', BLOCKED], stdout=subprocess.PIPE, start_new_session=True)
    try:
        assert process.stdout.readline() == b'started\n'
        process.kill()
        process.wait()
        assert select.select([process.stdout], [], [], 20)[0], 'a worker lives on'
        assert process.stdout.read() == b''  # which all of them held open
    finally:
        end_group(process.pid)


def end_group(number):
    """Kill what is left of a process group."""
    try:
        os.killpg(number, signal.SIGKILL)
    except ProcessLookupError:
        return


def test_every_loader_has_guarded_workers():
    dataset = Samples(torch.zeros(1))
    loader = dict(batch_size=2, num_workers=1, dataset=dataset, sampler=dict(type='DefaultSampler', shuffle=False))
    built = PromptRunner.build_dataloader(loader)
    loaders = dict(runner=built, rest=rest_of_epoch(built, 1), features=image_loader(dataset, 2, 1))
    guard = guard_workers(DataLoader(dataset, num_workers=1)).worker_init_fn.func
    assert {name for name, each in loaders.items() if each.worker_init_fn.func is guard} == set(loaders)
