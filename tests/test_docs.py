"""The tutorial is executed as it stands: its files are written, its commands are run."""

import os
import re
import shlex
import subprocess
import sys

import pytest

from tests.conftest import ROOT

TUTORIAL = (ROOT / 'docs' / 'add_a_method.md').read_text()
FILES = dict(re.findall(r'^`(\S+)`:\n\n```python\n(.*?)^```', TUTORIAL, re.MULTILINE | re.DOTALL))
COMMANDS = [line for block in re.findall(r'^```bash\n(.*?)^```', TUTORIAL, re.M | re.S) for line in block.splitlines()]
LESS = {  # what makes a command shorter
    'generate-world': '--per-class 2 1 1 --workers 1',
    'train': '--cfg-options train_cfg.max_epochs=1 train_dataloader.batch_size=8 '
    'train_dataloader.num_workers=0 '
    'train_dataloader.persistent_workers=False test_dataloader.num_workers=0 test_dataloader.persistent_workers=False',
}


def test_the_tutorial_has_three_files():
    assert sorted(name.rsplit('.', 1)[0] for name in FILES) == [
        'my_method/test_weighted_words',
        'my_method/weighted-words_micro-vit',
        'my_method/weighted_words',
    ]
    assert len(COMMANDS) == 4


@pytest.mark.slow
def test_the_tutorial_runs(tmp_path):
    for name in ('configs', 'tools'):
        (tmp_path / name).symlink_to(ROOT / name)
    for name, content in FILES.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(content)
    output = {}
    for line in COMMANDS:
        words = shlex.split(line)
        path = os.pathsep.join([str(ROOT), '.']) if words[0] == 'PYTHONPATH=.' else str(ROOT)
        program, *arguments = [word for word in words if word != 'PYTHONPATH=.']
        assert program in ('python', 'vlprompt')
        start = [sys.executable] if program == 'python' else [sys.executable, '-m', 'vlprompt']
        command = [*start, *arguments, *shlex.split(LESS.get(arguments[0], ''))]
        environment = os.environ | dict(PYTHONPATH=path)
        done = subprocess.run(command, cwd=tmp_path, env=environment, text=True, capture_output=True, check=False)
        assert done.returncode == 0, f'{line}\n{done.stdout}\n{done.stderr}'
        output[arguments[0]] = done.stdout
    assert 'prompt.factors: (4, 1) = 4' in output['train']
    assert 'accuracy/top1' in output['train']
    assert '2 passed' in output['-m']
    (checkpoint,) = (tmp_path / 'work_dirs').rglob('epoch_1.pth')
    assert checkpoint.stat().st_size < 20_000, 'four numbers, and what they belong to'
