"""CLIP-ReID of very many people in two processes: parameters shared out (`--strategy fsdp`) against plain `ddp`.

Both phases of configs/clipreid/clipreid_micro-vit.py on random pictures that are said to show 100,000 people: the first
one trains four vectors of each, the second one two classifiers and the image tower.  Every phase and strategy is a
training of its own by two processes over gloo, on this machine's processors.

Printed are the bytes of trained parameters and optimizer states that a process holds between two steps, and the most
memory it ever held, of both processes the larger number; then the largest differences of losses, weights and optimizer
states between both strategies, relative to the largest value of each tensor.  More than 1e-5 is an error.

    python dev/benchmarks/identity_head.py                        # minutes of two cores, 8 GB of memory
    python dev/benchmarks/identity_head.py --identities 2000      # shows that it runs
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from vlprompt.compat.environment import check_environment

check_environment()  # before anything imports torchvision or an mm package

import numpy as np  # noqa: E402
import torch  # noqa: E402
from PIL import Image  # noqa: E402
from torch import Tensor  # noqa: E402

from dev.benchmarks.timing import megabytes, relative_difference  # noqa: E402
from vlprompt.apis import runs  # noqa: E402
from vlprompt.clip import TextEncoder  # noqa: E402
from vlprompt.engine import load_config, read_checkpoint  # noqa: E402
from vlprompt.engine.phases import phase_configs  # noqa: E402
from vlprompt.engine.processes import leave_process_group  # noqa: E402
from vlprompt.engine.sharded import let_go, own_rows  # noqa: E402

CONFIG = 'clipreid_micro-vit'
PHASES = ('prompts', 'finetune')
STRATEGIES = ('ddp', 'fsdp')
PROCESSES = 2
TOLERANCE = 1e-5


def write_people(folder: Path, identities: int, pictures: int = 16) -> None:
    """A picture of each of so many identities for training, which are links to a few random ones, and two for a test,
    in Market-1501's layout.
    """
    rng = np.random.default_rng(0)
    for number in range(pictures):
        Image.fromarray(rng.integers(0, 256, (32, 16, 3), dtype=np.uint8)).save(folder / f'{number}.png')
    roles = dict(bounding_box_train=range(2, identities + 2), query=range(2), bounding_box_test=range(2))
    for camera, (role, people) in enumerate(roles.items(), 1):
        (folder / role).mkdir()
        for person in people:
            os.link(folder / f'{person % pictures}.png', folder / role / f'{person}_c{camera}.png')


def train(folder: Path, phase: str, strategy: str, identities: int, steps: int = 20) -> dict[str, int]:
    """Train a phase, in one of the processes, on the people in a folder; its results go there, too.

    Args:
        folder: with what :func:`write_people` wrote and, for the second phase, the results of the first.
        phase: one of :data:`PHASES`.
        strategy: one of :data:`STRATEGIES`.
        identities: of the training.
        steps: of the training.

    Returns:
        Bytes of this process, see :func:`held_bytes`.
    """
    options = {
        'model.clip.image_size': (32, 16),
        'image_size': (32, 16),
        'phases.prompts.train_dataloader.batch_size': -(-identities // (PROCESSES * steps)),
        'phases.prompts.train_cfg.max_epochs': 1,
        'phases.prompts.train_cfg.store': None,
        'phases.finetune.train_dataloader.batch_size': 32,
        'phases.finetune.train_dataloader.sampler': dict(batch_size=32, instances=4, batches=steps),
        'phases.finetune.train_cfg.max_epochs': 1,
        'default_hooks.checkpoint.interval': 1,
        'default_hooks.logger.interval': 1,
        'log_processor.window_size': 1,
    }
    cfg = load_config(CONFIG, options | dict(dataset='folder', data_root=str(folder)))
    cfg.work_dir = str(folder / strategy)
    configs = phase_configs(cfg)
    for single in configs.values():
        single.launcher, single.strategy, single.log_level = 'pytorch', strategy, 'ERROR'
        single.experiment_name = f'{strategy} {single.phase}'
    runner = runs.build_runner(configs[phase])
    for module in runner.model.modules():
        if isinstance(module, TextEncoder):
            module.memory_budget = 2**28  # for the texts of all identities in one pass, before they are saved
    runner.train()
    return held_bytes(runner)


def held_bytes(runner: Any) -> dict[str, int]:
    """What this process holds between two steps of a training: ``parameters`` that are trained, and ``states`` of the
    optimizer.
    """
    let_go(runner.bare_model)
    trained = [parameter for group in runner.optim_wrapper.param_groups for parameter in group['params']]
    states = [value for state in runner.optim_wrapper.optimizer.state.values() for value in state.values()]
    sizes = dict(parameters=trained, states=[value for value in states if isinstance(value, Tensor)])
    return {name: sum(own_rows(tensor).nbytes for tensor in tensors) for name, tensors in sizes.items()}


def differences(folder: Path, phase: str) -> dict[str, float]:
    """Largest relative difference of what both strategies have left in a folder: ``losses`` of all steps, ``weights``
    and ``states`` of the optimizer.
    """
    ours, theirs = (read_checkpoint(folder / strategy / phase / 'resume.pth') for strategy in ('fsdp', 'ddp'))
    moments = [
        [value for state in content['optimizer']['state'].values() for name, value in state.items() if name != 'step']
        for content in (ours, theirs)
    ]
    names = [name for name, tensor in theirs['state_dict'].items() if tensor.is_floating_point() and tensor.any()]
    return dict(
        losses=relative_difference(*(losses(folder / strategy / phase) for strategy in ('fsdp', 'ddp'))),
        weights=relative_difference(*([content['state_dict'][name] for name in names] for content in (ours, theirs))),
        states=relative_difference(*moments),
    )


def losses(folder: Path) -> Tensor:
    """(steps,) losses of a training, as logged."""
    (log,) = folder.glob('*/vis_data/scalars.json')
    lines = [json.loads(line) for line in log.open()]
    return torch.tensor([line['loss'] for line in lines if 'loss' in line], dtype=torch.float64)


def in_processes(folder: Path, phase: str, strategy: str, identities: int) -> list[dict[str, int]]:
    """Train a phase by torchrun; bytes of each process, with its ``peak``.

    Raises:
        RuntimeError: a process failed.
    """
    command = [sys.executable, '-m', 'torch.distributed.run', '--standalone', f'--nproc-per-node={PROCESSES}', __file__]
    command += ['--identities', str(identities), '--member', str(folder), phase, strategy]
    if subprocess.run(command, env=dict(os.environ, OMP_NUM_THREADS='1')).returncode:
        raise RuntimeError(f'{phase} under {strategy} failed, see above')
    return [json.loads((folder / f'{strategy}_{phase}_{rank}.json').read_text()) for rank in range(PROCESSES)]


def member(folder: Path, phase: str, strategy: str, identities: int) -> None:
    """What a process of :func:`in_processes` does."""
    found = train(folder, phase, strategy, identities)
    found['peak'] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    (folder / f'{strategy}_{phase}_{os.environ["RANK"]}.json').write_text(json.dumps(found))
    leave_process_group()


def report(found: Mapping[str, Sequence[Mapping[str, int]]], phase: str) -> None:
    """Print a row of the table for each strategy; of both processes the larger number."""
    for strategy, processes in found.items():
        cells = [megabytes(max(process[name] for process in processes)) for name in ('parameters', 'states', 'peak')]
        print(f'| {phase}, {strategy} | ' + ' | '.join(cells) + ' |', flush=True)


def main(argv: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--identities', type=int, default=100_000)
    parser.add_argument('--member', nargs=3, metavar=('FOLDER', 'PHASE', 'STRATEGY'), help=argparse.SUPPRESS)
    args = parser.parse_args(argv)
    if args.member:
        folder, phase, strategy = args.member
        return member(Path(folder), phase, strategy, args.identities)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_people(folder, args.identities)
        print('| a process holds | parameters | optimizer states | at most, in all |\n' + '|---' * 4 + '|')
        found = {}
        for phase in PHASES:
            report({kind: in_processes(folder, phase, kind, args.identities) for kind in STRATEGIES}, phase)
            found[phase] = differences(folder, phase)
    for phase, worst in found.items():
        print(f'{phase}: ' + ', '.join(f'{name} differ by {value:.1e}' for name, value in worst.items()))
    if max(value for worst in found.values() for value in worst.values()) > TOLERANCE:
        raise SystemExit(f'fsdp and ddp differ by more than {TOLERANCE}')


if __name__ == '__main__':
    main()
