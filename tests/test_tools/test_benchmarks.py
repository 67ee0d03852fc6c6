"""Benchmarks run in their quick form, and where they compare two ways, both agree."""

import runpy

from tests.conftest import ROOT


def test_two_passes_of_lpt():
    """On images that choose different groups."""
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


def test_number_of_prompts():
    main = runpy.run_path(str(ROOT / 'dev/benchmarks/number_of_prompts.py'))['main']
    found = main(['--quick', '--repeats', '1'])
    assert list(found) == ['CoOp', *(f'PLOT, N = {number}' for number in (1, 2, 4, 8))]
    assert all(row['step'] > 0 and row['images_per_second'] > 0 for row in found.values())
