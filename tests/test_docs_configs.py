"""Every example of docs/configs.md, and the configs of docs/trackers.md: files and commands resolve, mistakes give the
messages that the page shows.
"""

import argparse
import json
import re
import shlex

import pytest

from tests.conftest import ROOT
from vlprompt.apis import command_line, runs
from vlprompt.cli import COMMANDS, tools
from vlprompt.engine import load_config
from vlprompt.engine.config_files import run_name
from vlprompt.errors import ConfigError

PAGE = (ROOT / 'docs/configs.md').read_text()


def files_of(page):
    """Name -> content of the config files that a page shows, each under a line that begins with its name."""
    return dict(re.findall(r'^`(\S+\.py)`[^\n]*:\n\n```python\n(.*?)^```', page, re.MULTILINE | re.DOTALL))


FILES = files_of(PAGE)
TRACKERS = files_of((ROOT / 'docs/trackers.md').read_text())
LINES = [line for block in re.findall(r'^```bash\n(.*?)^```', PAGE, re.M | re.S) for line in block.splitlines()]
RUNS = [line for line in LINES if not line.startswith('vlprompt list ')]
MISTAKES = re.findall(r'^\| `([^|]+)` \| (.+) \|$', PAGE.split('## Options that are errors')[1].split('## ')[0], re.M)


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A working directory with the shipped configs and the files of the page."""
    (tmp_path / 'configs').symlink_to(ROOT / 'configs')
    for name, content in FILES.items():
        (tmp_path / name).write_text(content)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def composed(line):
    """The config of a command line, by the options that tools share."""
    parser = argparse.ArgumentParser()
    command_line.add_common_options(parser)
    command_line.add_phase_option(parser, '')
    args, _ = parser.parse_known_args(shlex.split(line))
    cfg = runs.base_config(args)
    runs.configs_by_phase(cfg, args)
    return cfg


def test_the_page_has_the_examples():
    assert set(FILES) == {
        *('my_run.py', 'longer.py', 'my_method.py', 'vehicles.py'),
        *('from_bases.py', 'python_style.py', 'installed.py'),
    }
    assert len(RUNS) == 8
    assert len(MISTAKES) == 7


def test_files_and_commands_mean_the_same(folder):
    cfg = composed('my_run.py')
    command = composed(RUNS[0].removeprefix('vlprompt train '))
    assert cfg.model == command.model
    assert cfg.train_dataloader.dataset.shots == command.train_dataloader.dataset.shots == 4
    assert (cfg.train_cfg.max_epochs, composed('longer.py').train_cfg.max_epochs) == (100, 150)
    assert composed('longer.py').param_scheduler[0].T_max == 150
    assert [load_config('my_method.py', dict(shots=k)).train_cfg.max_epochs for k in (16, 4)] == [200, 100]
    assert load_config('my_method.py', dict(dataset='sun397', shots=1)).train_cfg.max_epochs == 50
    assert composed('from_bases.py').model == composed('python_style.py').model


@pytest.fixture
def installed(folder, monkeypatch):
    """A package as laid out by setup.py: mmengine reads ``model-index.yml`` before it looks for the file."""
    package = folder / 'site-packages'
    (package / '.mim').mkdir(parents=True)
    for name in re.search(r'SHIPPED = \((.*)\)', (ROOT / 'setup.py').read_text())[1].split(', '):
        (package / '.mim' / name.strip("'")).symlink_to(ROOT / name.strip("'"))
    monkeypatch.setattr('mmengine.config.config.get_installed_path', lambda _: str(package))


def test_configs_of_an_installed_package(installed):
    cfg = composed('installed.py')
    assert (cfg.train_dataloader.dataset.dataset, cfg.model.prompt.n_prompts) == ('dtd', 4)


def test_configs_of_trackers(installed, folder):
    found = {}
    for name, content in TRACKERS.items():
        (folder / name).write_text(content)
        found[name] = [backend.type for backend in composed(f'{name} --dataset folder').visualizer.vis_backends]
    assert found == {
        f'with_{tracker}.py': ['LocalVisBackend', f'{backend}VisBackend']
        for tracker, backend in (('tensorboard', 'Tensorboard'), ('wandb', 'Wandb'), ('mlflow', 'MLflow'))
    }


@pytest.mark.parametrize('line', RUNS)
def test_commands_resolve(folder, line):
    program, command, *arguments = shlex.split(line, comments=True)
    assert program == 'vlprompt'
    assert command in {*COMMANDS, *tools()}
    composed(shlex.join(arguments))


@pytest.mark.parametrize(('line', 'message'), MISTAKES)
def test_mistakes_are_errors_with_the_message_shown(line, message):
    with pytest.raises(ConfigError, match=re.escape(message)):
        composed(line)


def test_the_data_file_reaches_loaders_and_templates(folder):
    cfg = composed('configs/zero_shot/zero-shot_micro-rn.py --dataset vehicles.py')
    assert cfg.test_dataloader.dataset.data_root == 'data/vehicles'
    assert cfg.model.prompt.templates == 'a photo of a {}, a type of vehicle.'


def test_the_python_example_runs(folder):
    code = re.findall(r'^```python\n(from mmengine.config import Config\n.*?)^```', PAGE, re.MULTILINE | re.DOTALL)
    assert len(code) == 1
    samples = [[f'{name}/{i}.png', label, name] for label, name in enumerate(('cat', 'dog')) for i in range(2)]
    (folder / 'data/scenes').mkdir(parents=True)
    (folder / 'data/scenes/split_scenes.json').write_text(json.dumps(dict(train=samples, val=[], test=samples)))
    names = {}
    exec(code[0], names)
    assert names['runner'].cfg.train_dataloader.dataset.dataset == 'scenes'


def test_work_directories(folder):
    assert run_name(composed('my_run.py')) == 'my_run_dtd_4shot'
    assert '`work_dirs/plot_rn50_dtd_4shot`' in PAGE
    assert run_name(composed(RUNS[0].removeprefix('vlprompt train '))) == 'plot_rn50_dtd_4shot'
    assert run_name(load_config('clipreid_vit-b16')) == 'clipreid_vit-b16_market1501'


def test_trackers_and_validation(folder):
    """Every command of docs/trackers.md composes, with the trackers of its files and the metric of its row."""
    page = (ROOT / 'docs/trackers.md').read_text()
    for name, content in re.findall(r'^`(\S+\.py)`[^\n]*\n\n```python\n(.*?)^```', page, re.MULTILINE | re.DOTALL):
        (folder / name).write_text(content.replace('vlprompt::', 'configs/'))  # which an installation has
    commands = re.findall(r'(?:^|`)vlprompt train ((?:\\\n|[^`\n])+)', page, re.MULTILINE)
    assert len(commands) == 12
    kinds, metrics = set(), set()
    for command in commands:
        cfg = composed(command.replace('\\\n', ' '))
        last = cfg if 'phases' not in cfg else cfg.phases.finetune
        kinds |= {backend.type for backend in cfg.visualizer.vis_backends}
        metrics |= {last.get('default_hooks', {}).get('checkpoint', {}).get('save_best')}
    assert kinds == {f'{kind}VisBackend' for kind in ('Local', 'Tensorboard', 'Wandb', 'MLflow')}
    assert metrics == {None, 'accuracy/top1', 'shot/overall', 'mIoU', 'coco/bbox_mAP', 'reid/mAP'}
