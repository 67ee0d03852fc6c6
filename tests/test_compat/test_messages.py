"""Untrue messages of other packages are kept from the terminal; all others pass."""

import importlib.util
import logging
import subprocess
import sys
import warnings
from pathlib import Path

import pytest
from mmengine.logging import print_log

from tests.conftest import ROOT
from vlprompt.compat.messages import UNTRUE, UntrueFilter, is_untrue, silence_untrue


@pytest.mark.parametrize('entry', UNTRUE, ids=lambda entry: entry.start[:20])
def test_the_source_still_says_so(entry):
    """An entry that no package prints any longer is dead."""
    package, _, rest = entry.source.partition('/')
    text = Path(importlib.util.find_spec(package).origin).parent.joinpath(rest).read_text()
    words = entry.start.removesuffix('IoUMetric').split()
    assert ' '.join(words[:4]) in ' '.join(text.replace("'\n", '').replace("'", ' ').split())
    assert entry.channel in ('warnings', 'log', 'print')


def test_print(capsys):
    silence_untrue()
    print_log('Could not import OneDL. Skipping OneDL datasets.', level=logging.DEBUG)
    print_log('Could not import the images.')
    assert capsys.readouterr().out == 'Could not import the images.\n'


def test_log():
    def passes(text):
        return UntrueFilter().filter(logging.LogRecord('x', logging.WARNING, 'f.py', 1, text, (), None))

    assert not passes('The prefix is not set in metric class IoUMetric.')
    assert passes('The prefix is not set in metric class Counted.')
    assert passes('loss is nan')
    assert not is_untrue('The prefix is not set in metric class IoUMetric.', 'print')


def test_warnings():
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter('always')
        silence_untrue()
        for text in ('faster_coco_eval is not installed, metrics will not be computed. Please', 'metrics will be late'):
            warnings.warn(text, stacklevel=1)
    assert [str(warning.message) for warning in caught] == ['metrics will be late']


@pytest.mark.slow
def test_imports_are_silent():
    """What a segmentation and a detection run import, in a fresh interpreter."""
    code = 'import vlprompt.engine, vlprompt.models.segmentors, vlprompt.models.detectors, vlprompt.datasets.dense'
    done = subprocess.run([sys.executable, '-c', code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout + done.stderr == ''
