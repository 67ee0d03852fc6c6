"""Phases: their configs, the hand-over between them, and resuming between and inside them, against an unbroken run."""

import os
import shutil
import subprocess
import sys

import pytest
import torch
from mmengine.config import Config
from mmengine.registry import RUNNERS
from torch import nn

from tests.conftest import ROOT, free_port, leave_unformatted
from tests.interruption import Interrupted, claim_elsewhere
from tests.tiny_project import CLASSES, TinyProject
from vlprompt.apis import runs
from vlprompt.engine import load_config, phases
from vlprompt.engine.checkpoint import read_checkpoint
from vlprompt.engine.phases import finished_checkpoint, phase_config, phase_configs, phase_of, train_phases
from vlprompt.engine.runner import PromptRunner
from vlprompt.engine.start_from import hand_over
from vlprompt.engine.writing import write_checkpoint
from vlprompt.errors import CheckpointError, ConfigError
from vlprompt.files import METRICS_FILE

PHASES = """
_base_ = ['tiny.py']
phases = dict(
    first=dict(
        train_cfg=dict(max_epochs=2),
        model=dict(prompt=dict(_delete_=True, type='vlprompt.ContextPrompt', n_prompts=2, n_ctx=4, init_std=0.1)),
    ),
    second=dict(train_cfg=dict(max_epochs=3), start_from=dict(keys=['prompt.*'])),
)
"""


@pytest.fixture(scope='module')
def project(tmp_path_factory):
    made = TinyProject.create(tmp_path_factory.mktemp('phases'))
    (made.root / 'phased.py').write_text(PHASES)
    return made


def configs(project, work_dir, **options):
    cfg = load_config(project.root / 'phased.py', {k.replace('__', '.'): v for k, v in options.items()})
    cfg.work_dir = str(work_dir)
    result = phase_configs(cfg)
    for single in result.values():
        single.log_level = 'WARNING'
        leave_unformatted(single)
    return result


@pytest.mark.slow
def test_plain_mmengine_runs_all_phases(project, tmp_path):
    """``Config.fromfile`` and ``RUNNERS.build``, as other people's tools do, then a test of what was trained."""
    cfg = Config.fromfile(project.root / 'phased.py')
    cfg.merge_from_dict(dict(work_dir=str(tmp_path), log_level='WARNING'))
    leave_unformatted(cfg)
    run = RUNNERS.build(cfg)
    run.train()
    metrics = run.test()
    assert (tmp_path / 'first' / 'epoch_2.pth').is_file()
    checkpoint = tmp_path / 'second' / 'epoch_3.pth'
    cfg.load_from = str(checkpoint)
    assert RUNNERS.build(cfg).test() == metrics


def context(path):
    return read_checkpoint(path)['state_dict']['prompt.context']


def test_configs(project, tmp_path):
    first, second = configs(project, tmp_path, phases__first__train_cfg__max_epochs=7).values()
    assert (first.train_cfg.max_epochs, second.train_cfg.max_epochs) == (7, 3)
    assert first.model.prompt == dict(type='vlprompt.ContextPrompt', n_prompts=2, n_ctx=4, init_std=0.1)
    assert second.model.prompt == dict(type='vlprompt.ContextPrompt', n_prompts=2, n_ctx=4)
    assert (first.work_dir, second.work_dir) == (f'{tmp_path}/first', f'{tmp_path}/second')
    assert first.get('start_from') is None
    assert second.start_from == dict(keys=['prompt.*'], checkpoint=f'{tmp_path}/first')
    assert 'phases' not in first


def test_the_phase_of_a_checkpoint():
    cfg = Config(dict(phases=dict(x=dict(), y=dict())))
    assert phase_of(cfg, dict(meta=dict(phase='x'))) == 'x'
    assert phase_of(cfg, dict(meta=dict(phase='of another config'))) is None
    assert phase_of(cfg, dict(meta=dict())) is phase_of(cfg, None) is None
    assert phase_of(Config(dict()), dict(meta=dict(phase='x'))) is None
    assert phase_config(cfg, 'x').phase == 'x'


def test_last_phase_is_the_default():
    cfg = Config(dict(a=1, phases=dict(x=dict(a=2), y=dict(a=3))))
    assert phase_config(cfg).a == 3
    assert phase_config(cfg, 'x').a == 2
    assert phase_config(Config(dict(a=1))).a == 1
    with pytest.raises(ConfigError, match="no phase 'z'; phases of the config: x, y"):
        phase_config(cfg, 'z')


def test_replacing_all_but_some_parts():
    base = dict(model=dict(type='A', clip=dict(arch='x', size=1), pre=dict(type='P', mean=0), weights=dict(a=1)))
    change = dict(model=dict(_keep_=['clip', 'pre', 'absent'], type='B', pre=dict(type='Q'), new=2))
    model = phase_config(Config(base | dict(phases=dict(first=change)))).model
    assert model == dict(type='B', clip=dict(arch='x', size=1), pre=dict(type='Q', mean=0), new=2)


def test_a_later_phase_must_say_what_it_takes_over():
    cfg = Config(dict(work_dir='w', phases=dict(x=dict(), y=dict())))
    with pytest.raises(ConfigError, match=r'phases\.y does not say'):
        phase_configs(cfg)


def test_missing_data_of_a_later_phase_stop_the_first(project, tmp_path):
    made = configs(project, tmp_path)
    made['second'].train_dataloader.dataset.data_root = '/nowhere'
    with pytest.raises(FileNotFoundError, match='/nowhere'):
        train_phases(made)
    assert not list(tmp_path.glob('*/*.pth')), 'nothing has been trained'


MISTAKES = {
    'no step in an epoch': (
        dict(train_dataloader__batch_size=50, train_dataloader__drop_last=True),
        'lower train_data',
    ),
    'a sampler of other data': (
        dict(train_dataloader__sampler=dict(_delete_=True, type='vlprompt.PKSampler')),
        'PKSampler needs dataset=',
    ),
    'a pattern for nothing': (dict(start_from__keys=['promt.context']), "matches no tensor.*Did you mean 'prompt.cont"),
    'another shape': (dict(model__prompt__n_ctx=5), 'in the checkpoint, the model needs'),
    'a checkpoint that does not exist': (dict(load_from='lost.pth'), 'lost.pth does not exist'),
    'a schedule': (dict(param_scheduler=[dict(type='MultiStepLR', gama=1)]), 'gama'),
    'best of nothing': (dict(default_hooks__checkpoint__save_best='auto'), 'save_best=.*has no effect'),
    'a checkpoint that the phase replaces': (dict(load_from='{work_dir}/epoch_1.pth'), 'is in its own folder'),
    'no training': (dict(train_cfg=None), 'it has no train_cfg'),
    'a validation without data': (
        dict(val_cfg=dict(type='ValLoop'), val_dataloader=None),
        'phases.second.val_cfg is set, but phases.second.val_dataloader is missing',
    ),
    'an unknown model': (dict(model__type='vlprompt.TextClasifier'), 'TextClasifier is not in the'),
    'nothing trained': (dict(optim_wrapper__paramwise_cfg=dict(custom_keys={'lost.*': dict(lr_mult=2)})), 'lost'),
}


@pytest.mark.parametrize('mistake', MISTAKES)
def test_mistakes_in_a_later_phase_stop_the_first(project, tmp_path, mistake):
    options, message = MISTAKES[mistake]
    made = configs(project, tmp_path)
    for key, value in options.items():
        value = value.format(work_dir=made['second'].work_dir) if isinstance(value, str) else value
        made['second'].merge_from_dict({key.replace('__', '.'): value})
    with pytest.raises((ConfigError, CheckpointError, FileNotFoundError), match=message) as error:
        train_phases(made)
    assert str(error.value).startswith("phase 'second': ")
    assert not list(tmp_path.glob('*/*.pth')), 'nothing has been trained'


def test_the_data_of_a_later_phase_has_its_own_classes(project, tmp_path):
    made = configs(project, tmp_path)
    for single in made.values():
        single.model.pop('class_names')
        single.model.prompt.class_specific = True
    shutil.copytree(project.root / 'data', tmp_path / 'data')
    for split in ('train', 'test'):
        shutil.copytree(tmp_path / 'data' / split / CLASSES[0], tmp_path / 'data' / split / 'zebra')
    for loop in ('train', 'val', 'test'):
        if loader := made['second'].get(f'{loop}_dataloader'):
            loader.dataset.data_root = str(tmp_path / 'data')
    with pytest.raises(CheckpointError, match=r"(?s)^phase 'second': .*checkpoint, the model needs \(2, 4, 4, 32\)"):
        train_phases(made)
    assert not list(tmp_path.glob('*/*.pth')), 'nothing has been trained'


def test_unknown_keys_of_a_phase(project):
    with pytest.raises(ConfigError, match=r"phase 'first' of .*\n.*train_cfg.max_epoch'"):
        load_config(project.root / 'phased.py', {'phases.first.train_cfg.max_epoch': 1})


@pytest.mark.slow
def test_runs_and_resumes_between_and_inside(project, tmp_path):
    whole = train_phases(configs(project, tmp_path / 'whole'))
    assert whole.epoch == 3
    expected = context(tmp_path / 'whole/second/epoch_3.pth')
    start = context(tmp_path / 'whole/first/epoch_2.pth')
    assert not torch.equal(start, expected)

    broken = configs(project, tmp_path / 'broken')
    broken['second'].custom_hooks = [dict(type='vlprompt.InterruptingHook', epoch=1)]
    with pytest.raises(Interrupted):
        train_phases(broken)
    assert finished_checkpoint(broken['first']) == tmp_path / 'broken/first/epoch_2.pth'
    assert finished_checkpoint(broken['second']) is None
    again = configs(project, tmp_path / 'broken', resume=True)
    again['first'].train_dataloader = None  # a finished phase is not even built
    train_phases(again)
    assert torch.equal(context(tmp_path / 'broken/second/epoch_3.pth'), expected)

    # As if the first phase had been killed between writing its last checkpoint and removing the one before.
    first = tmp_path / 'broken/first'
    shutil.copy(first / 'epoch_2.pth', first / 'epoch_1.pth')
    (first / 'last_checkpoint').write_text(str(first / 'epoch_1.pth'))
    before = (tmp_path / 'broken/second/epoch_3.pth').stat().st_mtime_ns
    runner = train_phases(configs(project, tmp_path / 'broken', resume=True))
    assert (tmp_path / 'broken/second/epoch_3.pth').stat().st_mtime_ns == before
    assert [file.name for file in first.glob('epoch_*.pth')] == ['epoch_2.pth']
    assert (first / 'last_checkpoint').read_text() == str(first / 'epoch_2.pth')
    runner.load_or_resume()
    assert torch.equal(runner.model.prompt.context, expected)


def test_nobody_else_trains_in_the_folder_from_the_first_phase_to_the_last(project, tmp_path, monkeypatch):
    folders = [tmp_path, tmp_path / 'first', tmp_path / 'second']
    refused = []

    def note(*_):
        refused.append([bool(claim_elsewhere(folder)) for folder in folders if folder.is_dir()])

    train = PromptRunner.train
    monkeypatch.setattr(PromptRunner, 'train', lambda runner: (note(), train(runner)))
    monkeypatch.setattr(phases, 'barrier', note)  # after each phase
    options = dict(phases__first__train_cfg__max_epochs=1, phases__second__train_cfg__max_epochs=1)
    train_phases(configs(project, tmp_path, **options))
    assert refused == [[True] * 2] * 2 + [[True] * 3] * 2
    assert not any(claim_elsewhere(folder) for folder in folders)


def test_phases_that_begin_anew_set_aside_their_earlier_runs(project, tmp_path):
    """So that --resume does not take the second phase of an earlier run for that of this one."""
    for name, file in (('first', 'epoch_2.pth'), ('second', 'epoch_3.pth'), ('second', 'resume.pth'), ('other', 'x')):
        (tmp_path / name).mkdir(exist_ok=True)
        (tmp_path / name / file).write_text('of an earlier run')
    (tmp_path / 'second' / 'last_checkpoint').write_text(str(tmp_path / 'second' / 'epoch_3.pth'))
    (tmp_path / 'second' / '20260101_000000').mkdir()
    (tmp_path / METRICS_FILE).write_text('{}')
    with pytest.raises(Interrupted):
        train_phases(configs(project, tmp_path, custom_hooks=[dict(type='InterruptingHook', iteration=1)]))
    (target,) = (tmp_path / 'earlier').iterdir()
    moved = {str(path.relative_to(target)) for path in target.glob('*/*')} | {path.name for path in target.glob('*.*')}
    assert moved == {
        'first/epoch_2.pth',
        'second/epoch_3.pth',
        'second/resume.pth',
        'second/last_checkpoint',
        'second/20260101_000000',
        METRICS_FILE,
    }
    assert (target / 'second/last_checkpoint').read_text() == str(target / 'second/epoch_3.pth')
    assert list((tmp_path / 'second').iterdir()) == []
    assert (tmp_path / 'other' / 'x').exists()


def test_one_phase(project, tmp_path):
    with pytest.raises(ConfigError, match="phase 'second' starts from phase 'first', which has not finished"):
        train_phases(configs(project, tmp_path), only='second')
    train_phases(configs(project, tmp_path), only='first')
    assert not (tmp_path / 'second').exists()
    saved = str(tmp_path / 'first/epoch_2.pth')
    one = configs(project, tmp_path / 'other', phases__second__start_from__checkpoint=saved)
    train_phases(one, only='second')
    assert not (tmp_path / 'other/first').exists()
    with pytest.raises(ConfigError, match="no phase 'third'"):
        train_phases(one, only='third')


@pytest.mark.slow
def test_two_processes_from_the_command_line(project, tmp_path):
    """Both phases in one process group, then a test of the last one."""
    launch = ['-m', 'torch.distributed.run', '--nproc_per_node=2', f'--master_port={free_port()}']
    tool = [sys.executable, *launch, ROOT / 'tools/train.py', project.root / 'phased.py', '--work-dir', tmp_path]
    environment = os.environ | dict(OMP_NUM_THREADS='1')
    run = subprocess.run([*tool, '--launcher', 'pytorch', '--test'], env=environment, capture_output=True, text=True)
    assert run.returncode == 0, run.stderr[-3000:]
    assert (tmp_path / 'second/epoch_3.pth').is_file()
    assert (tmp_path / runs.METRICS_FILE).is_file()


# ------------------------------------------------------------------------------------------------------------ hand-over


def test_hand_over(tmp_path):
    model = nn.Sequential(nn.Linear(2, 3), nn.Linear(3, 1))
    state = {'0.weight': torch.ones(3, 2), '1.bias': torch.ones(1), 'extra': torch.ones(5)}
    write_checkpoint(dict(meta=dict(vlprompt=dict(base=None)), state_dict=state), tmp_path / 'a.pth')
    assert hand_over(model, ['0.*', '1.bias'], tmp_path / 'a.pth') == ['0.weight', '1.bias']
    assert model[0].weight.eq(1).all()
    assert model[1].bias.eq(1).all()
    assert hand_over(model, []) == []
    for keys, message in (
        (['2.*'], r"'2.\*' matches no tensor"),
        (['extra'], 'Sequential has no extra'),
    ):
        with pytest.raises(CheckpointError, match=message):
            hand_over(model, keys, tmp_path / 'a.pth')
    with pytest.raises(CheckpointError, match=r'has shape \(3, 2\) in the checkpoint, the model needs \(2, 2\)'):
        hand_over(nn.Sequential(nn.Linear(2, 2)), ['0.weight'], tmp_path / 'a.pth')
    with pytest.raises(CheckpointError, match='names no checkpoint'):
        hand_over(model, ['0.*'])
    with pytest.raises(TypeError, match='must be a list'):
        hand_over(model, '0.*')
    with pytest.raises(FileNotFoundError, match='no training has left'):
        hand_over(model, ['0.*'], tmp_path)
