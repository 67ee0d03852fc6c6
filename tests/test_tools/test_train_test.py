"""The command-line tools end to end, on a tiny project."""

import argparse
import json
import os
import pickle
import re
import runpy
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from mmengine.config import Config

from tests.conftest import ROOT, free_port
from tests.interruption import Interrupted, claim_elsewhere
from tests.tiny_project import TinyFit, TinyProject
from vlprompt.apis import command_line, runs
from vlprompt.engine import read_checkpoint
from vlprompt.errors import ConfigError

TOOLS = sorted(p for p in (ROOT / 'tools').rglob('*.py'))


@pytest.fixture(scope='module')
def project(tmp_path_factory):
    return TinyProject.create(tmp_path_factory.mktemp('project'))


@pytest.fixture
def tool(monkeypatch, tmp_path):
    """Run a tool in this process, in an empty working directory; returns the message it exited with."""
    monkeypatch.chdir(tmp_path)

    def run(name, *arguments):
        monkeypatch.setattr(sys, 'argv', [name, *map(str, arguments)])
        try:
            runpy.run_path(str(ROOT / 'tools' / name), run_name='__main__')
        except SystemExit as exit:
            return exit.code
        return None

    return run


@pytest.mark.parametrize('path', TOOLS, ids=lambda p: p.stem)
def test_help(path, tool, capsys):
    assert tool(path.relative_to(ROOT / 'tools'), '--help') == 0
    assert 'usage:' in capsys.readouterr().out


def test_train_test_and_test_again(project, tool, tmp_path):
    tool('train.py', project.config, '--test', '--seed', 2, '--cfg-options', 'train_cfg.max_epochs=1')
    work_dir = tmp_path / 'work_dirs' / 'tiny'
    after_training = json.loads((work_dir / runs.METRICS_FILE).read_text())
    assert read_checkpoint(work_dir / 'epoch_1.pth')['meta']['seed'] == 2

    checkpoint = work_dir / 'epoch_1.pth'
    tool('test.py', project.config, checkpoint, '--work-dir', 'again', '--out', 'out.pkl', '--show-dir', 'show')
    assert json.loads((tmp_path / 'again' / runs.METRICS_FILE).read_text()) == after_training
    predictions = pickle.loads((tmp_path / 'out.pkl').read_bytes())
    assert len(predictions) == 12
    assert len(list((tmp_path / 'show').rglob('*.png'))) == 12

    tool('test.py', project.config, 'none', '--work-dir', 'untrained', '--tta')
    assert set(json.loads((tmp_path / 'untrained' / runs.METRICS_FILE).read_text())) == set(after_training)


def test_a_solver_is_fitted_tested_and_not_fitted_again(tool, tmp_path):
    config = TinyFit.create(tmp_path / 'project').config
    tool('train.py', config, '--test', '--seed', 2, '--cfg-options', 'train_cfg.tune=few')
    work_dir = tmp_path / 'work_dirs' / 'fit'
    metrics = (work_dir / runs.METRICS_FILE).read_text()
    report = (work_dir / 'fit.json').read_text()
    assert json.loads(report)['tune'] == 'few'
    checkpoint = work_dir / 'epoch_1.pth'
    fitted = checkpoint.read_bytes()
    tool('test.py', config, checkpoint, '--work-dir', 'again')
    assert (tmp_path / 'again' / runs.METRICS_FILE).read_text() == metrics
    tool('train.py', config, '--test', '--resume', '--seed', 2, '--cfg-options', 'train_cfg.tune=few')
    assert (work_dir / runs.METRICS_FILE).read_text() == metrics
    assert checkpoint.read_bytes() == fitted
    assert 'GDA has not been fitted: train it' in tool('test.py', config)
    assert '--amp has no effect: the solver is fitted at once' in tool('train.py', config, '--amp', '--work-dir', 'amp')


def test_metrics_of_a_test_appear_whole_or_not_at_all(tmp_path, monkeypatch):
    runner = SimpleNamespace(test=lambda: {'accuracy/top1': np.float32(50), 'table': 'x'}, work_dir=tmp_path, cfg={})
    runs.run_test(runner)
    before = (tmp_path / runs.METRICS_FILE).read_text()
    assert json.loads(before) == {'accuracy/top1': 50}

    def power_off(path, text):
        path.open('w').write(text[:5])
        raise Interrupted

    monkeypatch.setattr(Path, 'write_text', power_off)
    with pytest.raises(Interrupted):
        runs.run_test(runner)
    assert (tmp_path / runs.METRICS_FILE).read_text() == before


def test_the_folder_is_held_until_the_test_after_training_is_done(project, tool, tmp_path, monkeypatch):
    refused = []
    monkeypatch.setattr(runs, 'run_test', lambda runner, folder: refused.append(claim_elsewhere(folder)))
    tool('train.py', project.config, '--test', '--cfg-options', 'train_cfg.max_epochs=1')
    folder = tmp_path / 'work_dirs' / 'tiny'
    assert f'another training uses {folder}' in refused[0]
    assert claim_elsewhere(folder) == ''


@pytest.mark.parametrize(
    ('arguments', 'message'),
    [
        (['--cfg-options', 'model.nctx=4'], "ConfigError: .*'model.nctx'.*'model.prompt.n_ctx'"),
        (['--resume', 'nowhere'], 'FileNotFoundError: checkpoint nowhere does not exist'),
        (['--data-root', 'nowhere'], 'FileNotFoundError: .*nowhere'),
        (['--no-validate'], '--no-validate has no effect: the config has no validation'),
        (
            ['--test', '--cfg-options', 'test_cfg=None', 'test_dataloader=None', 'test_evaluator=None'],
            '--test: the config has no test set',
        ),
        (['--work-dir', __file__], f'FileExistsError: {__file__} is a file where a folder is needed'),
        (['--cfg-options', 'default_hooks.checkpoint.save_best=auto'], 'save_best.*has no effect'),
    ],
)
def test_a_mistake_ends_in_one_message(project, tool, arguments, message):
    assert re.search(message, tool('train.py', project.config, *arguments).replace('\n', ' '))


def test_a_first_run_with_resume_starts_as_without_it(project, tool, tmp_path):
    """The same command is run after every interruption, so ``load_from`` acts as long as there is nothing to resume."""
    options = ['--cfg-options', 'train_cfg.max_epochs=1', 'optim_wrapper.optimizer.lr=0', 'param_scheduler=None']
    tool('train.py', project.config, '--work-dir', 'first', '--seed', 2, *options)
    start = tmp_path / 'first' / 'epoch_1.pth'
    for number in range(2):
        tool('train.py', project.config, '--work-dir', 'second', '--resume', *options, f'load_from={start}')
        (log,) = (tmp_path / 'second').glob('2*')  # named by the second, in which the next run may begin too
        log.rename(tmp_path / f'log{number}')
    contexts = [
        read_checkpoint(path)['state_dict']['prompt.context']
        for path in (start, start.parent.parent / 'second' / 'epoch_1.pth')
    ]
    assert torch.equal(*contexts)


def test_options_of_a_test_have_an_effect_or_are_errors(project, tool):
    assert '--other-classes has no effect' in tool('test.py', project.config, '--other-classes')
    cfg = Config(dict(default_scope='mmdet'))
    with pytest.raises(ConfigError, match='--tta: the config has no tta_pipeline'):
        runs.use_tta(cfg)


def test_optional_arguments_may_follow_options(project, tool, capsys):
    message = tool('test.py', project.config, '--data-root', project.root / 'data', 'lost.pth')
    assert message.startswith('FileNotFoundError: checkpoint lost.pth does not exist')
    assert tool('list_configs.py', '--datasets', 'caltech') is None
    assert 'few_shot: caltech101\n' in capsys.readouterr().out
    message = tool('dataset_converters/check_dataset.py', '--data-root', 'nowhere', 'lost.py')
    assert 'lost.py' in message


def test_a_test_without_its_data_names_those_of_the_training():
    def of(name, **own):
        return Config(dict(dataset=name, test_dataloader=dict(dataset=dict(type='FewShotDataset', **own))))

    content = dict(meta=dict(cfg=of('split_json', data_root='photos').pretty_text))

    def message(cfg, content):
        with pytest.raises(FileNotFoundError) as error, runs.naming_trained_data(cfg, content, 'a.pth'):
            raise FileNotFoundError('x does not exist')
        return str(error.value)

    for cfg in (of('scenes', dataset='scenes'), of('split_json', data_root='data/mine'), Config(dict(model=dict()))):
        expected = 'x does not exist. a.pth was trained on other data: --dataset split_json --data-root photos'
        assert message(cfg, content) == expected
    for same in (content, None, dict(meta=dict(cfg='import os'))):
        assert message(of('split_json', data_root='photos'), same) == 'x does not exist'


def test_own_data_is_checked_by_its_layout(project, tool, capsys):
    assert tool('dataset_converters/check_dataset.py', '--dataset', 'folder', '--data-root', project.root / 'data') == 0
    assert '3 classes' in capsys.readouterr().out
    message = tool('train.py', 'coop_micro-rn', '--data-root', project.root / 'data')
    assert 'If these are your own images, name their layout: --dataset folder' in message


def test_configs_are_listed_by_name_and_by_description(tool, capsys):
    assert tool('list_configs.py', 'csc') is None
    assert capsys.readouterr().out.split()[0] == 'coop/coop_rn50_csc'
    assert tool('list_configs.py', 'optimal transport') is None
    assert capsys.readouterr().out.split()[0].startswith('plot/plot_')
    assert tool('list_configs.py', 'coop', 'nothing of the kind') == 1
    assert capsys.readouterr().err == "no config has 'nothing of the kind' in its name or description\n"


def test_towers_are_listed(tool, capsys):
    assert tool('list_configs.py', '--towers', 'micro', 'SigLIP') is None
    lines = capsys.readouterr().out.splitlines()
    assert '| micro-vit | scenes | 160 | 128 | ViT | CLIP | shortest, bicubic, CLIP |' in lines
    assert tool('list_configs.py', '--towers', 'nothing of the kind') == 1
    assert "no architecture has 'nothing of the kind' in its name" in capsys.readouterr().err
    assert tool('list_configs.py', '--towers', '--datasets') == 2


def test_trained_parameters_as_a_table(tool, capsys):
    words = ('coop/coop_micro-rn', 'plotpp/plotpp_micro-vit', 'clap_micro-rn')
    assert tool('list_configs.py', *words, '--parameters', '--dataset', 'eurosat', '--shots', '2') is None
    lines = capsys.readouterr().out.splitlines()
    assert '| `coop/coop_micro-rn` | 2,048 | 2.0k |' in lines
    assert '| `clap/clap_micro-rn` | 1,280 | 1.3k |' in lines, '10 classes of width 128'
    rows = [line for line in lines if line.startswith('| `plotpp/')]
    assert [row.split('`')[1::2] for row in rows] == [
        ['plotpp/plotpp_micro-vit', 'visual'],
        ['plotpp/plotpp_micro-vit', 'joint'],
    ], 'and not plotpp_micro-vit_class-first'
    assert tool('list_configs.py', 'coop', '--shots', '2') == 2
    assert '--shots has no effect without --parameters' in capsys.readouterr().err


def test_a_mistake_in_the_test_set_is_found_before_training(project, tool, tmp_path):
    message = tool('train.py', project.config, '--test', '--cfg-options', 'test_dataloader.dataset.data_root=nowhere')
    assert message.startswith('FileNotFoundError')
    written = {path.suffix for path in (tmp_path / 'work_dirs').rglob('*')}
    assert not written & {'.py', '.pth'}, 'neither config nor checkpoint'


def test_interrupting_ends_in_one_message():
    def interrupted():
        raise KeyboardInterrupt

    with pytest.raises(SystemExit, match='the same command goes on with them, a training with --resume'):
        command_line.call(interrupted)


def test_mistakes_at_other_tools_end_in_one_message(project, tool, tmp_path):
    torch.save({'conv1.weight': torch.zeros(1)}, tmp_path / 'x.pth')
    message = tool('model_converters/official.py', 'coop', 'x.pth', 'y.pth')
    assert message.startswith('CheckpointError: x.pth: coop: the checkpoint has no ctx; it holds conv1.weight.')
    message = tool('dataset_converters/check_dataset.py', '--dataset', 'caltech')
    assert message.startswith("check_dataset.py: unknown dataset 'caltech'; one of imagenet, caltech101")


def test_options_reach_the_config(project):
    parser = argparse.ArgumentParser()
    command_line.add_common_options(parser)
    args = parser.parse_args(
        [project.config, '--seed', '3', '--data-root', '/data', '--cfg-options', 'model.prompt.n_ctx=8']
    )
    cfg = runs.base_config(args)
    assert (cfg.randomness.seed, cfg.train_dataloader.dataset.seed, cfg.model.prompt.n_ctx) == (3, 3, 8)
    assert cfg.train_dataloader.dataset.data_root == cfg.test_dataloader.dataset.data_root == '/data'
    assert 'seed' not in cfg.test_dataloader.dataset
    assert cfg.work_dir == os.path.join('work_dirs', 'tiny')
    runs.use_amp([cfg])
    assert (cfg.optim_wrapper.type, cfg.optim_wrapper.get('dtype')) == ('vlprompt.AutocastOptimWrapper', None)
    runs.use_amp([cfg], 'bfloat16')
    runs.use_amp([cfg])  # the config's
    assert cfg.optim_wrapper.dtype == 'bfloat16'
    command_line.add_amp_option(parser)
    for given, dtype in (
        ([], None),
        (['--amp'], True),
        (['--amp', 'bf16'], 'bfloat16'),
        (['--amp', 'float16'], 'float16'),
    ):
        assert parser.parse_args([project.config, *given]).amp == dtype
    runs.scale_lr(cfg)
    assert cfg.auto_scale_lr.enable


def test_datasets_are_found_through_wrappers():
    inner = [dict(type='A', seed=1), dict(type='B', dataset='caltech101')]
    loader = dict(dataset=dict(type='Concat', datasets=[dict(type='Repeat', dataset=inner[0]), inner[1]]))
    assert [d['type'] for d in runs.datasets_of(loader)] == ['Concat', 'Repeat', 'A', 'B']


@pytest.mark.slow
def test_two_processes_train_as_one_with_the_same_global_batch(project, tmp_path):
    """Real torchrun over gloo, the same context to 1e-6; 9 images, of which one process gets 5 and the other 4."""
    options = dict(train_cfg__max_epochs=2, optim_wrapper__optimizer__lr=0.01, train_dataloader__dataset__shots=3)
    runner = project.run(tmp_path / 'one', train_dataloader__batch_size=10, **options)
    start = runner.model.prompt.context.detach().clone()
    runner.train()
    command = ['bash', str(ROOT / 'tools' / 'dist_train.sh'), project.config, '2', '--work-dir', str(tmp_path / 'two')]
    command += ['--cfg-options', 'train_dataloader.batch_size=5']
    command += [f'{key.replace("__", ".")}={value}' for key, value in options.items()]
    environment = os.environ | dict(PYTHON=sys.executable, OMP_NUM_THREADS='1', PORT=str(free_port()))
    run = subprocess.run(command, env=environment, capture_output=True, text=True)
    assert run.returncode == 0, run.stderr[-3000:]
    one, two = (
        read_checkpoint(tmp_path / folder / 'epoch_2.pth')['state_dict']['prompt.context'] for folder in ('one', 'two')
    )
    assert (one - start).abs().max() > 1e-3
    torch.testing.assert_close(two, one, rtol=0, atol=1e-6)


@pytest.mark.slow
def test_run_seeds_reports_mean_and_spread(project, tool, tmp_path, capfd):
    arguments = [project.config, '--seeds', 1, '--work-dir', 'seeds', '--cfg-options', 'train_cfg.max_epochs=1']
    assert tool('analysis_tools/run_seeds.py', *arguments) is None
    capfd.readouterr()
    assert tool('analysis_tools/run_seeds.py', *arguments) is None  # read, not run again
    assert '| accuracy/top1 |' in capfd.readouterr().out
    (report,) = json.loads((tmp_path / 'seeds' / 'seeds.json').read_text())
    assert report['seeds'] == [1]
    assert report['metrics']['accuracy/top1']['std'] == 0
    assert 'other options' in tool('analysis_tools/run_seeds.py', *arguments[:-1], 'train_cfg.max_epochs=2')


def test_run_seeds_goes_through_several_numbers_of_shots(tool, tmp_path, monkeypatch, capsys):
    """Every number of shots is a folder, a command and a table of its own."""
    commands = []

    def finish(command):
        commands.append(command)
        folder = Path(command[command.index('--work-dir') + 1])
        (folder / runs.METRICS_FILE).write_text(json.dumps({'accuracy/top1': float(len(commands))}))
        return subprocess.CompletedProcess(command, 0)

    monkeypatch.setattr(subprocess, 'run', finish)
    arguments = ['coop_micro-rn', '--dataset', 'dtd', '--shots', 1, 4, 1, '--seeds', 1, 2, 1]
    assert tool('analysis_tools/run_seeds.py', *arguments) is None
    work_dir = Path('work_dirs/coop_micro-rn_dtd_seeds')
    folders = [command[command.index('--work-dir') + 1] for command in commands]
    assert folders == [str(work_dir / f'{shots}shot' / f'seed{seed}') for shots in (1, 4) for seed in (1, 2)]
    assert [command[command.index('--shots') + 1] for command in commands] == ['1', '1', '4', '4']
    assert all(command[command.index('--dataset') + 1] == 'dtd' for command in commands)
    reports = json.loads((work_dir / 'seeds.json').read_text())
    assert [(report['shots'], report['metrics']['accuracy/top1']['mean']) for report in reports] == [(1, 1.5), (4, 3.5)]
    assert [report['seeds'] for report in reports] == [[1, 2]] * 2, 'equal ones count once'
    assert '--dataset dtd --shots 4' in capsys.readouterr().out


def test_run_seeds_takes_no_result_of_an_edited_config(tool, tmp_path, monkeypatch):
    """Nor one of a base of it."""

    def finish(command):
        folder = Path(command[command.index('--work-dir') + 1])
        (folder / runs.METRICS_FILE).write_text('{"accuracy/top1": 1.0}')
        return subprocess.CompletedProcess(command, 0)

    monkeypatch.setattr(subprocess, 'run', finish)
    base, config = tmp_path / 'base.py', tmp_path / 'mine.py'
    base.write_text(f"_base_ = '{ROOT}/configs/coop/coop_micro-rn.py'\ntrain_cfg = dict(max_epochs=1)\n")
    config.write_text("_base_ = 'base.py'\n")
    arguments = ['analysis_tools/run_seeds.py', config, '--seeds', 1, '--work-dir', 'ws']
    assert tool(*arguments) is None
    base.write_text(base.read_text() + '# a remark\n')
    assert tool(*arguments) is None
    base.write_text(base.read_text().replace('max_epochs=1', 'max_epochs=2'))
    assert 'ws/seed1 holds a run with other options, config or built-in models (config; see' in tool(*arguments)


def test_only_errors_of_this_package_become_one_line(tmp_path):
    """A mistake of the user is a message; a fault elsewhere keeps its traceback; a data worker's error is unpacked."""
    from torch.utils.data import DataLoader

    from vlprompt.clip import tokenize
    from vlprompt.datasets.transforms import LoadImage

    def fail(function):
        with pytest.raises(Exception, match=r'.') as caught:
            function()
        return command_line.user_message(caught.value)

    (tmp_path / 'broken.png').write_bytes(b'no image')
    broken = [dict(img_path=str(tmp_path / 'broken.png'))]
    assert 'very very' in fail(lambda: tokenize(['very ' * 90], names=['very ' * 90]))
    assert fail(lambda: int('x')) is None
    loader = DataLoader(broken, num_workers=1, collate_fn=lambda batch: LoadImage()(batch[0]))
    message = fail(lambda: next(iter(loader)))
    assert 'broken.png' in message
    assert len(message.splitlines()) == 1
