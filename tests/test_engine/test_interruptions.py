"""Runs that are cut off at any moment, and what a resumed run has otherwise than the one it continues."""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from types import SimpleNamespace

import pytest
import torch
from mmengine.hooks import Hook
from mmengine.optim import OptimWrapper
from torch import distributed as dist
from torch import nn

from tests.conftest import ROOT, free_port, leave_unformatted
from tests.interruption import Interrupted
from tests.two_processes import in_two_processes
from vlprompt.apis import runs
from vlprompt.engine import load_config, read_checkpoint
from vlprompt.engine import runner as runner_module
from vlprompt.engine import saving as saving_module
from vlprompt.engine.checkpoint import RESUME_FILE
from vlprompt.engine.hooks import CheckpointHook, ResumeHook, resuming
from vlprompt.engine.hooks import checkpoint as checkpoint_module
from vlprompt.engine.loops import EpochTrainLoop
from vlprompt.engine.phases import finished_checkpoint
from vlprompt.engine.resume_changes import check_optimizer, optimizer_types
from vlprompt.engine.resume_state import load_gradients
from vlprompt.engine.stop import StopRequest
from vlprompt.engine.work_dir import LOCK_FILE, set_run_aside
from vlprompt.errors import CheckpointError, ConfigError, RunError, Stopped
from vlprompt.files import METRICS_FILE


def validating(project, **options):
    cfg = load_config(project.config)
    return dict(
        val_cfg={},
        val_dataloader=cfg.test_dataloader,
        val_evaluator=cfg.test_evaluator,
        default_hooks__checkpoint__save_best='accuracy/top1',
        **options,
    )


def validations(work_dir):
    """Step -> accuracy, from all logs of a run in the order of time."""
    logs = sorted(work_dir.glob('*/vis_data/2*.json'), key=os.path.getmtime)
    lines = [json.loads(line) for log in logs for line in log.read_text().splitlines()]
    return {line['step']: line['accuracy/top1'] for line in lines if 'accuracy/top1' in line}


class At(Hook):
    """Do something at a hook point of an epoch or iteration."""

    priority = 'VERY_HIGH'

    def __init__(self, point, number, action, unit='iter'):
        def call(runner, *args, **kwargs):
            if getattr(runner, unit) == number:
                action()

        setattr(self, point, call)


def power_off():
    raise Interrupted


@pytest.fixture(scope='module')
def whole(project, tmp_path_factory):
    """An uninterrupted run with validations."""
    folder = tmp_path_factory.mktemp('whole')
    project.run(folder, **validating(project)).train()
    return folder


def same(folder, whole):
    """Whether two finished runs are equal: weights, optimizer, best checkpoint, validations; nothing left over."""
    assert sorted(p.name for p in folder.glob('*.pth')) == sorted(p.name for p in whole.glob('*.pth'))
    for file in whole.glob('*.pth'):
        ours, theirs = read_checkpoint(folder / file.name), read_checkpoint(file)
        assert torch.equal(ours['state_dict']['prompt.context'], theirs['state_dict']['prompt.context']), file.name
        assert ours['meta']['iter'] == theirs['meta']['iter']
    ours, theirs = read_checkpoint(folder / RESUME_FILE), read_checkpoint(whole / RESUME_FILE)
    assert torch.equal(
        ours['optimizer']['state'][0]['momentum_buffer'], theirs['optimizer']['state'][0]['momentum_buffer']
    )
    assert ours['message_hub']['runtime_info']['best_score'] == theirs['message_hub']['runtime_info']['best_score']
    assert validations(folder) == validations(whole)
    assert not list(folder.glob('.*.tmp'))


@pytest.mark.parametrize('epoch', [1, 4])
@pytest.mark.parametrize('point', ['before_val_epoch', 'after_val_epoch'])
def test_a_validation_that_was_not_finished_comes_first(project, work_dir, whole, point, epoch):
    first = project.run(work_dir, **validating(project))
    first.register_hook(At(point, epoch, power_off, unit='epoch'))
    with pytest.raises(Interrupted):
        first.train()
    state = read_checkpoint(work_dir / RESUME_FILE)
    assert (state['meta']['epoch'], len(list(work_dir.glob('epoch_*.pth')))) == (epoch, 1)
    cfg = load_config(project.config, dict(val_cfg={}, val_dataloader=load_config(project.config).test_dataloader))
    cfg.work_dir = str(work_dir)
    assert finished_checkpoint(cfg) is None
    project.run(work_dir, resume=True, **validating(project)).train()
    same(work_dir, whole)
    assert finished_checkpoint(cfg) == work_dir / 'epoch_4.pth'


def test_the_state_of_a_run_is_no_metric_in_its_log(project, work_dir, whole):
    """mmengine logs entries of the message hub whose names begin like a loop."""
    info = read_checkpoint(whole / RESUME_FILE)['message_hub']['runtime_info']
    assert not [name for name in info if name.startswith(('train', 'val', 'test'))]
    records = [json.loads(line) for log in whole.glob('*/vis_data/2*.json') for line in log.read_text().splitlines()]
    validated = [set(record) - {'data_time', 'time', 'step'} for record in records if 'lr' not in record]
    assert len(validated) == 4
    assert all(name.startswith('accuracy/') for metrics in validated for name in metrics), validated


def test_a_validation_that_was_finished_is_not_repeated(project, work_dir, whole):
    first = project.run(work_dir, **validating(project))
    first.register_hook(At('before_train_epoch', 2, power_off, unit='epoch'))
    with pytest.raises(Interrupted):
        first.train()
    second, seen = project.run(work_dir, resume=True, **validating(project)), []
    for epoch in (2, 3, 4):
        second.register_hook(At('before_val_epoch', epoch, lambda epoch=epoch: seen.append(epoch), unit='epoch'))
    second.train()
    assert seen == [3, 4]
    same(work_dir, whole)


def files(folder):
    """Names of the files that hold what was computed."""
    return {path.name for path in folder.iterdir() if path.suffix in ('.pth', '.json', '') and path.is_file()} - {
        LOCK_FILE
    }


def test_a_training_that_begins_anew_sets_aside_an_earlier_one(project, work_dir):
    project.run(work_dir, train_cfg__max_epochs=2).train()
    (logs,) = work_dir.glob('2*_*')
    logs.rename(work_dir / '20200101_000000')  # runs that begin within one second share a folder of logs
    (work_dir / 'best_accuracy_top1_epoch_1.pth').touch()
    (work_dir / METRICS_FILE).touch()
    (work_dir / 'base.pth').touch()  # the user's own
    before = files(work_dir)
    project.run(work_dir, resume=True, train_cfg__max_epochs=3).train()  # goes on: nothing is moved
    assert files(work_dir) == before - {'epoch_2.pth'} | {'epoch_3.pth'}
    own = str(work_dir / 'epoch_3.pth')
    for options in (dict(load_from=own), dict(start_from=dict(keys=['prompt.*'], checkpoint=str(work_dir)))):
        with pytest.raises(ConfigError, match=r'is in its own folder, whose files it replaces: choose another one'):
            project.run(work_dir, train_cfg__max_epochs=1, **options).train()
    assert files(work_dir) == before - {'epoch_2.pth'} | {'epoch_3.pth'}
    elsewhere = shutil.copy(own, work_dir.with_name('epoch_3.pth'))
    project.run(work_dir, train_cfg__max_epochs=1, load_from=str(elsewhere)).train()
    assert files(work_dir) == {'epoch_1.pth', 'resume.pth', 'last_checkpoint', 'base.pth'}
    (target,) = (work_dir / 'earlier').iterdir()
    assert files(target) == before - {'epoch_2.pth', 'base.pth'} | {'epoch_3.pth'}
    assert (target / 'last_checkpoint').read_text() == str(target / 'epoch_3.pth')
    assert (target / '20200101_000000').is_dir()
    assert list(work_dir.glob('2*_*'))  # the new run's logs stay
    other = work_dir.with_name('other')
    other.mkdir()
    (other / 'epoch_9.pth').touch()
    project.run(other, resume=True, load_from=str(work_dir), train_cfg__max_epochs=2).train()  # goes on from elsewhere
    assert files(other) == {'epoch_2.pth', 'resume.pth', 'last_checkpoint'}


def test_a_run_that_cannot_begin_leaves_an_earlier_one_alone(project, work_dir):
    work_dir.mkdir()
    (work_dir / 'epoch_4.pth').touch()
    broken = work_dir.with_name('broken.pth')
    broken.touch()
    with pytest.raises(CheckpointError):
        project.run(work_dir, start_from=dict(keys=['prompt.*'], checkpoint=str(broken))).train()
    assert files(work_dir) == {'epoch_4.pth'}


def test_a_run_goes_on_although_its_state_is_a_link(project, work_dir, tmp_path):
    """As data version control leaves it."""
    project.run(work_dir, train_cfg__max_epochs=1).train()
    stored = tmp_path / 'store' / 'state'
    stored.parent.mkdir()
    (work_dir / RESUME_FILE).rename(stored)
    (work_dir / RESUME_FILE).symlink_to(stored)
    project.run(work_dir, resume=True, train_cfg__max_epochs=2).train()
    assert not (work_dir / 'earlier').exists()


def test_logs_that_are_newer_than_all_results_stay(work_dir):
    """They may be those of a test that runs."""
    names = dict(old='20260101_000000', new='20260102_000000')
    for name, since in ((names['old'], 50), ('epoch_1.pth', 100), (names['new'], 200)):
        (work_dir / name).mkdir(parents=True)
        os.utime(work_dir / name, (since, since))
    target = set_run_aside(work_dir)
    assert {path.name for path in target.iterdir()} == {names['old'], 'epoch_1.pth'}
    assert (work_dir / names['new']).is_dir()


def test_an_earlier_run_whose_last_checkpoint_has_no_name_is_set_aside(work_dir):
    """mmengine's own runner writes that file in place, so a killed one may leave it empty."""
    work_dir.mkdir()
    for name in ('epoch_1.pth', 'last_checkpoint'):
        (work_dir / name).touch()
    target = set_run_aside(work_dir)
    assert files(target) == {'epoch_1.pth', 'last_checkpoint'}


@pytest.mark.parametrize('broken', ['epoch_', RESUME_FILE, 'last_checkpoint', 'best_'])
def test_a_checkpoint_exists_at_every_moment(project, work_dir, whole, monkeypatch, broken):
    """The power goes off while a file is written for the second time."""
    replace, written = os.replace, []

    def failing(source, target):
        written.append(os.path.basename(target))
        if written[-1].startswith(broken) and sum(name.startswith(broken) for name in written) == 2:
            raise Interrupted
        replace(source, target)

    options = validating(project)
    if broken == 'best_':  # every epoch is better than the one before
        options = always_better(monkeypatch, project)
        whole = work_dir.parent / 'always_better'
        project.run(whole, **options).train()
    monkeypatch.setattr(os, 'replace', failing)
    with pytest.raises(Interrupted):
        project.run(work_dir, **options).train()
    assert os.path.isfile((work_dir / 'last_checkpoint').read_text())
    assert list(work_dir.glob('epoch_*.pth'))
    assert list(work_dir.glob('best_*.pth')) or broken not in ('best_', 'last_checkpoint')
    monkeypatch.setattr(os, 'replace', replace)
    project.run(work_dir, resume=True, **options).train()
    same(work_dir, whole)


def always_better(monkeypatch, project, **options):
    """Options with which every validation gives a new best checkpoint."""
    monkeypatch.setattr(CheckpointHook, 'rule_map', {'less': lambda x, y: True, 'greater': None})
    return validating(project, default_hooks__checkpoint__rule='less', **options)


def test_a_best_checkpoint_is_no_reason_for_another(project, work_dir, monkeypatch):
    """Checkpoints of every second epoch, three of them, of six epochs that are each better than the one before."""
    options = dict(default_hooks__checkpoint__interval=2, default_hooks__checkpoint__max_keep_ckpts=3)
    written, write = [], saving_module.write_checkpoint
    monkeypatch.setattr(saving_module, 'write_checkpoint', lambda c, p: (written.append(p.name), write(c, p)))
    options = always_better(monkeypatch, project, train_cfg__max_epochs=6, **options)
    project.run(work_dir, **options).train()
    assert sorted(p.name for p in work_dir.glob('epoch_*.pth')) == ['epoch_2.pth', 'epoch_4.pth', 'epoch_6.pth']
    assert [name for name in written if name.startswith('epoch_')] == ['epoch_2.pth', 'epoch_4.pth', 'epoch_6.pth']
    assert [p.name for p in work_dir.glob('best_*')] == ['best_accuracy_top1_epoch_6.pth']
    assert read_checkpoint(work_dir / RESUME_FILE)['checkpoint'] == 'epoch_6.pth'


@pytest.mark.parametrize(('epoch', 'newest'), [(1, None), (2, 'epoch_2.pth'), (3, RESUME_FILE)])
def test_a_run_goes_on_from_a_best_checkpoint_between_two_others(project, work_dir, monkeypatch, epoch, newest):
    options = always_better(monkeypatch, project, default_hooks__checkpoint__interval=2)
    whole = work_dir.parent / 'rarely_saved'
    project.run(whole, **options).train()
    first = project.run(work_dir, **options)
    first.register_hook(At('before_train_epoch', epoch, power_off, unit='epoch'))
    with pytest.raises(Interrupted):
        first.train()
    state = read_checkpoint(work_dir / RESUME_FILE) if newest else None
    assert (state and (state['checkpoint'], state['meta']['epoch'])) == (newest and (newest, epoch))
    assert [p.name for p in work_dir.glob('best_*')] == [f'best_accuracy_top1_epoch_{epoch}.pth']
    project.run(work_dir, resume=True, **options).train()
    same(work_dir, whole)
    assert (work_dir / 'last_checkpoint').read_text() == str(work_dir / 'epoch_4.pth')


def test_outdated_checkpoints_are_removed_by_the_next_run(project, work_dir, monkeypatch):
    """Killed after the new checkpoint and its state were written, before it was named and the old one removed."""
    monkeypatch.setattr(checkpoint_module, 'finish_saving', lambda *args: None if not args[-1] else power_off())
    with pytest.raises(Interrupted):
        project.run(work_dir).train()
    monkeypatch.undo()
    assert sorted(p.name for p in work_dir.glob('epoch_*.pth')) == ['epoch_1.pth', 'epoch_2.pth']
    project.run(work_dir, resume=True, train_cfg__max_epochs=2).train()
    assert [p.name for p in work_dir.glob('epoch_*.pth')] == ['epoch_2.pth']
    assert (work_dir / 'last_checkpoint').read_text() == str(work_dir / 'epoch_2.pth')


# ---------------------------------------------------------------------------------------------------------- signals


@pytest.mark.parametrize('number', [signal.SIGTERM, signal.SIGUSR1])
@pytest.mark.parametrize('iteration', [1, 4, 5])
def test_a_signal_saves_within_the_epoch_and_resuming_is_exact(project, work_dir, whole, number, iteration):
    first = project.run(work_dir, **validating(project))
    first.register_hook(At('before_train_iter', iteration, lambda: os.kill(os.getpid(), number)))
    with pytest.raises(Stopped, match=f'{number.name} after iteration {iteration + 1}') as stopped:
        first.train()
    assert stopped.value.exit_code == 128 + number
    assert signal.getsignal(number) == signal.SIG_DFL, 'handlers are those of before'
    meta = read_checkpoint(work_dir / RESUME_FILE)['meta']
    assert (meta['iter'], meta['epoch'], meta['batches']) == (iteration + 1, iteration // 3, iteration % 3 + 1)
    project.run(work_dir, resume=True, **validating(project)).train()
    same(work_dir, whole)


def test_a_signal_in_a_validation_saves_too(project, work_dir, whole):
    first = project.run(work_dir, **validating(project))
    first.register_hook(At('before_val_iter', 2, lambda: os.kill(os.getpid(), signal.SIGTERM), unit='epoch'))
    with pytest.raises(Stopped):
        first.train()
    project.run(work_dir, resume=True, **validating(project)).train()
    same(work_dir, whole)


def test_a_run_stopped_within_an_epoch_names_the_state_to_resume(project, work_dir):
    first = project.run(work_dir)
    first.register_hook(At('before_train_iter', 4, lambda: os.kill(os.getpid(), signal.SIGTERM)))
    with pytest.raises(Stopped):
        first.train()
    with pytest.raises(CheckpointError, match=f'resume from {work_dir};'):
        project.run(work_dir, resume=True, load_from=str(work_dir / 'epoch_1.pth')).train()


def test_accumulated_gradients_survive_a_stop(project, work_dir):
    """Three batches an update, stopped after the first of them."""
    options = dict(optim_wrapper__accumulative_counts=3)
    project.run(work_dir / 'whole', **options).train()
    first = project.run(work_dir, **options)
    first.register_hook(At('before_train_iter', 3, lambda: os.kill(os.getpid(), signal.SIGTERM)))
    with pytest.raises(Stopped):
        first.train()
    assert set(read_checkpoint(work_dir / RESUME_FILE)['gradients']) == {'prompt.context'}
    project.run(work_dir, resume=True, **options).train()
    contexts = [
        read_checkpoint(f / 'epoch_4.pth')['state_dict']['prompt.context'] for f in (work_dir, work_dir / 'whole')
    ]
    assert torch.equal(*contexts)


def test_accumulated_gradients_need_their_parameters(project, work_dir):
    runner = project.run(work_dir)
    for gradients in (dict(elsewhere=torch.ones(1)), {'prompt.context': torch.ones(1)}):
        with pytest.raises(CheckpointError, match=r'a.pth holds accumulated gradients of (elsewhere|prompt.context),'):
            load_gradients(runner.bare_model, gradients, 'a.pth')


@pytest.mark.slow
def test_accumulated_gradients_survive_a_stop_of_two_processes(project, tmp_path):
    """Four batches an update; stopped after the sixth batch, two of which wait for their update."""
    options = dict(optim_wrapper__accumulative_counts=4, train_dataloader__batch_size=2, launcher='pytorch')

    def interrupted():
        runner = project.run(tmp_path / 'parts', **options)
        if dist.get_rank() == 1:
            runner.register_hook(At('before_train_iter', 5, lambda: os.kill(os.getpid(), signal.SIGTERM)))
        with pytest.raises(Stopped):
            runner.train()

    for number, train in enumerate(
        (
            interrupted,
            lambda: project.run(tmp_path / 'parts', resume=True, **options).train() and None,
            lambda: project.run(tmp_path / 'whole', **options).train() and None,
        )
    ):
        (tmp_path / f'{number}').mkdir()
        in_two_processes(train, tmp_path / f'{number}')
        if train is interrupted:
            state = read_checkpoint(tmp_path / 'parts' / RESUME_FILE)
            assert (state['meta']['iter'], set(state['gradients'])) == (6, {'prompt.context'})
    parts, whole = (read_checkpoint(tmp_path / f / 'epoch_4.pth')['state_dict'] for f in ('parts', 'whole'))
    torch.testing.assert_close(parts['prompt.context'], whole['prompt.context'], rtol=1e-5, atol=1e-6)


def test_a_second_signal_is_final_unless_it_is_the_first_again(monkeypatch):
    request, sent, now = StopRequest(), [], [100.0]
    monkeypatch.setattr(time, 'monotonic', lambda: now[0])
    monkeypatch.setattr(os, 'kill', lambda process, number: sent.append(number))
    monkeypatch.setattr(signal, 'signal', lambda number, handler: None)
    request.receive(signal.SIGTERM)
    now[0] += 0.2  # from the launcher, besides the scheduler
    request.receive(signal.SIGTERM)
    assert (request.signal, sent) == (signal.SIGTERM, [])
    now[0] += 5
    request.receive(signal.SIGTERM)
    assert sent == [signal.SIGTERM]


@pytest.mark.slow
def test_data_workers_outlive_a_signal_to_the_whole_group_and_leave_no_orphans(project, work_dir, tmp_path):
    """As Slurm sends it: to every process of a job, workers too."""
    options = ['train_dataloader.num_workers=2', 'train_cfg.max_epochs=400', 'param_scheduler.0.T_max=400']
    command = [sys.executable, 'tools/train.py', project.config, '--work-dir', work_dir, '--cfg-options', *options]
    log = open(tmp_path / 'log', 'w')  # noqa: SIM115
    environment = os.environ | dict(PYTHONPATH=str(ROOT))
    process = subprocess.Popen(command, cwd=ROOT, env=environment, stderr=log, stdout=log, start_new_session=True)
    deadline = time.monotonic() + 120
    while not list(work_dir.glob('epoch_?.pth')) and time.monotonic() < deadline:
        time.sleep(0.1)
    os.killpg(process.pid, signal.SIGTERM)
    assert process.wait(60) == 143, (tmp_path / 'log').read_text()[-2000:]
    assert 'Interrupted by SIGTERM after iteration' in (tmp_path / 'log').read_text()
    with pytest.raises(ProcessLookupError):
        os.killpg(process.pid, 0)


def test_processes_ask_each_other_every_ten_iterations_and_at_the_end_of_an_epoch(monkeypatch):
    """Since the answer has to be read from the device."""
    asked = []
    monkeypatch.setattr(resuming, 'is_distributed', lambda: True)
    monkeypatch.setattr(resuming, 'all_reduce', lambda number, operation: asked.append(runner.iter))
    runner = SimpleNamespace(stop_request=StopRequest(), train_dataloader=range(23))
    for runner.train_loop in (EpochTrainLoop.__new__(EpochTrainLoop), object()):
        for runner.iter in range(46):
            ResumeHook().after_train_iter(runner, runner.iter % 23)
    assert asked == [9, 19, 22, 29, 39, 45] + [9, 19, 29, 39]


@pytest.mark.slow
def test_all_processes_stop_after_the_same_iteration(project, tmp_path):
    """Two processes, of which one is asked to end; both save, and the run goes on as if nothing had happened."""
    config = project.root / 'signalled.py'
    hook = dict(type='vlprompt.SignallingHook', iteration=4, rank=1)
    config.write_text(
        f"_base_ = '{project.config}'\ncustom_imports = dict(imports=['tests.interruption'])\ncustom_hooks = [{hook}]\n"
        'train_dataloader = dict(batch_size=2)\n'
    )

    def run(folder, *options):
        launch = [sys.executable, '-m', 'torch.distributed.run', '--nproc_per_node=2', f'--master_port={free_port()}']
        command = [*launch, 'tools/train.py', config, '--launcher', 'pytorch', '--work-dir', folder, *options]
        environment = os.environ | dict(OMP_NUM_THREADS='1', PYTHONPATH=str(ROOT))
        return subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True)

    stopped = run(tmp_path / 'stopped')
    assert stopped.returncode != 0
    assert 'Interrupted by SIGTERM after iteration 6' in stopped.stderr + stopped.stdout
    assert read_checkpoint(tmp_path / 'stopped' / RESUME_FILE)['meta']['iter'] == 6, 'the last of the epoch'
    for arguments in ((tmp_path / 'stopped', '--resume'), (tmp_path / 'whole',)):
        finished = run(*arguments, '--cfg-options', 'custom_hooks=[]')
        assert finished.returncode == 0, finished.stderr[-2000:]
    contexts = [
        read_checkpoint(tmp_path / f / 'epoch_4.pth')['state_dict']['prompt.context'] for f in ('stopped', 'whole')
    ]
    assert torch.equal(*contexts)


# ---------------------------------------------------------------------------------------------------- second trainings


def test_a_training_holds_its_folder_and_gives_it_up(project, work_dir, monkeypatch):
    held = []
    runner = project.run(work_dir, train_cfg__max_epochs=1)
    runner.register_hook(At('before_train_epoch', 0, lambda: held.append((work_dir / LOCK_FILE).read_text()), 'epoch'))
    runner.train()
    assert f'process {os.getpid()}' in held[0]
    assert (work_dir / LOCK_FILE).read_text() == ''

    def refuse(folder):
        raise RunError(f'another training uses {folder}')

    monkeypatch.setattr(runner_module, 'claim', refuse)
    with pytest.raises(RunError, match='another training uses'):
        project.run(work_dir)
    project.run(work_dir, train_cfg=None, optim_wrapper=None, train_dataloader=None, param_scheduler=None).test()


# ------------------------------------------------------------------------------------------- changes of a resumed run


def cut_off(project, work_dir, **options):
    first = project.run(work_dir, **options)
    first.register_hook(At('before_train_epoch', 2, power_off, unit='epoch'))
    with pytest.raises(Interrupted):
        first.train()


def warnings_of(runner, monkeypatch):
    lines = []
    monkeypatch.setattr(runner.logger, 'warning', lines.append)
    runner.train()
    return [line for line in lines if 'differs from the interrupted one' in line]


def test_what_a_resumed_run_changes_is_one_line(project, work_dir, monkeypatch):
    cut_off(project, work_dir)
    options = dict(
        optim_wrapper__optimizer__lr=0.1,
        optim_wrapper__optimizer__weight_decay=0.3,
        optim_wrapper__accumulative_counts=2,
        train_dataloader__batch_size=6,
        param_scheduler__0__warmup_lr=0.2,
    )
    (line,) = warnings_of(project.run(work_dir, resume=True, **options), monkeypatch)
    kept, new = line.split('. from here on')
    assert 'lr=0.1 (stays 0.5)' in kept
    assert 'weight_decay=0.3 (stays 0.0005)' in kept
    for change in (
        'train_dataloader.batch_size 4 -> 6',
        'param_scheduler.0.warmup_lr 0.01 -> 0.2',
        'optim_wrapper.accumulative_counts (not given) -> 2',
    ):
        assert change in new
    assert 'num_workers' not in line


def test_a_run_that_changes_nothing_says_nothing(project, work_dir, monkeypatch):
    cut_off(project, work_dir)
    runner = project.run(work_dir, resume=True, train_dataloader__num_workers=0)
    assert warnings_of(runner, monkeypatch) == []


def test_a_run_with_less_than_is_done_says_so(project, work_dir, monkeypatch):
    cut_off(project, work_dir)
    (line,) = warnings_of(project.run(work_dir, resume=True, train_cfg__max_epochs=1), monkeypatch)
    assert 'nothing is left to train: train_cfg.max_epochs=1, but 2 are done' in line


def test_another_optimizer_is_refused_by_name(project, work_dir):
    cut_off(project, work_dir)
    other = project.run(work_dir, resume=True, optim_wrapper__optimizer=dict(type='Adam', lr=0.1, _delete_=True))
    message = f'{work_dir / RESUME_FILE} was trained with SGD, this run has Adam: resume with.*load_from='
    with pytest.raises(CheckpointError, match=message) as error:
        other.train()
    assert '\n' not in str(error.value)


def test_the_same_tensors_at_another_rate_are_named(project, work_dir, monkeypatch):
    cut_off(project, work_dir)
    rules = dict(custom_keys={'context': dict(lr_mult=0.1)})
    (line,) = warnings_of(project.run(work_dir, resume=True, optim_wrapper__paramwise_cfg=rules), monkeypatch)
    assert 'lr=0.05 (stays 0.5)' in line


def _wrapper(*groups, kind=torch.optim.SGD):
    return OptimWrapper(kind([dict(params=[nn.Parameter(torch.zeros(2)) for _ in range(n)]) for n in groups], lr=0.1))


@pytest.mark.parametrize(
    ('stored', 'message'),
    [
        (_wrapper(3), r'has 3 tensors in its optimizer, this run 2 groups of 2, 1 tensors'),
        (_wrapper(1, 2), r'has 2 groups of 1, 2 tensors in its optimizer, this run 2 groups of 2, 1 tensors'),
        (_wrapper(2, 1, kind=torch.optim.AdamW), r'was trained with AdamW, this run has SGD'),
    ],
)
def test_other_groups_of_parameters_are_refused(stored, message):
    wrapper = _wrapper(2, 1)
    content = dict(optimizer=stored.state_dict(), optimizer_types=optimizer_types(stored))
    with pytest.raises(CheckpointError, match=f'^w/resume.pth {message}: resume with the optimizer'):
        check_optimizer(wrapper, content, 'w/resume.pth')
    check_optimizer(wrapper, dict(optimizer=wrapper.state_dict()), 'w/resume.pth')
    unnamed = dict(optimizer=_wrapper(2, 1, kind=torch.optim.Adam).state_dict())  # of mmengine's own runner
    with pytest.raises(CheckpointError, match='options of another optimizer'):
        check_optimizer(wrapper, unnamed, 'w/resume.pth')


# ------------------------------------------------------------------------------------------------- options with effect


@pytest.mark.parametrize(('accumulated', 'processes', 'expected'), [(1, 1, 0.0625), (8, 1, 0.5), (4, 2, 0.5)])
def test_the_scaled_rate_counts_accumulated_batches_and_processes(
    project, work_dir, monkeypatch, accumulated, processes, expected
):
    """Batch 4 for a rate of 0.5 that is meant for 32."""
    monkeypatch.setattr(runner_module.PromptRunner, 'world_size', processes)
    runner = project.run(
        work_dir, optim_wrapper__accumulative_counts=accumulated, auto_scale_lr=dict(enable=True, base_batch_size=32)
    )
    wrapper = runner.build_optim_wrapper(runner.optim_wrapper)
    runner.scale_lr(wrapper, runner.auto_scale_lr)
    assert wrapper.get_lr()['lr'] == [expected]


def test_the_scaled_rate_of_a_shipped_config(project, work_dir):
    """Whose loader is built by then, with a batch sampler: batch 4, 8 accumulated, for a rate that is meant for 32."""
    options = {'data_root': f'{project.root}/data', 'dataset': 'folder', 'shots': 4, 'train_dataloader.batch_size': 4}
    cfg = load_config('coop_micro-rn', options | {'optim_wrapper.accumulative_counts': 8, 'train_cfg.max_epochs': 1})
    cfg.work_dir, cfg.auto_scale_lr.enable = str(work_dir), True
    leave_unformatted(cfg)
    runner = runs.build_runner(cfg)
    wrapper = runner.build_optim_wrapper(runner.optim_wrapper)
    before = wrapper.get_lr()['lr'][0]
    runner.scale_lr(wrapper, runner.auto_scale_lr)
    assert wrapper.get_lr()['lr'] == [before]


def test_the_best_checkpoint_needs_a_validation_and_a_metric(project, work_dir):
    with pytest.raises(ConfigError, match=r'save_best.*has no effect, since the run has no validation'):
        project.run(work_dir, default_hooks__checkpoint__save_best='accuracy/top1')
    options = validating(project) | dict(default_hooks__checkpoint__save_best='acc/top1')
    with pytest.raises(ConfigError, match=r"'acc/top1' is none of the metrics.*Did you mean 'accuracy/top1'"):
        project.run(work_dir, **options).train()


def test_the_advice_about_the_best_checkpoint_can_be_followed(project, work_dir):
    """Literally, with what the message says to type."""
    best = dict(default_hooks__checkpoint__save_best='auto', train_cfg__max_epochs=1)
    with pytest.raises(ConfigError, match='write val_dataloader and val_evaluator into the config and set '):
        project.run(work_dir, **best)
    options = {key: value for key, value in validating(project).items() if key != 'val_cfg'} | best
    with pytest.raises(ConfigError, match=r'since the run has no validation: set --cfg-options') as error:
        project.run(work_dir, **options)
    typed, removed = re.findall(r'[\w.]+=[\w]+', str(error.value).partition('validation:')[2])
    for given in (typed, removed):
        key, value = given.split('=')
        project.run(work_dir, **options | {key.replace('.', '__'): None if value == 'None' else value}).train()
    assert (work_dir / 'epoch_1.pth').exists()
    assert not list(work_dir.glob('best_*'))
    assert list(work_dir.glob('earlier/*/best_*'))


@pytest.mark.parametrize('metric', ['shot/few', 'reid/rank1', 'reid/mINP', 'accuracy/top1', 'mIoU', 'coco/bbox_mAP'])
def test_more_is_better_of_every_metric_here(metric):
    assert CheckpointHook(save_best=metric).rules == ['greater']


def test_the_advice_about_other_metrics_can_be_followed():
    with pytest.raises(ConfigError, match=r'--cfg-options default_hooks.checkpoint.rule=greater \(or less\)'):
        CheckpointHook(save_best='my/size')
    assert CheckpointHook(save_best='my/size', rule='less').rules == ['less']


def test_options_of_workers_do_not_hinder_a_loader_without_workers(project, work_dir):
    options = dict(num_workers=0, persistent_workers=True, prefetch_factor=4, timeout=5)
    runner = project.run(work_dir, **{f'test_dataloader__{key}': value for key, value in options.items()})
    runner.test()
    assert runner.test_dataloader.num_workers == 0
