"""The commands of docs/tutorials run in their order, in an empty folder, on less data and with shorter trainings."""

import multiprocessing
import os
import re
import shlex
import subprocess
import sys
import traceback

import pytest

from tests.conftest import ROOT
from vlprompt import cli
from vlprompt.apis.few_shot.execute import PRELOADED

TUTORIALS = ROOT / 'docs' / 'tutorials'
PAGES = sorted(path.stem for path in TUTORIALS.glob('*.md') if path.stem != 'index')
LOADERS = [
    f'{split}_dataloader.{key}'
    for split in ('train', 'val', 'test')
    for key in ('num_workers=0', 'persistent_workers=False')
]
EPOCH = 'train_cfg.max_epochs=1'
ITERATION = ['train_cfg.max_iters=1', 'train_dataloader.batch_size=2']
SHORTER = {
    'few_shot': dict(world='--per-class 4 1 1 --size 64', train=[EPOCH], saved={'epoch_25': 'epoch_1'}),
    'segmentation': dict(world='--images 4 2', train=ITERATION, saved={'iter_200': 'iter_1'}),
    'detection': dict(world='--images 4 2', train=ITERATION, saved={'iter_400': 'iter_1'}),
    'reid': dict(
        world='--identities 16 2 --cameras 2',
        train=[f'phases.{phase}.train_cfg.max_epochs=1' for phase in ('prompts', 'finetune')],
        saved={
            'epoch_20': 'epoch_1',
            '0029_c3s1_000000_00.png': '0017_c1s1_000000_00.png',
            '--queries 4': '--queries 2',
        },
    ),
    'long_tail': dict(
        world='--long-tail 4 2 1 1',
        train=[f'phases.{phase}.train_cfg.max_epochs=1' for phase in ('shared', 'groups')],
        saved={'epoch_4': 'epoch_1'},
    ),
}
"""Page -> arguments of ``generate-world``, ``--cfg-options`` of ``train``, and names of checkpoints that follow."""


def commands(page):
    """The lines of all bash blocks of a page, joined where they go on; indented or not."""
    blocks = re.findall(r'^ *```bash\n(.*?)^ *```', (TUTORIALS / f'{page}.md').read_text(), re.M | re.S)
    lines = [line.strip() for block in blocks for line in block.replace('\\\n', ' ').splitlines()]
    return [line for line in lines if line and not line.startswith('#')]


def shortened(words, less):
    """A command of vlprompt with what makes it quick."""
    if words[0] == 'generate-world':
        return [*words, *less['world'].split()]
    if words[0] == 'train':
        if '--cfg-options' not in words:
            words = [*words, '--cfg-options']
        place = words.index('--cfg-options') + 1
        loaders = [] if less['train'][0].startswith('phases.') else LOADERS
        return [*words[:place], *less['train'], *loaders, *words[place:]]
    return words


def run_here(words, folder, output):
    """The command ``vlprompt``, in a process forked from one that has imported torch and the mm packages, and has run
    nothing: locks of threads, such as OpenCV's, are not inherited."""
    os.chdir(folder)
    sys.stdout = sys.stderr = output.open('w', buffering=1)
    for stream in (1, 2):
        os.dup2(sys.stdout.fileno(), stream)
    sys.argv = ['vlprompt', *words]
    try:
        cli.main()
    except SystemExit as end:
        if isinstance(end.code, str):
            print(end.code)
        status = 0 if end.code is None else end.code if isinstance(end.code, int) else 1
    except BaseException:
        traceback.print_exc()
        status = 1
    else:
        status = 0
    sys.stdout.flush()
    os._exit(status)


def run(line, less, folder):
    """Run a line in a folder; what it prints."""
    for name, shorter in less['saved'].items():
        line = line.replace(name, shorter)
    words = shlex.split(line, comments=True)
    output = folder.parent / 'output.txt'
    if words[0] == 'vlprompt':
        context = multiprocessing.get_context('forkserver')
        context.set_forkserver_preload([*PRELOADED, 'vlprompt.models.detectors', 'vlprompt.models.segmentors'])
        process = context.Process(target=run_here, args=(shortened(words[1:], less), folder, output))
        process.start()
        process.join()
        status, shown = process.exitcode, output.read_text()
    else:
        done = subprocess.run(['bash', '-ec', line], cwd=folder, text=True, capture_output=True, check=False)
        status, shown = done.returncode, done.stdout + done.stderr
    assert status == 0, f'{line}\n{shown[-4000:]}'
    return shown


@pytest.mark.slow
@pytest.mark.parametrize('page', PAGES)
def test_the_commands_run(page, tmp_path):
    folder = tmp_path / 'empty'
    folder.mkdir()
    shown = {}
    for line in commands(page):
        tool = ' '.join(shlex.split(line)[:2])
        shown[tool] = shown.get(tool, '') + run(line, SHORTER[page], folder)
    assert '0 problems' in shown['vlprompt check-dataset']
    assert 'Epoch(test)' in shown['vlprompt test'] or 'Iter(test)' in shown['vlprompt test']
    assert re.search(r'(\d+) of \1 images: ', shown['vlprompt predict'])
    assert re.search(r'wrote \S+, \d+ kB', shown['vlprompt save-adapter'])
    assert 'has no figures' not in shown['vlprompt save-adapter']
