"""Runs of an experiment in parallel processes, which share one start-up; what has finished is not repeated."""

from __future__ import annotations

import json
import multiprocessing
import os
import runpy
import signal
import sys
import time
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from multiprocessing.process import BaseProcess
from pathlib import Path
from queue import SimpleQueue
from typing import Any

import torch

from vlprompt.apis.command_line import what_differs
from vlprompt.apis.few_shot.protocols import TRAINED, WITH_SHOTS, FewShotRun, FurtherTest, without
from vlprompt.datasets.classification.draw_files import SUFFIX
from vlprompt.engine.work_dir import FIT_FILE
from vlprompt.errors import RunError
from vlprompt.files import METRICS_FILE, read_json, written_whole
from vlprompt.shipped import TOOLS

RUN_FILE, LOG_FILE = 'run.json', 'output.log'
METRIC = 'accuracy/top1'
PRELOADED = ['vlprompt.apis.few_shot.preloaded']
"""Imported once, by the process from which those of all runs are forked."""


@dataclass(frozen=True)
class Result:
    """What one run has given.

    Attributes:
        run: the run.
        accuracy: top-1 accuracy in percent by name of the test.
        seconds: of its commands, those of earlier, interrupted attempts included; an interrupted command counts from
            its last start.
        tune: images that chose hyper-parameters, as in ``train_cfg.tune`` of solvers; other methods have ``'none'``.
    """

    run: FewShotRun
    accuracy: dict[str, float]
    seconds: float
    tune: str = 'none'


def result_of(run: FewShotRun, work_dir: Path) -> Result | None:
    """The result of a run that has finished in its folder, None if it has not.

    Raises:
        RunError: the folder holds a run, finished or not, with other options, config or built-in models.
    """
    content = _record(run, work_dir)
    return _as_result(run, content) if content is not None and is_finished(run, content) else None


def is_finished(run: FewShotRun, content: Mapping[str, Any]) -> bool:
    """Whether what is known of a run has the accuracies of all its tests."""
    return {TRAINED, *(test.name for test in run.tests)} <= content['accuracy'].keys()


def _as_result(run: FewShotRun, content: Mapping[str, Any]) -> Result:
    return Result(run, content['accuracy'], content['seconds'], content.get('tune', 'none'))


def finished_before(work_dir: Path, protocol: str) -> list[Result]:
    """All results of a protocol in a work dir, of this command and of others, in order of their folders; those of a
    transfer with the tests that have ended.
    """
    found = []
    for file in sorted(work_dir.glob(f'*/**/{RUN_FILE}')):
        content = read_run(file)
        if content['protocol'] == protocol:
            asked, known = content['asked']['tests'], content['accuracy']
            tests = tuple(FurtherTest(name, ()) for name in asked if name in known or protocol == 'base-to-new')
            names = ('method', 'dataset', 'shots', 'seed')
            run = FewShotRun(config='', tests=tests, protocol=protocol, **{name: content[name] for name in names})
            if is_finished(run, content):
                found.append(_as_result(run, content))
    return found


def read_run(file: Path) -> dict[str, Any]:
    """What is known of a run.

    Raises:
        RunError: the file holds something else.
    """
    content = read_json(file)
    try:
        known = {'arguments', 'tests', 'inputs'} <= content['asked'].keys() and isinstance(content['accuracy'], dict)
    except (AttributeError, KeyError, TypeError):
        known = False
    if not known or not {'protocol', 'method', 'dataset', 'shots', 'seed', 'seconds'} <= content.keys():
        raise RunError(f'{file} is no record of a few-shot run: choose another work dir, or remove {file.parent}')
    return content


def check_work_dir(runs: Sequence[FewShotRun], work_dir: Path) -> None:
    """Refuse a work dir whose tables would be means over runs of other options, configs or models.

    Seeds and numbers of shots may differ from those that are asked for.

    Raises:
        RunError: such a run is there.
    """
    planned = {(run.method, run.dataset, run.shots): run for run in reversed(runs)}
    others = {(run.method, run.dataset): run for run in reversed(runs)}
    for file in sorted(work_dir.glob(f'*/**/{RUN_FILE}')):
        content = read_run(file)
        if not content['accuracy']:
            continue  # it stands in no table
        place = content['method'], content['dataset']
        same_shots = planned.get((*place, content['shots']))
        run = same_shots or others.get(place)
        if run is None or content['protocol'] != run.protocol:
            continue
        left_out = {'--seed'} if same_shots else {'--seed', '--shots'}
        inputs = {name for name, _ in run.inputs if not name.endswith(SUFFIX)} - (set() if same_shots else {WITH_SHOTS})
        _refuse_other(file.parent, content, run, left_out, inputs)


def _record(run: FewShotRun, work_dir: Path) -> dict[str, Any] | None:
    folder = work_dir / run.folder
    if not (folder / RUN_FILE).is_file():
        if (folder / TRAINED).exists():
            raise RunError(f'{folder / TRAINED} holds a run of unknown options, without {RUN_FILE}: remove {folder}')
        return None
    content = read_run(folder / RUN_FILE)
    if not content['accuracy'] and not any((folder / TRAINED).rglob('last_checkpoint')):
        return None  # it has left nothing
    _refuse_other(folder, content, run)
    return content


def _refuse_other(
    folder: Path,
    content: Mapping[str, Any],
    run: FewShotRun,
    left_out: Collection[str] = (),
    inputs: Collection[str] | None = None,
) -> None:
    """Raise RunError unless what is known of a run was asked for as another one is.

    Tests of one of them alone, and tests that have not ended, may differ.

    Args:
        folder: of the known run.
        content: what is known.
        run: the other one.
        left_out: options that are not compared.
        inputs: that are compared; None: all.
    """
    before, now = content['asked'], asked_of(run)
    common = [name for name in now['tests'] if name in before['tests'] and name in content['accuracy']]
    sides = [
        (
            ['--protocol', protocol, *without(asked['arguments'], *left_out)],
            {name: value for name, value in asked['inputs'].items() if inputs is None or name in inputs},
            {name: asked['tests'][name] for name in common},
        )
        for asked, protocol in ((before, content['protocol']), (now, run.protocol))
    ]
    if sides[0] != sides[1]:
        (there, inputs_there, tests_there), (here, inputs_here, tests_here) = sides
        told = [what_differs(there, here, (inputs_there, inputs_here))]
        told += [f'the test {name}' for name in common if tests_there[name] != tests_here[name]]
        raise RunError(
            f'{folder} holds a run with other options, config or built-in models ({"; ".join(filter(None, told))}; see '
            f'{RUN_FILE} there): choose another work dir or remove that folder'
        )


def asked_of(run: FewShotRun) -> dict[str, Any]:
    """What a result depends on, as JSON has it."""
    tests = {test.name: dict(arguments=list(test.arguments), config=test.version) for test in run.tests}
    return dict(arguments=list(run.arguments), tests=tests, inputs=dict(run.inputs))


def commands(run: FewShotRun, work_dir: Path) -> list[list[str]]:
    """Command lines of a run, the tool first: the training with its test, then the further tests.

    A checkpoint stands as ``'CHECKPOINT'``, which is known after the training only.
    """
    folder = work_dir / run.folder
    tool = ['train.py', run.config, '--test', '--resume'] if run.trains else ['test.py', run.config]
    first = [*tool, '--work-dir', str(folder / TRAINED), *run.arguments]
    checkpoint = ['CHECKPOINT'] if run.trains else []
    return [
        first,
        *(
            ['test.py', run.config, *checkpoint, '--work-dir', str(folder / test.name), *test.arguments]
            for test in run.tests
        ),
    ]


def execute(run: FewShotRun, work_dir: Path) -> None:
    """Train and test in this process; a finished training or test is not repeated.

    The record of the run is written before the first command and after each one.

    Raises:
        RunError: a command failed, or the folder holds a run with other options.
    """
    folder = work_dir / run.folder
    about = dict(protocol=run.protocol, method=run.method, dataset=run.dataset, shots=run.shots, seed=run.seed)
    content = _record(run, work_dir) or dict(about, accuracy={}, seconds=0.0, asked=asked_of(run))
    content['asked']['tests'] |= asked_of(run)['tests']  # some may be new
    write_run(folder, content)
    names = [TRAINED, *(test.name for test in run.tests)]
    for name, (tool, *arguments) in zip(names, commands(run, work_dir), strict=True):
        if name in content['accuracy']:
            continue
        start = time.monotonic()
        _call_tool(tool, [last_checkpoint(folder) if part == 'CHECKPOINT' else part for part in arguments])
        content['seconds'] = round(content['seconds'] + time.monotonic() - start, 2)
        content['accuracy'][name] = read_json(folder / name / METRICS_FILE)[METRIC]
        for file in (folder / name).rglob(FIT_FILE):
            content['tune'] = read_json(file)['tune']
        write_run(folder, content)


def write_run(folder: Path, content: dict[str, Any]) -> None:
    """Write what is known of a run into its folder."""
    folder.mkdir(parents=True, exist_ok=True)
    with written_whole(folder / RUN_FILE) as file:
        file.write_text(json.dumps(content, indent=1) + '\n')


def last_checkpoint(folder: Path) -> str:
    """The checkpoint of a training, of the last phase if there are several.

    Raises:
        RunError: none was written.
    """
    found = sorted((folder / TRAINED).rglob('last_checkpoint'), key=lambda path: path.stat().st_mtime)
    if not found:
        raise RunError(f'{folder / TRAINED} holds no checkpoint, which the further tests need')
    return found[-1].read_text().strip()


def _call_tool(tool: str, arguments: Sequence[str]) -> None:
    sys.argv = [str(TOOLS / tool), *arguments]
    try:
        runpy.run_path(sys.argv[0], run_name='__main__')
    except SystemExit as stop:
        if stop.code:
            raise RunError(f'{tool} failed: {stop.code}') from stop


def _child(run: FewShotRun, work_dir: Path, environment: dict[str, str]) -> None:
    """Body of a process of its own, whose output goes into the folder of the run."""
    os.environ.update(environment)
    folder = work_dir / run.folder
    folder.mkdir(parents=True, exist_ok=True)
    log = os.open(folder / LOG_FILE, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    for stream in (1, 2):
        os.dup2(log, stream)
    print(f'--- {run}, begun {datetime.now():%Y-%m-%d %H:%M:%S}', flush=True)
    torch.set_num_threads(int(environment['OMP_NUM_THREADS']))
    execute(run, work_dir)


def visible_gpus() -> list[str]:
    """The GPUs of this process, as ``CUDA_VISIBLE_DEVICES`` names them: some of the machine's if that is set."""
    count = torch.cuda.device_count()
    named = os.environ.get('CUDA_VISIBLE_DEVICES')
    return ([*map(str, range(count))] if named is None else named.split(','))[:count]


class Pool:
    """Runs in parallel: each in a process forked from one that has imported everything.

    Args:
        work_dir: of the experiment.
        jobs: runs at a time.
        devices: GPUs in turn, as ``CUDA_VISIBLE_DEVICES`` names them; empty: no variable is set.
    """

    def __init__(self, work_dir: Path, jobs: int, devices: Sequence[str] = ()) -> None:
        self.work_dir, self.jobs = work_dir, jobs
        self._context = multiprocessing.get_context('forkserver')
        self._context.set_forkserver_preload(PRELOADED)
        self._running: set[BaseProcess] = set()
        self._slots: SimpleQueue[dict[str, str]] = SimpleQueue()
        threads = max((os.cpu_count() or 1) // jobs, 1)
        for number in range(jobs):
            device = dict(CUDA_VISIBLE_DEVICES=devices[number % len(devices)]) if devices else {}
            self._slots.put(dict(OMP_NUM_THREADS=str(threads), **device))

    def __call__(self, runs: Sequence[FewShotRun]) -> Iterator[tuple[FewShotRun, Result | RunError]]:
        """The runs as they finish, with their results or with what went wrong.

        If the caller goes no further, as after Ctrl-C or ``SIGTERM``, runs that have not begun never do, and those at
        hand are ended.
        """
        with sigterm_ends():
            try:
                yield from as_finished(self._one, runs, self.jobs)
            finally:
                for process in list(self._running):
                    process.terminate()

    def _one(self, run: FewShotRun) -> Result | RunError:
        slot = self._slots.get()
        process = self._context.Process(target=_child, args=(run, self.work_dir, slot))
        try:
            process.start()
            self._running.add(process)
            process.join()
        finally:
            self._running.discard(process)
            self._slots.put(slot)
        return outcome_of(run, self.work_dir, self.work_dir / run.folder / LOG_FILE, process.exitcode)


@contextmanager
def sigterm_ends() -> Iterator[None]:
    """``SIGTERM`` raises ``SystemExit(143)``, so that what is open is closed, a pool with its processes too."""
    before = signal.signal(signal.SIGTERM, lambda number, _: sys.exit(128 + number))
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def outcome_of(run: FewShotRun, work_dir: Path, log: Path, exit_code: int | None = None) -> Result | RunError:
    """The result of a run that has ended, or what went wrong, given the file of its output and the exit code of its
    process, which is negative after a signal.
    """
    try:
        result = result_of(run, work_dir)
    except RunError as error:
        return error
    if result is not None:
        return result
    if exit_code is not None and exit_code < 0:
        known = {number.value: number.name for number in signal.Signals}
        name = known.get(-exit_code, f'signal {-exit_code}')
        memory = ', as the system does when memory runs out: try fewer --jobs' if name == 'SIGKILL' else ''
        return RunError(f'{run} was ended by {name}{memory}; its output is in {log}')
    return RunError(f'{run} failed{_last_line(log)}; its output is in {log}')


def _last_line(log: Path) -> str:
    """``': <last line>'`` of a log, which says why a run failed; empty without one."""
    lines = log.read_text(errors='replace').split('\n') if log.is_file() else []
    last = next((line.strip() for line in reversed(lines) if line.strip()), '')
    return f': {last}' if last else ''


def as_finished(
    one: Callable[[FewShotRun], Result | RunError], runs: Sequence[FewShotRun], jobs: int
) -> Iterator[tuple[FewShotRun, Result | RunError]]:
    """``one(run)`` of all runs, at most ``jobs`` at a time, in the order in which they finish."""
    threads = ThreadPoolExecutor(jobs)
    try:
        waiting: dict[Future, FewShotRun] = {threads.submit(one, run): run for run in runs}
        while waiting:
            finished, _ = wait(waiting, return_when=FIRST_COMPLETED)
            for future in finished:
                yield waiting.pop(future), future.result()
    finally:
        threads.shutdown(wait=False, cancel_futures=True)
