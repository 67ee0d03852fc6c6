"""Real kills of a tiny training, resumed and compared bit for bit; and what the comparison finds."""

import contextlib
import json
import math
import os
import runpy
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch

from tests.conftest import ROOT
from tests.tiny_project import TinyProject
from vlprompt.errors import RunError

TOOL = ROOT / 'tools' / 'analysis_tools' / 'kill_resume.py'
MOMENTS = ('half-written', 'after-replace', 'validation', 'after-validation', 'SIGTERM', 'random')


@pytest.fixture(scope='module')
def tool():
    """Names of the tool."""
    return runpy.run_path(str(TOOL), run_name='kill_resume')


@pytest.mark.skipif(sys.platform != 'linux', reason='looks at processes in /proc')
def test_runs_that_are_killed_equal_the_uninterrupted_one(tmp_path):
    project = TinyProject.create(tmp_path / 'project')
    options = ['--cfg-options', 'train_cfg.max_epochs=2', 'train_dataloader.num_workers=1']
    command = [sys.executable, TOOL, project.config, '--work-dir', 'kills', '--kills', str(len(MOMENTS)), '--moments']
    with subprocess.Popen(
        [*command, *MOMENTS, *options],
        cwd=tmp_path,
        stdout=(log := open(tmp_path / 'log', 'w')),
        stderr=log,
        env=_environment(),
        start_new_session=True,
    ) as process:
        process.wait()
    output = (tmp_path / 'log').read_text()
    assert process.returncode == 0, output
    assert not living(process.pid), 'data workers live on'
    report = (tmp_path / 'kills' / 'kills.md').read_text()
    assert report.count('| identical |') == len(MOMENTS)
    assert f'{len(MOMENTS)} of {len(MOMENTS)} runs' in output
    again = subprocess.run([*command, *MOMENTS], cwd=tmp_path, capture_output=True, text=True, env=_environment())
    assert again.returncode == 1
    assert 'is not empty: choose another --work-dir' in again.stderr


def living(session):
    """Processes of a session that have not ended."""
    found = []
    for status in Path('/proc').glob('[0-9]*/stat'):
        with contextlib.suppress(FileNotFoundError, ProcessLookupError):
            state, _, _, number = status.read_text().rpartition(')')[2].split()[:4]
            if int(number) == session and state != 'Z':
                found.append(int(status.parent.name))
    return found


@pytest.mark.skipif(sys.platform != 'linux', reason='looks at processes in /proc')
def test_processes_that_outlive_a_training_are_an_error_and_ended(tool, tmp_path, monkeypatch):
    def leave_one_behind():
        if os.fork() == 0:
            (tmp_path / 'left').write_text(str(os.getpid()))
            time.sleep(60)
            os._exit(0)

    monkeypatch.setitem(tool['in_child'].__globals__, 'GRACE', 0.5)
    with pytest.raises(RunError, match=r'live on 0\.5 s after its end with 0: see'):
        tool['in_child'](leave_one_behind, tmp_path / 'log')
    left = Path('/proc', (tmp_path / 'left').read_text(), 'stat')
    deadline = time.monotonic() + 10
    while left.exists() and ') Z' not in left.read_text() and time.monotonic() < deadline:
        time.sleep(0.01)
    assert not left.exists() or ') Z' in left.read_text()


def _environment():
    return os.environ | dict(PYTHONPATH=str(ROOT), OMP_NUM_THREADS='1')


def test_a_bit_is_a_difference(tool):
    differences = tool['differences']
    first = dict(a=torch.tensor([1.0, math.nan]), b=[1, dict(c=math.nan)], d='x')
    same = dict(a=torch.tensor([1.0, math.nan]), b=[1, dict(c=math.nan)], d='x')
    assert list(differences(first, same)) == []
    assert list(differences(first, same | dict(a=torch.tensor([1.0 + 2**-23, math.nan])))) == ['.a']
    assert list(differences(first, same | dict(a=torch.tensor([1.0, 0.0])))) == ['.a']
    assert list(differences(first, same | dict(b=[1, dict(c=0.5)]))) == ['.b.1.c: nan / 0.5']
    assert list(differences(first, dict(a=first['a'], b=first['b'], e=0))) == [
        '.d is missing',
        '.e is there in addition',
    ]
    assert list(differences([1], [1, 2])) == [': [1] / [1, 2]']


def test_a_folder_after_a_kill_is_looked_at(tool, tmp_path):
    assert list(tool['problems_after_kill'](tmp_path)) == []
    (tmp_path / 'last_checkpoint').write_text(str(tmp_path / 'epoch_1.pth'))
    (tmp_path / 'resume.pth').write_bytes(b'half')
    (tmp_path / '.epoch_2.pth.host.1.tmp').touch()
    problems = list(tool['problems_after_kill'](tmp_path))
    assert problems[0] == 'last_checkpoint names a file that does not exist'
    assert problems[1] == 'no checkpoint in .'
    assert str(tmp_path / 'resume.pth') in problems[2]
    assert tool['leftovers'](tmp_path) == ['.epoch_2.pth.host.1.tmp is left over']


def test_of_a_repeated_validation_the_last_counts(tool, tmp_path):
    for name, score in (('20260101_000000', 1.0), ('20260101_000001', 2.0)):
        folder = tmp_path / 'phase' / name / 'vis_data'
        folder.mkdir(parents=True)
        lines = [dict(lr=0.1, loss=1.0, step=1), {'accuracy/top1': score, 'time': score, 'step': 1}]
        (folder / f'{name}.json').write_text('\n'.join(map(json.dumps, lines)))
    shutil.copytree(tmp_path / 'phase', tmp_path / 'earlier' / '20260101_000000' / 'phase')  # was set aside
    (found,) = tool['validations'](tmp_path).values()
    assert found == {'accuracy/top1': 2.0, 'step': 1}
