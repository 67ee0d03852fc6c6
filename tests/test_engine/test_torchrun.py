"""Trainings under torchrun on two nodes of one process each, of which one is killed: the workers are started again."""

import json
import multiprocessing
import os
import signal
from pathlib import Path

import pytest
import torch
from torch.distributed.launcher.api import LaunchConfig, elastic_launch

from tests.conftest import free_port
from tests.interruption import SignallingHook
from tests.two_processes import LIMIT, in_two_processes
from vlprompt.engine import read_checkpoint


def node(function, port, output):
    """What ``torchrun --nnodes 2 --nproc-per-node 1 --max-restarts 1`` does, with a function in place of a script."""
    os.dup2(os.open(output, os.O_WRONLY | os.O_CREAT), 1)
    os.dup2(1, 2)
    torch.set_num_threads(1)  # the threads of the test do not exist here
    config = LaunchConfig(
        min_nodes=2,
        max_nodes=2,
        nproc_per_node=1,
        max_restarts=1,
        run_id='test',
        rdzv_backend='c10d',
        rdzv_endpoint=f'localhost:{port}',
        local_addr='localhost',
        start_method='fork',
    )
    elastic_launch(config, function)()


@pytest.mark.slow
def test_killed_workers_are_started_again(project, tmp_path):
    """The first process, which holds the work directory and the store of addresses, dies in the second of four epochs.

    The run ends with the bits of one that was not interrupted.
    """

    def train(name, **options):
        runner = project.run(tmp_path / name, train_dataloader__batch_size=2, launcher='pytorch', **options)
        if name == 'killed':
            runner.register_hook(SignallingHook(iteration=4, rank=0, number=signal.SIGKILL))
        runner.train()

    context, port = multiprocessing.get_context('fork'), free_port()
    outputs = [tmp_path / f'node {number}' for number in range(2)]
    nodes = [context.Process(target=node, args=(lambda: train('killed', resume=True), port, path)) for path in outputs]
    for process in nodes:
        process.start()
    for process in nodes:
        process.join(LIMIT)
        process.terminate()  # its workers too, should it still run
    assert [process.exitcode for process in nodes] == [0, 0], ''.join(map(Path.read_text, outputs))[-3000:]
    logs = sorted((tmp_path / 'killed').glob('*/vis_data/scalars.json'))
    steps = [[json.loads(line)['step'] for line in log.open()] for log in logs]
    assert steps == [[1, 2, 3, 4], list(range(4, 13))]
    in_two_processes(lambda: train('whole'), tmp_path)
    whole, killed = (read_checkpoint(tmp_path / name / 'epoch_4.pth')['state_dict'] for name in ('whole', 'killed'))
    assert torch.equal(killed['prompt.context'], whole['prompt.context'])
