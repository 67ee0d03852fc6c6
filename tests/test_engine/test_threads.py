"""Threads and data workers share the cores."""

import pytest
import torch

from vlprompt.engine import threads
from vlprompt.engine.threads import leave_cores_to_workers

LOADERS = dict(train_dataloader=dict(num_workers=3), val_dataloader=None, test_dataloader=dict(num_workers=2))


@pytest.mark.parametrize(('cores', 'expected'), [(8, 5), (2, 1)])
def test_workers_get_their_cores(monkeypatch, cores, expected):
    chosen = []
    monkeypatch.delenv('OMP_NUM_THREADS', raising=False)
    monkeypatch.setattr(threads.os, 'cpu_count', lambda: cores)
    monkeypatch.setattr(torch.cuda, 'is_available', lambda: False)
    monkeypatch.setattr(torch, 'get_num_threads', lambda: cores)
    monkeypatch.setattr(torch, 'set_num_threads', chosen.append)
    leave_cores_to_workers(LOADERS)
    assert chosen == [expected]
    monkeypatch.setenv('OMP_NUM_THREADS', '7')
    leave_cores_to_workers(LOADERS)
    assert chosen == [expected], 'what the user set is obeyed'
