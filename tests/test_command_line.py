"""Options that all tools share, and the models that they name."""

import argparse
import contextlib
import gc
import io
import os
import runpy
import subprocess
import sys

import pytest
import torch

from tests.conftest import ROOT
from vlprompt.apis import command_line, model_from, runs
from vlprompt.apis.command_line import (
    add_image_options,
    add_model_options,
    before_imports,
    config_options,
    positive,
    what_differs,
)
from vlprompt.errors import ConfigError, EnvironmentProblem
from vlprompt.registry import MODELS

CONFIG = 'coop_micro-vit'


def parse(*given):
    parser = argparse.ArgumentParser()
    add_model_options(parser)
    return parser.parse_args([CONFIG, 'none', *given])


def test_options_reach_the_model():
    names = 'model.class_names=[okapi,gerenuk]'
    seeds = ('3', '3', '4')
    models = [model_from(parse('--seed', seed, '--cfg-options', names, 'model.clip.weights=None')) for seed in seeds]
    assert list(models[0].class_names) == ['okapi', 'gerenuk']
    assert not models[0].training
    contexts = [model.prompt.context for model in models]
    assert torch.equal(contexts[0], contexts[1])
    assert not torch.equal(contexts[0], contexts[2])


def test_a_model_has_one_device_and_one_phase():
    assert (parse('--device', 'meta').device, parse().device) == ('meta', 'cpu')
    with pytest.raises(ConfigError, match='no phase'):
        model_from(parse('--phase', 'second', '--cfg-options', 'model.class_names=[okapi]'))


def test_options_of_the_data_win_less_than_single_keys():
    args = parse('--dataset', 'dtd', '--shots', '4', '--data-root', 'mine', '--cfg-options', 'shots=2')
    assert config_options(args) == dict(dataset='dtd', shots=2, data_root='mine')


@pytest.mark.parametrize(
    ('config', 'checkpoint', 'given', 'message'),
    [
        (CONFIG, 'none', ['--seed', '1'], None),  # of initial prompts
        (CONFIG, 'a.pth', ['--seed', '1'], '--seed 1 has no effect beside a checkpoint'),
        (CONFIG, 'a.pth', ['--shots', '4'], '--shots 4 has no effect where nothing is trained'),
        ('gda_rn50', 'a.pth', ['--dataset', 'dtd', '--shots', '1'], None),  # the recipe has another solver
    ],
)
def test_options_of_a_training_beside_a_trained_model(config, checkpoint, given, message, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    torch.save(dict(meta={}, state_dict={}), 'a.pth')
    parser = argparse.ArgumentParser()
    add_model_options(parser)
    args = parser.parse_args([config, checkpoint, *given])
    cfg = runs.read_config(args)
    with pytest.raises(ConfigError, match=message) if message else contextlib.nullcontext():
        runs.refuse_idle_options(args, cfg)
    if args.shots is not None:
        runs.refuse_idle_options(args, cfg, names_folder=True)


@pytest.mark.parametrize(('trained', 'given', 'beta'), [(4, 4, 1.5), (4, 16, 1.7), (16, 4, 1.5)])
def test_shots_beside_a_checkpoint_choose_the_recipe(trained, given, beta, tmp_path, capsys):
    file = tmp_path / 'a.pth'
    recipe = dict(dataset='dtd', shots=trained)
    torch.save(dict(meta=dict(vlprompt=dict(recipe=recipe)), state_dict={}), file)
    parser = argparse.ArgumentParser()
    command_line.add_config_options(parser)
    parser.add_argument('checkpoint')
    args = parser.parse_args(['proker_rn50', str(file), '--dataset', 'dtd', '--shots', str(given)])
    cfg = runs.read_config(args)
    runs.refuse_idle_options(args, cfg)
    assert (cfg.model.solver.beta, cfg.recipe.shots) == (beta, given)
    assert 'follows the recipe' not in capsys.readouterr().out, 'the one that was asked for'


def test_images_come_from_one_place(capsys):
    parser = argparse.ArgumentParser()
    add_image_options(parser)
    assert parser.parse_args(['--images', 'a.png', 'b.png']).images == ['a.png', 'b.png']
    for mistake in ([], ['--images', 'a.png', '--from-test-set', '2'], ['--from-test-set', '0']):
        with pytest.raises(SystemExit):
            parser.parse_args(mistake)
    assert 'must be at least 1, got 0' in capsys.readouterr().err


@pytest.mark.parametrize(
    ('tool', 'options', 'message'),
    [
        ('analysis_tools/browse_dataset.py', [CONFIG, '--out', 'o', '--number', '0'], '--number: must be at least 1'),
        ('analysis_tools/browse_dataset.py', [CONFIG, '--out', 'o', '--epoch', '-1'], '--epoch: must be 0 or more'),
        (
            'analysis_tools/local_features.py',
            [CONFIG, 'none', '--data', 'scenes', '--pictures', '-1'],
            '--pictures: must be 0 or more',
        ),
        ('analysis_tools/plot_long_tail.py', ['a.json', '--out', 'o', '--window', '0'], '--window: must be at least 1'),
        ('analysis_tools/run_seeds.py', [CONFIG, '--seeds', '1', '-2'], '--seeds: must be 0 or more'),
        ('dataset_converters/check_dataset.py', ['--split-seed', '-1'], '--split-seed: must be 0 or more'),
    ],
)
def test_numbers_out_of_range_are_named_at_once(tool, options, message, capsys, monkeypatch):
    monkeypatch.setattr(sys, 'argv', [tool, *options])
    with pytest.raises(SystemExit):
        runpy.run_path(str(ROOT / 'tools' / tool), run_name='__main__')
    assert message in capsys.readouterr().err


def test_counts_are_positive():
    assert positive('3') == 3
    with pytest.raises(argparse.ArgumentTypeError, match='at least 1, got -2'):
        positive('-2')


def test_a_tool_parses_and_checks_only_when_it_is_run(monkeypatch):
    seen = []

    def broken():
        seen.append('checked')
        raise EnvironmentProblem('two mmcv')

    monkeypatch.setattr(command_line, 'check_environment', broken)
    before_imports(lambda: seen.append('parsed'), 'tools.train')
    assert not seen
    with pytest.raises(SystemExit, match='two mmcv'):
        before_imports(lambda: seen.append('parsed'), '__main__')
    assert seen == ['parsed', 'checked']


def test_the_garbage_collector_rests_during_the_imports_alone(monkeypatch):
    monkeypatch.setattr(command_line, 'check_environment', lambda: None)
    seen = []
    before_imports(lambda: None, '__main__')
    assert gc.isenabled(), 'torch is imported already'
    monkeypatch.delitem(sys.modules, 'torch')
    try:
        before_imports(lambda: None, '__main__')
        assert not gc.isenabled()
        command_line.call(lambda: seen.append(gc.isenabled()))
    finally:
        gc.enable()
    assert seen == [True]


def test_names_of_any_bytes_are_printed(monkeypatch, tmp_path):
    """As a terminal in UTF-8 has it, which cannot show bytes of another encoding."""
    names = [os.fsdecode(b'M\xe4rz.png'), 'M\u00e4rz.png']
    shown = dict(utf_8=b'M\\udce4rz.png M\xc3\xa4rz.png\n', ascii=b'M\\udce4rz.png M\\xe4rz.png\n')
    for encoding, expected in shown.items():
        written = io.BytesIO()
        stream = io.TextIOWrapper(written, encoding=encoding)
        monkeypatch.setattr(sys, 'stdout', stream)
        command_line.call(lambda: print(*names, flush=True))
        assert written.getvalue() == expected


def test_a_reader_that_has_seen_enough_is_no_error():
    code = 'from vlprompt.apis.command_line import call; call(lambda: [print(i) for i in range(100_000)])'
    done = subprocess.run(f'{sys.executable} -c "{code}" | head -1', shell=True, capture_output=True, text=True)
    assert (done.stdout, done.stderr) == ('0\n', '')


def test_another_broken_pipe_is_one():
    with pytest.raises(BrokenPipeError, match='of a worker'):
        command_line.call(lambda: (_ for _ in ()).throw(BrokenPipeError('of a worker')))


def test_what_differs_between_two_command_lines():
    before = ['train.py', 'coop', '--shots', '4', '--amp', '--cfg-options', 'a.b=1', 'c=[1,2]']
    now = ['train.py', 'plot', '--shots', '8', '--deterministic', '--cfg-options', 'a.b=2', 'c=[1,2]', 'd=x=y']
    told = what_differs(before, now, (dict(config='1', weights='a'), dict(config='2', weights='a')))
    assert told.split('; ') == [
        'argument 2 coop there, plot here',
        '--shots 4 there, 8 here',
        '--amp there alone',
        'a.b 1 there, 2 here',
        '--deterministic here alone',
        'd x=y here alone',
        'config',
    ]
    assert what_differs(before, before) == ''


def test_a_type_that_no_registry_has_is_one_line():
    with pytest.raises(KeyError) as error:
        MODELS.build(dict(type='NoSuchModel'))
    message = command_line.user_message(error.value)
    assert message.startswith('ConfigError: NoSuchModel is not in the vlprompt::model registry: check its spelling')
