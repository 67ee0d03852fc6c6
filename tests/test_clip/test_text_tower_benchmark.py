"""The benchmark runs, and what it compares is the same."""

import re

from tests.test_clip.conftest import load_tool


def test_quick_mode(capsys):
    load_tool('text_tower').main(['--quick'])
    out = capsys.readouterr().out
    assert len(re.findall(r'x faster', out)) == 2
    differences = [float(value) for value in re.findall(r'largest gradient: (\S+)', out)]
    assert len(differences) == 2
    assert max(differences) < 1e-5
    assert float(re.search(r'([\d.]+)x less', out)[1]) > 5
