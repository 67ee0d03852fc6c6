"""Common parts of the command lines of all tools: options, and errors as one line.

Needs neither torch nor any mm package except mmengine's config, so a tool that parses its arguments before other
imports answers ``--help`` at once.
"""

from __future__ import annotations

import gc
import io
import os
import re
import sys
import traceback
from argparse import (
    SUPPRESS,
    Action,
    ArgumentError,
    ArgumentParser,
    ArgumentTypeError,
    Namespace,
    RawDescriptionHelpFormatter,
)
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, TextIO

from mmengine.config import DictAction

from vlprompt.apis.faults import explain_fault
from vlprompt.compat.environment import check_environment
from vlprompt.errors import ERRORS, Stopped
from vlprompt.messages import did_you_mean

PACKAGE = Path(__file__).resolve().parents[1]

_SPACE = '\N{SYMBOL FOR SPACE}'
"""Placeholder of a blank while mmengine parses, which drops blanks."""


class HelpFormatter(RawDescriptionHelpFormatter):
    """Help with the tool's docstring as it stands, and with the default of every option that has one.

    An option whose help speaks of a default is left as it is, and so are switches, and empty texts and lists.
    """

    def _get_help_string(self, action: Action) -> str | None:
        text, value = action.help, action.default
        shown = action.option_strings and not isinstance(value, bool) and value not in (None, SUPPRESS, '', [])
        if not shown or (text and 'default' in text):
            return text
        words = ' '.join(map(str, value)) if isinstance(value, (list, tuple)) else str(value)
        return f'{text} (default: {words.replace("%", "%%")})'


class ToolParser(ArgumentParser):
    """The parser of a tool: its docstring is the help, options are not abbreviated, and one that it does not know is
    named with the nearest.

    Args:
        description: the tool's docstring.
        options: of :class:`argparse.ArgumentParser`.
    """

    def __init__(self, description: str | None, **options: Any) -> None:
        start = Path(sys.argv[0])
        name = f'vlprompt {start.stem.replace("_", "-")}' if start.suffix == '.py' else start.name
        options = dict(prog=name, formatter_class=HelpFormatter, allow_abbrev=False) | options
        super().__init__(description=description, **options)

    def parse_args(self, args: Sequence[str] | None = None, namespace: Any = None) -> Any:
        return self._known_alone(*self.parse_known_args(args, namespace))

    def parse_intermixed_args(self, args: Sequence[str] | None = None, namespace: Any = None) -> Any:
        return self._known_alone(*self.parse_known_intermixed_args(args, namespace))

    def _known_alone(self, parsed: Any, others: list[str]) -> Any:
        if others:
            known = [option for action in self._actions for option in action.option_strings]
            misspelt = (argument.partition('=')[0] for argument in others if argument.startswith('--'))
            close = ''.join(did_you_mean(option, known) for option in misspelt)
            self.error(f'unrecognized arguments: {" ".join(others)}' + (f'.{close}' if close else ''))
        return parsed


class CfgOptions(DictAction):
    """mmengine's action for ``KEY=VALUE ...`` that keeps the blanks inside of values.

    So ``model.class_names='[tall grass, sky]'`` and a path with a blank arrive unchanged.  Blanks
    beside commas and brackets are still dropped.
    """

    def __call__(
        self, parser: ArgumentParser, namespace: Namespace, values: Any, option_string: str | None = None
    ) -> None:
        for option in values or ():
            if '=' not in option:
                raise ArgumentError(self, f'{option!r} is not KEY=VALUE; quote values that contain blanks')
        super().__call__(parser, namespace, values, option_string)

    @staticmethod
    def _parse_iterable(val: str) -> Any:
        tight = re.sub(r'\s*([,\[\]()])\s*', r'\1', val.strip()) if re.search(r'[,\[\]]', val) else val.strip()
        return _with_blanks(DictAction._parse_iterable(tight.replace(' ', _SPACE)))


def _with_blanks(value: Any) -> Any:
    if isinstance(value, str):
        return value.replace(_SPACE, ' ')
    return type(value)(map(_with_blanks, value)) if isinstance(value, Sequence) else value


def positive(value: str) -> int:
    """Type of an option that is a positive number."""
    number = int(value)
    if number < 1:
        raise ArgumentTypeError(f'must be at least 1, got {value}')
    return number


def natural(value: str) -> int:
    """Type of an option that is a number from 0 on, such as one of processes."""
    number = int(value)
    if number < 0:
        raise ArgumentTypeError(f'must be 0 or more, got {value}')
    return number


def share(value: str) -> float:
    """Type of an option that is a number from 0 to 1."""
    number = float(value)
    if not 0 <= number <= 1:
        raise ArgumentTypeError(f'must be from 0 to 1, got {value}')
    return number


def local_form(value: str) -> str | dict[str, Any]:
    """Type of options that name a form of local features: its name, or ATTENTION/full|reduced[/SIGMA]."""
    attention, *rest = value.split('/')
    if not rest:
        return value
    if rest[0] not in ('full', 'reduced') or len(rest) > 2:
        raise ArgumentTypeError(f'{value!r} is not ATTENTION/full|reduced[/SIGMA], such as kk/reduced/5')
    return dict(attention=attention, reduced=rest[0] == 'reduced', sigma=float(rest[1]) if rest[1:] else None)


def add_config_options(parser: ArgumentParser, config: bool = True) -> None:
    """Options of every tool that reads a config: the config, its dataset, shots and overrides.

    Args:
        parser: the tool's parser.
        config: also add the positional argument for the config.
    """
    if config:
        parser.add_argument('config', help='config file, or the name of a shipped one (vlprompt list)')
    parser.add_argument(
        '--dataset',
        metavar='NAME',
        help='dataset: a name below configs/_base_/datasets/, such as caltech101, or folder, list, csv, seg_folder or '
        'coco_json for your own data, or a config file',
    )
    parser.add_argument('--shots', type=int, metavar='K', help='training images per class, in few-shot learning')
    parser.add_argument('--data-root', metavar='DIR', help='folder of the dataset')
    parser.add_argument(
        '--seed',
        type=int,
        help='seed of initialisation, order and augmentation, and of the few-shot draw of the training and '
        'validation sets (the seeds 1, 2, 3 of the papers)',
    )
    parser.add_argument(
        '--cfg-options',
        nargs='+',
        action=CfgOptions,
        metavar='KEY=VALUE',
        help='override values of the config, e.g. model.prompt.n_ctx=4 optim_wrapper.optimizer.lr=1e-3; '
        'lists as KEY="[a,b]" or KEY=a,b. A key that nothing reads is an error',
    )


def config_options(args: Namespace) -> dict[str, Any]:
    """The options of :func:`add_config_options` that :func:`~vlprompt.engine.config.load_config` takes."""
    given = {key: getattr(args, key) for key in ('dataset', 'shots', 'data_root')}
    return {key: value for key, value in given.items() if value is not None} | (args.cfg_options or {})


def add_common_options(parser: ArgumentParser) -> None:
    """Options of training and testing."""
    add_config_options(parser)
    parser.add_argument(
        '--work-dir', help='folder for logs and checkpoints (default: work_dirs/<config>_<dataset>_<shots>shot)'
    )
    parser.add_argument('--launcher', choices=['none', 'pytorch', 'slurm', 'mpi'], default='none', help='job launcher')
    parser.add_argument('--local_rank', '--local-rank', type=int, default=0, help='set by torch.distributed.launch')


def half_precision(value: str) -> str:
    """Type of options that name a 16-bit format: ``'float16'`` or ``'bfloat16'``."""
    names = dict(float16='float16', fp16='float16', bfloat16='bfloat16', bf16='bfloat16')
    if value not in names:
        raise ArgumentTypeError(f'{value!r} is neither float16 nor bfloat16; the config stands before this option')
    return names[value]


def add_amp_option(
    parser: ArgumentParser,
    help: str = 'train in mixed precision, in float16 (fp16) with a loss scaler or in bfloat16 (bf16); without DTYPE '
    "float16 on a GPU, bfloat16 on a CPU, or the config's optim_wrapper.dtype; validation and test are in float32",
) -> None:
    """``--amp``, mixed precision, by default that of a training: its value is a format, or True for the usual one."""
    parser.add_argument(
        '--amp',
        nargs='?',
        const=True,
        type=half_precision,
        metavar='DTYPE',
        help=help,
    )


def add_phase_option(parser: ArgumentParser, help: str) -> None:
    """``--phase``, for configs with phases."""
    parser.add_argument('--phase', metavar='NAME', help=help)


def add_model_options(parser: ArgumentParser) -> None:
    """Options for a model: config with its dataset and overrides, checkpoint, phase, device.

    :func:`vlprompt.apis.model_from` builds it.
    """
    parser.add_argument('config', help='config file, or the name of a shipped one (vlprompt list)')
    parser.add_argument('checkpoint', help="checkpoint of a training, or 'none' for the model as it is built")
    add_config_options(parser, config=False)
    add_phase_option(parser, 'of a config with phases, the model of this one (default: that of the checkpoint)')
    parser.add_argument('--device', default='cpu', help='such as cuda or cuda:1')


def add_image_options(parser: ArgumentParser) -> None:
    """Options for images: files, or some of the test set."""
    source = parser.add_mutually_exclusive_group(required=True)
    source.add_argument('--images', nargs='+', metavar='FILE', help='image files')
    source.add_argument(
        '--from-test-set', type=positive, metavar='N', help="N images, spread evenly over the config's test set"
    )


def before_imports(parse_args: Callable[[], Any], name: str) -> None:
    """The first steps of a tool: answer ``--help`` and mistakes, and reject broken installations.

    The imports of torch and the mm packages, which come next, take seconds.  Until :func:`call`, the garbage collector
    rests, which would look at all that they make again and again.

    Args:
        parse_args: the tool's function; its result is dropped.
        name: the tool's ``__name__``; nothing is done if the tool is imported.
    """
    if name == '__main__':
        parse_args()
        if 'torch' not in sys.modules:
            gc.disable()
        _answer(check_environment)


def what_differs(
    before: Sequence[str], now: Sequence[str], inputs: tuple[Mapping[str, str], Mapping[str, str]] = ({}, {})
) -> str:
    """``'--shots 8 there, 4 here; --amp there alone'``: what a run was started with and what another one is.

    Args:
        before: arguments of its command line.
        now: those of the other one.
        inputs: of both, what else results depend on, name and version; the names of those that differ are told.
    """
    old, new = _by_option(before), _by_option(now)
    told = []
    for name in {**old, **new}:
        if name not in new or name not in old:
            told.append(f'{name} {(old | new)[name]}'.rstrip() + (' there' if name in old else ' here') + ' alone')
        elif old[name] != new[name]:
            told.append(f'{name} {old[name]} there, {new[name]} here')
    there, here = inputs
    return '; '.join(told + [name for name in {**there, **here} if there.get(name) != here.get(name)])


def _by_option(arguments: Sequence[str]) -> dict[str, str]:
    """Values by option, or by place; ``KEY=VALUE`` by its key."""
    found: dict[str, str] = {}
    option = ''
    for place, argument in enumerate(arguments, 1):
        key, equals, value = argument.partition('=')
        if argument.startswith('--'):
            option = argument
            found[option] = ''
        elif not option:
            found[f'argument {place}'] = argument
        elif equals and option == '--cfg-options':
            found[key] = value
        else:
            found[option] = f'{found[option]} {argument}'.strip()
    return found


def print_any_name() -> None:
    """From now on print escapes for what the terminal cannot show, such as bytes of file names that are not UTF-8."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):  # tests and notebooks have others
            stream.reconfigure(errors='backslashreplace')


def call(main: Callable[[], Any]) -> None:
    """Run a tool; errors of the user and of the machine end it with one message instead of a traceback.

    What has been imported since :func:`before_imports` is no garbage: the collector never looks at it.
    """
    if not gc.isenabled():
        gc.freeze()
        gc.enable()
    _answer(main)


def _answer(main: Callable[[], Any]) -> None:
    print_any_name()
    try:
        main()
        if sys.stdout is not None:
            sys.stdout.flush()
    except BrokenPipeError:
        if not _has_no_reader(sys.stdout):  # another pipe
            raise
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # for what is flushed at the end
        sys.exit(1)
    except Stopped as stopped:
        if str(stopped):
            print(stopped, file=sys.stderr)
        sys.exit(stopped.exit_code)
    except KeyboardInterrupt:
        sys.exit('Interrupted. Saved files remain: the same command goes on with them, a training with --resume.')
    except Exception as error:
        message = user_message(error)
        if message is None:
            raise
        sys.exit(message)


def _has_no_reader(stream: TextIO) -> bool:
    """Whether nobody reads a stream any more, such as head, which has seen enough."""
    try:
        print(file=stream, flush=True)  # what was to be written before is lost
    except BrokenPipeError:
        return True
    return False


def user_message(error: Exception) -> str | None:
    """The message for the user about a fault of the machine (:mod:`~vlprompt.apis.faults`), a missing file or an error
    raised by this package; None for other errors.

    An error from a data worker arrives with the worker's traceback as its text, whose last line is the message.
    """
    if fault := explain_fault(error):
        return fault
    if isinstance(error, KeyError) and (unknown := re.match(r'\S+ is not in the \S+ registry', str(error.args[0]))):
        return f'ConfigError: {unknown.group()}: check its spelling, or name its module in custom_imports of the config'
    lines = str(error).strip().splitlines()
    if any(line.startswith('Original Traceback') for line in lines):
        origin = [line for line in lines if line.lstrip().startswith('File "')][-1].split('"')[1]
        message = lines[-1]
    else:
        origin = traceback.extract_tb(error.__traceback__)[-1].filename
        message = f'{type(error).__name__}: {error}'
    if isinstance(error, (*ERRORS, FileNotFoundError)):
        return message
    ours = isinstance(error, (ValueError, OSError, FloatingPointError)) and Path(origin).is_relative_to(PACKAGE)
    return message if ours else None
