"""The benchmark of LPT's two passes: runs, on images that choose different groups, and both sides agree."""

import re
import runpy

from tests.conftest import ROOT


def test_quick(capsys):
    main = runpy.run_path(str(ROOT / 'dev/benchmarks/lpt_two_pass.py'))['main']
    main(['--quick', '--repeats', '1'])
    printed = capsys.readouterr().out
    assert int(re.search(r'(\d+) different pairs', printed)[1]) > 1
    differences = [float(value) for value in re.findall(r'(?:logits|gradients) (\S+)', printed)]
    assert len(differences) == 2
    assert max(differences) < 1e-4


def test_loaders(capsys):
    main = runpy.run_path(str(ROOT / 'dev/benchmarks/dual_stream_loader.py'))['main']
    main(['--quick'])
    out = capsys.readouterr().out
    assert '16 images, 2 x 4 a step, 1 workers, 2 steps' in out
    assert 'x faster' in out
