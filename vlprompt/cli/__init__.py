"""The command ``vlprompt``, which runs a module of this package or a tool of ``tools/``, from a checkout or a wheel.

Each module is a program of its own, started as ``__main__`` in this process: it parses its arguments before it imports
what takes seconds, so that help and mistakes are answered at once. For the same reason nothing is imported here.
"""

from __future__ import annotations

import ast
import runpy
import sys
from pathlib import Path

from vlprompt.messages import did_you_mean
from vlprompt.shipped import TOOLS

COMMANDS = {
    'train': 'train a model',
    'test': 'test a model',
    'predict': 'predict images without annotation',
    'export': 'write a trained model as a file that stands alone',
    'few-shot': 'methods x datasets x shots x seeds, with tables and curves',
    'list': 'list configs, built-in models, datasets, towers',
    'demo': 'prompts and shipped adapters on built-in data, with a page of pictures; minutes on two cores',
    'env': 'print what is installed, and what does not fit together',
}
"""Command -> what it does."""

_MODULES = {'few-shot': 'few_shot', 'list': 'list_configs', 'env': 'environment'}

_USAGE = 'usage: vlprompt COMMAND [arguments]      vlprompt COMMAND --help: arguments and examples'


def tools() -> dict[str, Path]:
    """Tools that are no command of their own, by the name that :func:`main` takes, such as ``show-attention``."""
    commands = {_module(command) for command in COMMANDS}
    paths = (path for path in sorted(TOOLS.rglob('*.py')) if path.stem not in commands)
    return {path.stem.replace('_', '-'): path for path in paths}


def run_command(command: str) -> None:
    """Run a command with the arguments in ``sys.argv``, in this process."""
    sys.argv[0] = f'vlprompt {command}'
    runpy.run_module(f'{__name__}.{_module(command)}', run_name='__main__')


def main() -> None:
    """Run what the command line asks for.

    Raises:
        SystemExit: with a message, if there is no such command.
    """
    command = sys.argv[1] if len(sys.argv) > 1 else '--help'
    if command in ('-h', '--help'):
        print(overview())
    elif command == '--version':
        from vlprompt.version import __version__

        print(f'vlprompt {__version__}')
    elif command in COMMANDS:
        del sys.argv[1]
        run_command(command)
    elif command in (others := tools()):
        sys.argv[:2] = [str(others[command])]
        runpy.run_path(sys.argv[0], run_name='__main__')
    else:
        close = did_you_mean(command, [*COMMANDS, *others])
        sys.exit(f'vlprompt has no command {command!r}.{close} vlprompt --help lists them.')


def overview() -> str:
    """All commands and tools, a line each."""
    others = {name: _headline(path) for name, path in tools().items()}
    width = max(map(len, [*COMMANDS, *others]))
    lines = [f'  {name:<{width}}  {text}' for name, text in COMMANDS.items()]
    more = [f'  {name:<{width}}  {text}' for name, text in others.items()]
    examples = ['vlprompt list plot', 'vlprompt train plot_micro-rn --test', 'vlprompt predict --help']
    return '\n'.join(
        [
            _USAGE,
            '\nPrompt learning for CLIP-like models.\n\ncommands:',
            *lines,
            '\ntools (in a checkout, python tools/.../NAME.py is the same):',
            *more,
            '\nexamples:',
            *(f'  {line}' for line in examples),
        ]
    )


def _module(command: str) -> str:
    return _MODULES.get(command, command)


def _headline(tool: Path) -> str:
    """The first sentence of a tool's docstring, without importing it."""
    doc = ast.get_docstring(ast.parse(tool.read_text(encoding='utf-8'))) or ''
    return doc.split('\n\n', 1)[0].replace('\n', ' ').split(':', 1)[0].rstrip('.')
