"""The terminal shows what a reader needs; the log file has all; mistakes in the data come before both."""

import io
import logging
import subprocess
import sys
from contextlib import redirect_stdout
from pathlib import Path

import pytest

from tests.conftest import ROOT, leave_unformatted
from tests.test_tools.dense import NARROW, make_world
from vlprompt.apis import runs
from vlprompt.engine import load_config
from vlprompt.engine.logs import NoInventory

MOST = 60
"""Lines of the terminal before the first step of a run."""


def before_first_step(text):
    """The lines of a training's output before its first step."""
    lines = text.splitlines()
    (first, *_) = [i for i, line in enumerate(lines) if 'Epoch(train)' in line or 'Iter(train)' in line]
    return lines[:first]


def test_a_run_is_short_in_the_terminal_and_whole_in_the_file(project, work_dir):
    shown = io.StringIO()
    with redirect_stdout(shown):  # the handler takes the stream of the moment
        cfg = load_config(project.config, {'train_cfg.max_epochs': 1})
        cfg.work_dir, cfg.experiment_name = str(work_dir), 'short'
        leave_unformatted(cfg)
        runner = runs.build_runner(cfg)
        runner.train()
    lines = before_first_step(shown.getvalue())
    assert len(lines) <= MOST
    assert sum(runner.logger.log_file in line for line in lines) == 1
    assert any('Trained parameters' in line for line in lines)
    written = Path(runner.logger.log_file).read_text()
    for part in ('System environment', 'Config:\n', 'Packages:', 'Hooks will be executed'):
        assert part in written
        assert part not in shown.getvalue()
    assert '"FileClient" will be deprecated' not in shown.getvalue()
    for text in (shown.getvalue(), written):  # of a part that does not know mmengine's log
        assert text.count('base.pt does not say its activation') == 1


def test_warnings_of_the_runner_pass():
    def passes(level, function, file='/x/runner.py'):
        return NoInventory().filter(logging.LogRecord('x', level, file, 1, 'text', (), None, func=function))

    assert not passes(logging.INFO, '_log_env')
    assert not passes(logging.INFO, '__init__')
    assert passes(logging.WARNING, '__init__')
    assert passes(logging.INFO, 'train')
    assert passes(logging.INFO, '__init__', '/x/hook.py')


@pytest.mark.parametrize('loader', ['train', 'val'])
def test_a_missing_folder_shows_before_anything_is_built(project, work_dir, monkeypatch, loader):
    cfg = load_config(project.config, {'val_cfg': dict(), 'model.clip.weights': 'nowhere.pt'})
    cfg.val_dataloader, cfg.val_evaluator = cfg.test_dataloader, cfg.test_evaluator
    cfg[f'{loader}_dataloader'].dataset.data_root = '/nowhere'
    cfg.work_dir, cfg.experiment_name = str(work_dir), f'missing {loader}'
    shown = io.StringIO()
    with redirect_stdout(shown), pytest.raises(FileNotFoundError, match='/nowhere'):
        runs.build_runner(cfg)
    assert len(shown.getvalue().splitlines()) <= 2, 'where the log is, and the size of the training set'


def test_a_missing_checkpoint_shows_before_anything_is_built(project, work_dir):
    options = dict(
        load_from='gone.pth', model__clip__weights='nowhere.pt', train_dataloader__dataset__data_root='/nowhere'
    )
    with pytest.raises(FileNotFoundError, match=r'checkpoint gone\.pth does not exist'):
        project.run(work_dir, **options)


@pytest.mark.slow
@pytest.mark.parametrize(
    ('task', 'config'),
    [
        ('segmentation', 'denseclip/denseclip_micro-rn_fpn_200i_scenes-160x160.py'),
        ('detection', 'denseclip_det/mask-rcnn_denseclip-micro-rn_fpn_400i_scenes-160x160.py'),
    ],
)
def test_commands_of_dense_tasks(tmp_path, task, config):
    """All streams of the command: what other packages print and warn is counted too, and none of it is untrue."""
    world = make_world(tmp_path / 'world', task, 2, 1)
    short = {key: value for key, value in NARROW.items() if key.startswith('train')}
    options = [f'{key}={value}' for key, value in short.items()] + ['train_dataloader.num_workers=0']
    command = [sys.executable, ROOT / 'tools/train.py', ROOT / 'configs' / config, '--data-root', world]
    command += ['--work-dir', tmp_path / 'work', '--no-validate', '--cfg-options', 'default_hooks.logger.interval=1']
    done = subprocess.run([*command, *options], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    lines = done.stderr.splitlines() + before_first_step(done.stdout)
    assert len(lines) <= MOST
    text = '\n'.join(lines)
    untrue = ('OneDL', 'faster_coco_eval', 'avg_non_ignore', 'FileClient', 'HardDisk', 'prefix is', 'draw is', 'SyncBN')
    assert not [part for part in untrue if part in text]
