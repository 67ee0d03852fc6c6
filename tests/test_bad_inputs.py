"""Every bad input has its one right answer; ``python -m tests.bad_inputs`` prints the table of all kinds."""

import pytest

from tests.bad_inputs import CASES, run


@pytest.mark.slow
@pytest.mark.parametrize('case', CASES, ids=str)
def test_every_input_has_its_answer(case):
    outcome = run(case)
    right = 'accepted rightly' if case.refused is None else 'clear message'
    assert outcome.classify(case) == right, (case.refused or case.says, outcome.message or outcome.output[-2000:])


def test_there_are_enough():
    assert len(CASES) >= 150
    assert len({str(case) for case in CASES}) == len(CASES)
