"""Inputs as users give them by mistake: each has one right answer, a clear message or acceptance with the right value.

``python -m tests.bad_inputs`` runs all and prints a table; ``tests/test_bad_inputs.py`` holds each to its answer.
"""

from tests.bad_inputs import checkpoints, classification, configs, dense, images, reid, runs  # noqa: F401  they add cases
from tests.bad_inputs.case import CASES, Case, Outcome, run

__all__ = ['CASES', 'Case', 'Outcome', 'run']
