"""The demo's own logic; `make demo` runs all of it."""

import json
import re
import shutil
from pathlib import Path

import pytest

from vlprompt.cli import demo


def test_progress_shows_what_a_run_learns():
    log = '11/22 07:00:00 - mmengine - INFO - '
    train = log + 'Epoch(train)  [ 3][6/6]  lr: 1.9e-03  eta: 0:00:07  time: 0.5  loss: 0.5  accuracy: 90.0000'
    assert demo.progress(train) == 'epoch 3  lr: 1.9e-03  eta: 0:00:07  loss: 0.5  accuracy: 90.0000'
    assert demo.progress(log + 'Epoch(test) [6/6]    accuracy/top1: 75.5000  time: 0.1') == 'test accuracy: 75.50 %'
    assert demo.progress(log + 'Checkpoints will be saved to work_dirs') is None


def test_clock():
    assert [demo.clock(s) for s in (0.4, 83, 601)] == ['0:00', '1:23', '10:01']


def test_data_is_made_again_if_an_image_is_missing(tmp_path):
    assert not demo.is_complete(tmp_path)
    (tmp_path / 'images').mkdir()
    (tmp_path / 'images' / 'a.png').touch()
    (tmp_path / 'split_scenes.json').write_text(json.dumps({'train': [['a.png', 0, 'a']], 'test': []}))
    assert demo.is_complete(tmp_path)
    shutil.rmtree(tmp_path / 'images')
    assert not demo.is_complete(tmp_path)


def test_a_command_that_fails_ends_the_demo(tmp_path, capsys):
    reason = "vlprompt has no command 'trane'. Did you mean 'train'?"
    with pytest.raises(SystemExit, match=rf'(?s){re.escape(reason)}.*vlprompt trane failed \(1\).*0_trane.log'):
        demo.Demo(tmp_path, Path('data'), quick=True, cfg_options=[]).call(['trane'], ['a=1'])
    assert '$ vlprompt trane --cfg-options a=1' in capsys.readouterr().out
    assert (tmp_path / 'logs' / '0_trane.log').read_text().startswith(reason)
