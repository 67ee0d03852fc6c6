"""Threads and data workers share the cores."""

from types import SimpleNamespace

import pytest
import torch
from mmengine.runner import Runner

from vlprompt.engine import processes, runner
from vlprompt.engine.processes import leave_cores_to_workers

LOADERS = dict(train_dataloader=dict(num_workers=3), val_dataloader=None, test_dataloader=dict(num_workers=2))


@pytest.mark.parametrize(('cores', 'expected'), [(8, 5), (2, 1)])
def test_workers_get_their_cores(monkeypatch, cores, expected):
    chosen = []
    monkeypatch.delenv('OMP_NUM_THREADS', raising=False)
    monkeypatch.setattr(processes.os, 'cpu_count', lambda: cores)
    monkeypatch.setattr(torch.cuda, 'is_available', lambda: False)
    monkeypatch.setattr(torch, 'get_num_threads', lambda: cores)
    monkeypatch.setattr(torch, 'set_num_threads', chosen.append)
    leave_cores_to_workers(LOADERS)
    assert chosen == [expected]
    monkeypatch.setenv('OMP_NUM_THREADS', '7')
    leave_cores_to_workers(LOADERS)
    assert chosen == [expected], 'what the user set is obeyed'


def test_a_run_has_its_threads_and_its_data_before_it_logs_anything(monkeypatch):
    calls = []
    monkeypatch.setattr(runner, 'leave_cores_to_workers', lambda cfg: calls.append(('threads', cfg)))
    monkeypatch.setattr(Runner, 'setup_env', lambda self, env_cfg: calls.append(('environment', env_cfg)))
    logger = SimpleNamespace(info=lambda text: None, handlers=[])
    monkeypatch.setattr(Runner, 'build_logger', lambda self: logger)
    monkeypatch.setattr(runner, 'shorten_terminal', lambda logger: None)
    monkeypatch.setattr(runner, 'take_package_log', lambda logger: None)
    monkeypatch.setattr(runner, 'check_data', lambda self, test_follows: calls.append(('data', self)))
    monkeypatch.setattr(Runner, '_log_env', lambda self, env_cfg: calls.append(('log', env_cfg)))
    run = runner.PromptRunner.__new__(runner.PromptRunner)
    run._distributed, run.cfg, run._train_loop = False, dict(LOADERS), None
    run.setup_env({})
    run.build_logger()
    run._log_env({})
    assert calls == [('environment', {}), ('threads', LOADERS), ('data', run), ('log', {})]
