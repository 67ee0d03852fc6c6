"""The command ``vlprompt``: what it lists, starts and refuses."""

import runpy
import subprocess
import sys

import pytest

from tests.conftest import ROOT
from vlprompt import __version__, cli

LIGHT = """
import contextlib, io, sys
import vlprompt.cli

sys.argv = ['vlprompt', '--help']
with contextlib.redirect_stdout(io.StringIO()) as shown:
    vlprompt.cli.main()
assert 'few-shot' in shown.getvalue()
heavy = {'torch', 'torchvision', 'numpy', 'mmengine', 'mmcv', 'matplotlib'} & set(sys.modules)
assert not heavy, heavy
"""


@pytest.fixture
def vlprompt(monkeypatch, capsys):
    """What a command prints, and the message that ends it."""

    def run(*arguments):
        monkeypatch.setattr(sys, 'argv', ['vlprompt', *arguments])
        code = None
        try:
            cli.main()
        except SystemExit as end:
            code = end.code
        return capsys.readouterr().out, code

    return run


def test_help_imports_nothing_that_takes_time():
    subprocess.run([sys.executable, '-c', LIGHT], cwd=ROOT, check=True, timeout=60)


def test_help_has_a_line_for_every_command_and_tool(vlprompt):
    shown, code = vlprompt('--help')
    assert code is None
    first = [line.split()[0] for line in shown.splitlines() if line.startswith('  ')]
    files = {path.stem.replace('_', '-') for path in (ROOT / 'tools').rglob('*.py')}
    assert files - {'list-configs'} <= set(first)
    assert set(cli.COMMANDS) <= set(first)
    assert vlprompt() == (shown, None)
    assert vlprompt('--version') == (f'vlprompt {__version__}\n', None)


def test_an_unknown_command_is_named_with_the_nearest(vlprompt):
    message = "vlprompt has no command 'trian'. Did you mean 'train'? vlprompt --help lists them."
    assert vlprompt('trian') == ('', message)
    assert "'show-attention'" in vlprompt('show_attention')[1]


def test_commands_and_tools_take_their_arguments(vlprompt):
    assert vlprompt('list', 'plot_rn50_official')[0].startswith('plot/plot_rn50_official  The published solver')
    shown, code = vlprompt('print-config', 'plot/plot_micro-rn', '--cfg-options', 'model.prompt.n_ctx=7')
    assert code is None
    assert 'n_ctx=7' in shown


@pytest.mark.parametrize('command', sorted({*cli.COMMANDS, *cli.tools()} - {'onnx-inference'}))
def test_the_usage_names_the_command(command, vlprompt):
    shown, code = vlprompt(command, '--help')
    assert not code
    assert shown.startswith(f'usage: vlprompt {command} [-h]')


@pytest.mark.parametrize(
    ('arguments', 'message'),
    [
        (['few-shot', 'plot', '--shosts', '4'], "--shosts 4. Did you mean '--shots'?"),
        (['predict', 'plot', 'none', 'a', '--out=b', '--no_pictures'], "--no_pictures. Did you mean '--no-pictures'?"),
        (
            ['show-attention', 'plot', 'none', '--images=a', '--out=b', '--devise=cpu'],
            "--devise=cpu. Did you mean '--device'?",
        ),
        (['train', 'plot', '4'], '4'),
        (['test', 'plot', 'none', '--xyz'], '--xyz'),
    ],
)
def test_a_misspelt_option_is_named_with_the_nearest(arguments, message, monkeypatch, capsys):
    monkeypatch.setattr(sys, 'argv', ['vlprompt', *arguments])
    with pytest.raises(SystemExit, match='2'):
        cli.main()
    assert (
        capsys.readouterr().err.splitlines()[-1] == f'vlprompt {arguments[0]}: error: unrecognized arguments: {message}'
    )


@pytest.mark.parametrize('tool', ['train', 'test', 'predict', 'export', 'few_shot', 'list_configs', 'demo'])
def test_the_script_is_the_command(tool, vlprompt, monkeypatch, capsys):
    command = dict(few_shot='few-shot', list_configs='list').get(tool, tool)
    expected, _ = vlprompt(command, '--help')
    monkeypatch.setattr(sys, 'argv', [tool, '--help'])
    with pytest.raises(SystemExit):
        runpy.run_path(str(ROOT / 'tools' / f'{tool}.py'), run_name='__main__')
    assert capsys.readouterr().out == expected


def test_the_environment_is_reported_before_it_is_judged(vlprompt, monkeypatch):
    from vlprompt.compat import environment

    shown, code = vlprompt('env')
    assert code is None
    for name in ('vlprompt: ', 'torch: ', 'onedl-mmcv: ', 'mmcv ops: ', 'Python: ', 'MMEngine: '):
        assert sum(line.startswith(name) for line in shown.splitlines()) == 1, name
    monkeypatch.setattr(environment, 'installed_version', lambda name: None if name == 'torchvision' else '1')
    monkeypatch.setattr(environment.check_torch_pair, '__defaults__', (environment.installed_version, None))
    monkeypatch.setattr(environment, 'check_mm_families', lambda: None)
    shown, code = vlprompt('env')
    assert 'torchvision: not installed\n' in shown
    assert code.startswith('EnvironmentProblem: torchvision not installed')
