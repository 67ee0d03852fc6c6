"""The package without its checkout: a wheel brings commands, configs, tools and models, and finds them by name."""

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
import sysconfig
import venv
from pathlib import Path

import pytest
from mmengine.fileio import load

from tests.conftest import ROOT
from vlprompt.apis import builtin_adapters
from vlprompt.cli import COMMANDS
from vlprompt.datasets.generated import SCENE_CLASSES

SOURCES = ('vlprompt', 'configs', 'tools', 'setup.py', 'pyproject.toml', 'model-index.yml', 'README.md', 'LICENSE')
SHORTER = {
    '--task few-shot --out data/scenes': '--task few-shot --out data/scenes --per-class 16 1 2',
    '--shots 16 --test': '--shots 16 --test --cfg-options train_cfg.max_epochs=1',
    'epoch_25.pth': 'epoch_1.pth',
}
SCRIPT = """
import json
import vlprompt
from mmengine.config import Config
from vlprompt.apis import builtin_adapters, init_model, list_configs
from vlprompt.engine import load_config

def summary(cfg):
    return [cfg.train_dataloader.dataset.dataset, cfg.train_dataloader.dataset.shots, cfg.model.prompt.n_prompts]

model = init_model('plot/plot_micro-rn', class_names=['star', 'heart'])
print(json.dumps(dict(
    package=vlprompt.__file__,
    listed=len(list_configs()),
    by_name=summary(load_config('plot/plot_rn50', dict(dataset='dtd', shots=4))),
    inherited=summary(load_config('mine.py')),
    plain=Config.fromfile('mine.py').dataset,
    classes=model.class_names,
    adapters=builtin_adapters(),
    trained=init_model('builtin:coop_micro-rn').class_names,
)))
"""


def run_pip(*arguments):
    done = subprocess.run([sys.executable, '-m', 'pip', *map(str, arguments)], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.fixture(scope='module')
def installed(tmp_path_factory):
    """A fresh virtual environment into which pip has installed the wheel; its other packages are those of the tests.

    The folder of these packages is on its path as a plain folder, so the editable installation of the checkout, which
    lies there too, has no effect. pip looks up the requirements of the wheel there and downloads nothing.
    """
    folder = tmp_path_factory.mktemp('wheel')
    for name in SOURCES:
        if (ROOT / name).is_dir():
            leave = shutil.ignore_patterns('__pycache__', '.mim')
            shutil.copytree(ROOT / name, folder / 'source' / name, ignore=leave)
        else:
            shutil.copy(ROOT / name, folder / 'source')
    run_pip('wheel', '--no-deps', '--no-build-isolation', '--wheel-dir', folder, folder / 'source')
    (wheel,) = folder.glob('*.whl')
    environment = folder / 'environment'
    venv.create(environment, symlinks=True)
    site = Path(sysconfig.get_path('purelib', 'venv', dict(base=environment, platbase=environment)))
    (site / 'packages_of_the_tests.pth').write_text(sysconfig.get_path('purelib') + '\n')
    python = environment / 'bin' / 'python'
    run_pip('--python', python, 'install', '--no-index', f'{wheel}[export]')
    return environment


def test_the_model_index_names_every_metafile():
    index = load(ROOT / 'model-index.yml')['Import']
    assert index == sorted(str(path.relative_to(ROOT)) for path in (ROOT / 'configs').glob('*/metafile.yml'))


@pytest.mark.slow
def test_configs_are_found_by_name_and_inherited_from_the_package(installed, tmp_path):
    (tmp_path / 'mine.py').write_text("_base_ = 'vlprompt::plot/plot_rn50.py'\ndataset, shots = 'dtd', 4\n")
    found = json.loads(run(installed / 'bin' / 'python', tmp_path, '-c', SCRIPT).splitlines()[-1])
    assert found['package'].startswith(str(installed))
    assert found['listed'] == sum('_base_' not in path.parts for path in (ROOT / 'configs').rglob('*.py'))
    assert found['by_name'] == found['inherited'] == ['dtd', 4, 4]
    assert found['plain'] == 'dtd'
    assert found['classes'] == ['star', 'heart']
    assert found['adapters'] == builtin_adapters()
    assert found['trained'] == list(SCENE_CLASSES)


@pytest.fixture
def beside_a_clone(tmp_path):
    """A folder with another one that is called ``vlprompt`` and is no package, as the folder around a clone."""
    (tmp_path / 'vlprompt' / 'vlprompt').mkdir(parents=True)
    return tmp_path


def run(program, folder, *arguments):
    """What a program prints in a folder, where no other path is given to Python."""
    environment = {name: value for name, value in os.environ.items() if name != 'PYTHONPATH'}
    done = subprocess.run([program, *map(str, arguments)], cwd=folder, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.mark.slow
def test_commands_work_beside_a_clone(installed, beside_a_clone):
    command = installed / 'bin' / 'vlprompt'
    shown = run(command, beside_a_clone, '--help')
    assert all(f'\n  {name} ' in shown for name in (*COMMANDS, 'generate-world', 'show-attention'))
    assert 'plot/plot_micro-rn ' in run(command, beside_a_clone, 'list', 'plot_micro-rn')
    as_module = run(installed / 'bin' / 'python', beside_a_clone, '-m', 'vlprompt', 'plot-curves', '--help')
    assert 'usage: vlprompt plot-curves ' in as_module


def quick_start():
    """The commands of the page after the installation, as one script, on less data and with a shorter training."""
    page = (ROOT / 'docs/quick_start.md').read_text().split('\n## Look around')[1]
    script = ''.join(re.findall(r'^```bash\n(.*?)^```', page, re.M | re.S))
    for long, short in SHORTER.items():
        assert long in script
        script = script.replace(long, short)
    return script


@pytest.mark.slow
def test_the_quick_start_needs_nothing_but_the_wheel(installed, beside_a_clone):
    """Zero-shot, predictions, a training on a folder of images, an ONNX file and an adapter."""
    path = os.pathsep.join([str(installed / 'bin'), os.environ['PATH']])
    shown = run('bash', beside_a_clone, '-ec', f'export PATH={shlex.quote(path)}\n{quick_start()}')
    assert 'accuracy/top1' in shown
    assert 'Epoch(train) [1][1/1]' in shown
    assert 'labels equal 100 %' in shown
    assert re.search(r'wrote my-adapter, \d+ kB', shown)
    first, *_, last = re.findall(r'^photos/test/boat/test_0000.png: boat (.*)', shown, re.MULTILINE)
    assert first == last, 'the adapter predicts what the checkpoint does'
    words = json.loads((beside_a_clone / 'words' / 'predictions.json').read_text())['images'][0]['classes']
    assert sorted(found['name'] for found in words) == ['boat', 'cup', 'house', 'mushroom']
