"""The help of every tool: examples that its own parser takes, and the default of every option."""

import argparse
import re
import shlex
import sys

import pytest

from vlprompt import cli
from vlprompt.apis.command_line import ToolParser
from vlprompt.cli import COMMANDS, tools

WITHOUT_THE_PACKAGE = {'vlprompt onnx-inference': 'python tools/onnx_inference.py'}
"""Tools whose examples are for machines without this package, and how these begin."""
STARTS = [f'vlprompt {name}' for name in (*COMMANDS, *tools())]


class Parsed(Exception):
    """Ends a tool when it has parsed its arguments."""


def start(tool, arguments, monkeypatch):
    monkeypatch.setattr(sys, 'argv', [*tool.split(), *arguments])
    cli.main()


@pytest.fixture
def parser_of(monkeypatch):
    """The parser of a tool that got arguments."""

    under_way = []

    def end_after(parse):
        def wrapped(parser, *args, **kwargs):
            under_way.append(parse)
            try:
                result = parse(parser, *args, **kwargs)
            finally:
                under_way.pop()
            if under_way or not parser.add_help:  # one of its steps, or a look at some of the arguments
                return result
            raise Parsed(parser)

        return wrapped

    for parser in (argparse.ArgumentParser, ToolParser):
        for name in {'parse_args', 'parse_known_args', 'parse_intermixed_args'} & vars(parser).keys():
            monkeypatch.setattr(parser, name, end_after(getattr(parser, name)))
    monkeypatch.setenv('COLUMNS', '1000')

    def run(tool, arguments):
        with pytest.raises(Parsed) as parsed:
            start(tool, arguments, monkeypatch)
        return parsed.value.args[0]

    return run


def help_of(tool, monkeypatch, capsys):
    monkeypatch.setenv('COLUMNS', '1000')
    with pytest.raises(SystemExit) as end:
        start(tool, ['--help'], monkeypatch)
    assert not end.value.code
    return capsys.readouterr().out


def examples(tool, shown):
    """Arguments of the commands in the help that start this tool."""
    lines = [line.strip() for line in re.sub(r'\\\n', '', shown).splitlines()]
    begin = WITHOUT_THE_PACKAGE.get(tool, tool)
    return [shlex.split(line, comments=True)[2:] for line in lines if f'{line} '.startswith(f'{begin} ')]


@pytest.mark.parametrize('tool', STARTS)
def test_help_has_examples_and_defaults(tool, parser_of, monkeypatch, capsys):
    shown = help_of(tool, monkeypatch, capsys)
    found = examples(tool, shown)
    assert found, f'{tool} --help has no example'
    assert not re.search(r'^\s*\.\.\. ', shown, re.MULTILINE), 'an example that cannot be pasted'
    for arguments in found:
        try:
            parser = parser_of(tool, arguments)
        except SystemExit:
            pytest.fail(f'{shlex.join(arguments)}: {capsys.readouterr().err}')
    for action in parser._actions:
        if action.option_strings and not isinstance(action.default, bool):
            silent = action.default in (None, argparse.SUPPRESS, '', [])
            assert action.help, f'{tool} does not say what {action.option_strings[0]} is'
            assert silent or 'default' in parser._get_formatter()._expand_help(action), action.option_strings
