"""Benchmarks run in their quick form, and where they compare two ways, both agree."""

import runpy
from functools import partial

import pytest
import torch

from dev.benchmarks.timing import relative_difference
from tests.conftest import ROOT
from tests.two_processes import in_two_processes


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


def test_step_of_cocoop():
    """Against the loop over images and all positions."""
    main = runpy.run_path(str(ROOT / 'dev/benchmarks/cocoop_step.py'))['main']
    found = main(['--quick', '--batches', '1', '3'])
    assert list(found) == [1, 3]
    for row in found.values():
        assert max(row['loss_difference'], row['gradient_difference']) < 1e-4
        assert min(row['ours'], row['published']) > 0


def test_first_phase_of_plotpp():
    main = runpy.run_path(str(ROOT / 'dev/benchmarks/plotpp_first_phase.py'))['main']
    row = main(['--quick'])
    assert max(row['loss_difference'], row['gradient_difference']) < 1e-4
    assert min(row['ours'], row['published']) > 0


def test_nothing_to_compare_is_an_error():
    """A reference of zeros would agree with anything that is small."""
    assert relative_difference([torch.tensor([1.0, 4.0])], [torch.tensor([1.0, 5.0])]) == pytest.approx(0.2)
    with pytest.raises(ValueError, match='nothing to compare'):
        relative_difference(torch.zeros(2), torch.zeros(2))


def test_number_of_prompts():
    main = runpy.run_path(str(ROOT / 'dev/benchmarks/number_of_prompts.py'))['main']
    found = main(['--quick', '--repeats', '1'])
    assert list(found['rn50']) == ['CoOp', *(f'PLOT, N = {number}' for number in (1, 2, 4, 8))]
    assert list(found['vit']) == ['CoOp', 'PLOT++, first phase', 'PLOT++, second phase']
    rows = [row for tower in found.values() for row in tower.values()]
    assert all(row['step'] > 0 and row['images_per_second'] > 0 for row in rows)
    kept = [row['bytes'] for row in found['rn50'].values()]
    assert kept == sorted(kept), 'more prompts keep more'
    assert kept[-1] > kept[0] > 0
    assert found['vit']['PLOT++, second phase']['bytes'] > found['vit']['PLOT++, first phase']['bytes'] > 0


def test_memory_of_a_step():
    main = runpy.run_path(str(ROOT / 'dev/benchmarks/memory.py'))['main']
    found = main(['--quick', '--steps', 'CoOp'])
    assert list(found) == ['CoOp, float32', 'CoOp, bfloat16']
    for estimate, measured in found.values():
        assert estimate == pytest.approx(measured, rel=0.05)


def test_kernels_of_the_text_tower():
    main = runpy.run_path(str(ROOT / 'dev/benchmarks/kernels.py'))['main']
    found = main(['text', '--quick'])
    assert [name for name, _, _ in found] == ['dtd, N = 1', 'dtd, N = 4']
    for _, ours, plain in found:
        assert ours.kernels <= 1.5 * plain.kernels, 'where one bucket serves'
        assert 10 * ours.flops < plain.flops
        assert ours.milliseconds() < plain.milliseconds()


def test_training_free_solvers():
    main = runpy.run_path(str(ROOT / 'dev/benchmarks/feature_solvers.py'))['main']
    found = main(['--quick', '--tune'])
    assert list(found) == ['Tip-Adapter', 'GDA', 'ProKeR', 'ProKeR, plain', 'tune']
    assert found['ProKeR']['difference'] < 1e-5
    assert all(seconds > 0 for name in found for seconds in found[name].values() if name != 'ProKeR')


@pytest.mark.slow
def test_parameters_of_identities_shared_out(tmp_path):
    benchmark = runpy.run_path(str(ROOT / 'dev/benchmarks/identity_head.py'))
    benchmark['write_people'](tmp_path, 200)
    train = partial(benchmark['train'], tmp_path, 'prompts', identities=200, steps=3)
    for found in in_two_processes(lambda: {kind: train(kind) for kind in benchmark['STRATEGIES']}, tmp_path):
        for name, whole in found['ddp'].items():
            assert 0 < found['fsdp'][name] < 0.51 * whole
    assert max(benchmark['differences'](tmp_path, 'prompts').values()) < benchmark['TOLERANCE']


@pytest.mark.slow  # starts Python four times
def test_few_shot_protocol():
    """Also that a run gives the same accuracy by itself and among others."""
    main = runpy.run_path(str(ROOT / 'dev/benchmarks/few_shot_protocol.py'))['main']
    found = main(['--quick', '--tolerance', '0'])
    assert (found['runs'], found['compared']) == (2, 2)
    assert min(found['together'], found['apart']) > 0


@pytest.mark.slow  # starts Python four times
def test_start_up():
    main = runpy.run_path(str(ROOT / 'dev/benchmarks/start_up.py'))['main']
    found = main(['--repeats', '1'])
    assert list(found) == ['tools/train.py', 'tools/test.py', 'tools/predict.py']
    assert min(found.values()) > 0
