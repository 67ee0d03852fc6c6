"""Kill trainings at many moments, resume each, and compare it bit for bit with one that was not interrupted.

vlprompt kill-resume plot_micro-rn --kills 20 --cfg-options train_cfg.max_epochs=4
vlprompt kill-resume lpt_micro-vit --moments validation between-phases SIGTERM

First the config is trained and tested once. Then each kill trains it anew in <work dir>/<N>_<moment>, ends the process
at that moment, and resumes it to the end. Compared are all tensors of the last and the best checkpoints, the optimizer,
the schedules, losses and rates in the memory of the log, the values of all validations in the log, and metrics of the
test; beside that, whether a readable checkpoint and a true last_checkpoint were there after the kill, and that neither
files nor processes are left over in the end. A run without validation gets one on its test set, and the best checkpoint
is kept.

Prints a table, writes it to <work dir>/kills.md, and exits with 1 if a run differs. Choose a short training.
"""

import argparse
import contextlib
import json
import os
import random
import select
import shutil
import signal
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from vlprompt.apis.command_line import ToolParser, add_config_options, before_imports, call, positive

MOMENTS = (
    'random',
    'half-written',
    'before-replace',
    'after-replace',
    'after-checkpoint',
    'iteration',
    'validation',
    'after-validation',
    'between-phases',
    'hand-over',
    'SIGTERM',
    'SIGTERM-validation',
)
"""``random``: SIGKILL after a random share of the time, or half of it if the run has ended by then; the last two: the
signal that Slurm sends; others: SIGKILL."""


def parse_args() -> argparse.Namespace:
    parser = ToolParser(__doc__)
    add_config_options(parser)
    parser.add_argument(
        '--work-dir', help='folder of the runs (default: work_dirs/<config>_<dataset>_<shots>shot_kills)'
    )
    parser.add_argument('--kills', type=positive, default=20, help='number of trainings that are killed')
    parser.add_argument('--moments', nargs='+', choices=MOMENTS, default=list(MOMENTS), help='in turn (default: all)')
    return parser.parse_args()


before_imports(parse_args, __name__)

import torch
from mmengine.config import Config

from vlprompt.apis import runs
from vlprompt.engine import phases, read_checkpoint, work_dir, writing
from vlprompt.engine import runner as runners
from vlprompt.engine.checkpoint import RESUME_FILE
from vlprompt.engine.config_files import work_dir_of
from vlprompt.engine.hooks import CheckpointHook, ResumeHook
from vlprompt.errors import CheckpointError, RunError, Stopped
from vlprompt.evaluation.seeds import aggregate  # noqa: F401  (imports that a child would otherwise repeat)
from vlprompt.files import EARLIER

LOG = 'kill_resume.log'
GRACE = 30
"""Seconds in which data workers must end after their training."""


# ----------------------------------------------------------------------------------------------------- one training


def configs_of(args: argparse.Namespace, folder: Path, resume: bool) -> dict[str, Config]:
    """Configs of all phases, with a validation and with everything that they write in ``folder``."""
    cfg = runs.read_config(args)
    cfg.work_dir = str(folder)
    cfg.setdefault('runner_type', 'vlprompt.PromptRunner')
    args.phase = None
    configs = runs.configs_by_phase(cfg, args)
    for number, single in enumerate(configs.values(), 1):
        single.resume = resume
        if single.train_cfg.get('store'):
            single.train_cfg.store = str(folder / 'features')
        if single.get('val_cfg') is None and number == len(configs):
            single.val_cfg, single.val_dataloader = dict(), single.test_dataloader
            single.val_evaluator = single.test_evaluator
        if single.get('val_cfg') is not None:
            single.default_hooks.checkpoint.update(save_best='auto', rule='greater')
    return configs


class Moments:
    """Counts moments of a training and ends the process at a chosen one.

    Args:
        moment: name in :data:`MOMENTS`; None: only count.
        number: which of them, from 1.
    """

    def __init__(self, moment: str | None = None, number: int = 0) -> None:
        self.moment, self.number = moment, number
        self.seen: Counter[str] = Counter()

    def at(self, moment: str) -> None:
        """A moment has come."""
        self.seen[moment] += 1
        if moment == self.moment and self.seen[moment] == self.number:
            os.kill(os.getpid(), signal.SIGTERM if moment.startswith('SIGTERM') else signal.SIGKILL)

    def install(self) -> None:
        """Let the functions of the package tell their moments, in this process."""
        self._around(writing._Stream, 'write', after='half-written')
        self._around(work_dir.os, 'replace', before='before-replace', after='after-replace')
        self._around(runners.PromptRunner, 'save_checkpoint', after='after-checkpoint')
        self._around(ResumeHook, 'after_train_iter', before=('SIGTERM', 'iteration'))
        self._around(ResumeHook, 'after_val_iter', before=('SIGTERM-validation', 'validation'))
        self._around(CheckpointHook, 'after_val_epoch', before='after-validation')
        self._around(phases, 'barrier', before='between-phases')
        self._around(runners, 'hand_over', after='hand-over')

    def _around(
        self, owner: Any, name: str, before: str | tuple[str, ...] = (), after: str | tuple[str, ...] = ()
    ) -> None:
        function = getattr(owner, name)
        before, after = ((moments,) if isinstance(moments, str) else moments for moments in (before, after))

        def observed(*args: Any, **kwargs: Any) -> Any:
            for moment in before:
                self.at(moment)
            result = function(*args, **kwargs)
            for moment in after:
                self.at(moment)
            return result

        setattr(owner, name, observed)


def in_child(task: Callable[[], None], log: Path, kill_after: float | None = None) -> int:
    """Run a task in a forked process, which has all imports already; return its exit code, negative for a signal.

    The process leads a group, of which nothing is left at the end.

    Raises:
        RunError: processes that it started, such as data workers, have outlived it by :data:`GRACE` seconds.
    """
    sys.stdout.flush()
    living, held = os.pipe()  # all processes of the group hold the one end; the other tells when there are none
    child = os.fork()
    if child == 0:
        os.setpgid(0, 0)
        os.close(living)
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        with open(log, 'a') as file:
            os.dup2(file.fileno(), 1)
            os.dup2(file.fileno(), 2)
        code = 1
        try:
            task()
            code = 0
        except Stopped as stopped:
            code = stopped.exit_code
        except BaseException:
            import traceback

            traceback.print_exc()
        finally:
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit(code)
    os.close(held)
    try:
        if kill_after is not None:
            time.sleep(kill_after)
            os.kill(child, signal.SIGKILL)
        code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        if not select.select([living], [], [], GRACE)[0]:
            raise RunError(f'processes of a training live on {GRACE} s after its end with {code}: see {log}')
        return code
    finally:  # also if this tool is asked to end
        with contextlib.suppress(ProcessLookupError):
            os.killpg(child, signal.SIGKILL)
        os.close(living)


def train(args: argparse.Namespace, folder: Path, resume: bool, moments: Moments, counts: Path | None = None) -> None:
    """Train and test; what is counted goes to the file ``counts``."""
    torch.set_num_threads(1)
    moments.install()
    runner = runs.train(configs_of(args, folder, resume))
    runs.run_test(runner, folder)
    if counts is not None:
        counts.write_text(json.dumps(moments.seen))


# ------------------------------------------------------------------------------------------------------- comparison


def differences(reference: Any, other: Any, path: str = '') -> Iterator[str]:
    """Where two nests of dicts, lists, tensors and values differ, not even by a bit."""
    if isinstance(reference, torch.Tensor) and isinstance(other, torch.Tensor):
        alike = reference.dtype == other.dtype and reference.shape == other.shape
        if not alike or not torch.equal(*(t.reshape(-1).view(torch.uint8) for t in (reference, other))):
            yield path
    elif isinstance(reference, dict) and isinstance(other, dict):
        for key in sorted({*reference, *other}, key=str):
            if key not in reference or key not in other:
                yield f'{path}.{key} is {"missing" if key in reference else "there in addition"}'
            else:
                yield from differences(reference[key], other[key], f'{path}.{key}')
    elif isinstance(reference, (list, tuple)) and isinstance(other, (list, tuple)) and len(reference) == len(other):
        for index, pair in enumerate(zip(reference, other, strict=True)):
            yield from differences(*pair, f'{path}.{index}')
    elif reference != other and not (reference != reference and other != other):  # NaN is NaN
        yield f'{path}: {reference!r} / {other!r}'


def files_of_run(folder: Path, pattern: str) -> list[Path]:
    """Files of the run, sorted; not those of one that was killed before its first state, which are set aside."""
    return sorted(file for file in folder.rglob(pattern) if EARLIER not in file.relative_to(folder).parts)


def outcome(folder: Path) -> dict[str, Any]:
    """Everything of a finished run that must not depend on interruptions."""
    found: dict[str, Any] = {}
    for file in files_of_run(folder, '*.pth'):
        content = read_checkpoint(file)
        name = str(file.relative_to(folder))
        kept = {
            key: content[key] for key in ('state_dict', 'optimizer', 'param_schedulers', 'features') if key in content
        }
        if 'message_hub' in content:
            scalars = content['message_hub']['log_scalars']
            kept['log'] = {key: scalars[key] for key in scalars if 'time' not in key and 'memory' not in key}
            best = {k: v for k, v in content['message_hub']['runtime_info'].items() if k.startswith('best_score')}
            kept['best'] = best
        kept['progress'] = {key: content['meta'][key] for key in ('epoch', 'iter', 'batches') if 'meta' in content}
        found[name] = kept
    found['validations'] = validations(folder)
    found['test'] = json.loads((folder / runs.METRICS_FILE).read_text())
    return found


def validations(folder: Path) -> dict[str, dict[str, float]]:
    """Values of all validations in the logs of a run, by phase and step; of a repeated one the last."""
    found = {}
    for log in files_of_run(folder, 'vis_data/*.json'):
        if log.name == 'scalars.json':
            continue
        for line in log.read_text().splitlines():
            values = json.loads(line)
            if 'lr' not in values and 'loss' not in values:
                own = {k: v for k, v in values.items() if 'time' not in k and 'memory' not in k and k != 'images/s'}
                found[f'{log.relative_to(folder).parts[:-3]} {values.get("step")}'] = own
    return found


def problems_after_kill(folder: Path) -> Iterator[str]:
    """What is wrong in the folder of a run that was killed."""
    for named in folder.rglob('last_checkpoint'):
        if not Path(named.read_text()).is_file():
            yield f'{named.relative_to(folder)} names a file that does not exist'
        if not [*named.parent.glob('epoch_*.pth'), *named.parent.glob('iter_*.pth')]:
            yield f'no checkpoint in {named.parent.relative_to(folder)}'
    for file in folder.rglob('*.pth'):
        try:
            read_checkpoint(file)
        except CheckpointError as error:
            yield str(error)


def leftovers(folder: Path) -> list[str]:
    return [f'{file.relative_to(folder)} is left over' for file in folder.rglob('.*.tmp')]


# ------------------------------------------------------------------------------------------------------------- main


def kill_and_resume(
    args: argparse.Namespace,
    folder: Path,
    moment: str,
    number: int,
    kill_after: float | None,
    reference: dict[str, Any],
) -> tuple[str, list[str]]:
    """One training that is killed and resumed: from where it was resumed, and everything that is wrong with it."""
    target = Moments(None if moment == 'random' else moment, number)
    while True:
        folder.mkdir(parents=True)
        code = in_child(lambda: train(args, folder, False, target), folder / LOG, kill_after)
        if moment != 'random' or code != 0:
            break
        shutil.rmtree(folder)  # it had ended before the time was up
        kill_after /= 2
    expected = 128 + signal.SIGTERM if moment.startswith('SIGTERM') else -signal.SIGKILL
    if code != expected:
        return '', [f'ended with {code}, not {expected}: see {folder / LOG}']
    states = sorted(folder.rglob(RESUME_FILE), key=lambda file: file.stat().st_mtime)
    resumed = 'the beginning'
    if states:
        resumed = f'{states[-1].parent.relative_to(folder)}/'.removeprefix('./')
        resumed += f'iteration {read_checkpoint(states[-1])["meta"]["iter"]}'
    wrong = list(problems_after_kill(folder))
    code = in_child(lambda: train(args, folder, True, Moments()), folder / LOG)
    if code:
        return resumed, [*wrong, f'resuming ended with {code}: see {folder / LOG}']
    after = [*problems_after_kill(folder), *leftovers(folder)]
    return resumed, [*wrong, *differences(reference, outcome(folder)), *after]


def main() -> None:
    args = parse_args()
    signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(128 + number))  # and end the training first
    root = Path(args.work_dir or f'{work_dir_of(runs.read_config(args))}_kills').resolve()
    if root.is_dir() and any(root.iterdir()):
        sys.exit(f'{root} is not empty: choose another --work-dir or remove it')
    reference = root / 'uninterrupted'
    reference.mkdir(parents=True)
    configs_of(args, reference, False)  # mistakes in the options show here
    started = time.monotonic()
    code = in_child(lambda: train(args, reference, False, Moments(), root / 'moments.json'), reference / LOG)
    duration = time.monotonic() - started
    if code:
        sys.exit(f'the uninterrupted training failed: see {reference / LOG}')
    counts = json.loads((root / 'moments.json').read_text())
    wanted = outcome(reference)
    possible = [moment for moment in args.moments if moment == 'random' or counts.get(moment)]
    print(f'uninterrupted: {duration:.1f} s; moments {counts}; compared: {", ".join(wanted)}', flush=True)
    if absent := [moment for moment in args.moments if moment not in possible]:
        print(f'moments that this training does not have: {", ".join(absent)}', flush=True)
    rows, failed = [], 0
    draw = random.Random(args.seed or 0)
    for kill in range(args.kills):
        moment = possible[kill % len(possible)]
        number = 0 if moment == 'random' else draw.randint(1, counts[moment])
        share = draw.uniform(0.1, 0.9) if moment == 'random' else None
        folder = root / f'{kill + 1}_{moment}'
        resumed, wrong = kill_and_resume(
            args, folder, moment, number, None if share is None else share * duration, wanted
        )
        failed += bool(wrong)
        when = f'{share:.0%} of the time' if share is not None else f'{number} of {counts[moment]}'
        rows.append(f'| {kill + 1} | {moment} | {when} | {resumed} | {"; ".join(wrong[:3]) or "identical"} |')
        print(rows[-1], flush=True)
    table = '\n'.join(['| kill | moment | which | resumed from | result |', '|---' * 5 + '|', *rows])
    summary = f'{args.kills - failed} of {args.kills} runs that were killed and resumed equal the uninterrupted one.'
    (root / 'kills.md').write_text(f'{table}\n\n{summary}\n', encoding='utf-8')
    print(summary)
    sys.exit(1 if failed else 0)


if __name__ == '__main__':
    call(main)
