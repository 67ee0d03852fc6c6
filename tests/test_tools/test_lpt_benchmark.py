"""The benchmark of LPT's two passes: runs, on images that choose different groups, and both sides agree."""

import runpy

from tests.conftest import ROOT


def test_quick():
    main = runpy.run_path(str(ROOT / 'dev/benchmarks/lpt_two_pass.py'))['main']
    results = main(['--quick', '--repeats', '1'])
    assert results['different_pairs'] > 1
    for name in ('forward', 'training step'):
        assert results[name]['difference'] < 1e-4
        assert min(results[name]['fast'], results[name]['plain']) > 0


def test_loaders():
    main = runpy.run_path(str(ROOT / 'dev/benchmarks/dual_stream_loader.py'))['main']
    results = main(['--quick'])
    assert (results['images'], results['steps']) == (16, 2)
    assert min(results['kept'], results['anew']) > 0


def test_first_stage_of_clip_reid():
    main = runpy.run_path(str(ROOT / 'dev/benchmarks/clipreid_prompts_phase.py'))['main']
    assert main(['--quick', '--repeats', '1'])['difference'] < 1e-4
