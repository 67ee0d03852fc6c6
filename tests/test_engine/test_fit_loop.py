"""FitLoop: features of views computed once, tuning levels, and tuning on test images refused."""

import json
import shutil
from contextlib import contextmanager

import numpy as np
import pytest
import torch

from tests.tiny_project import ARCH, TinyFit
from vlprompt.datasets import FewShotDataset
from vlprompt.engine import feature_loop, load_config, read_checkpoint
from vlprompt.engine.features import FeatureStore
from vlprompt.engine.tuning_data import tuning_images
from vlprompt.errors import ConfigError


@pytest.fixture
def project(tmp_path):
    return TinyFit.create(tmp_path)


def trained(project, name, **options):
    runner = project.run(project.root / name, **options)
    runner.train()
    return runner


def state(runner):
    return read_checkpoint(f'{runner.work_dir}/epoch_1.pth')['state_dict']


def test_a_run_fits_and_reports(project):
    runner = trained(project, 'a')
    checkpoint = read_checkpoint(f'{runner.work_dir}/epoch_1.pth')
    report = json.loads((project.root / 'a/fit.json').read_text())
    assert checkpoint['meta']['vlprompt']['fit'] == report
    assert (report['solver'], report['images'], report['views'], report['tune']) == ('GDA', 6, 3, 'none')
    assert checkpoint['state_dict']['solver.weight'].shape == (3, ARCH['embed_dim'])
    assert runner.test()['accuracy/top1'] == 100, 'three colours'


def test_views_are_those_of_the_dataset_and_stored_one_by_one(project):
    runner = project.run(project.root / 'a')
    runner.train()
    features = runner.train_loop.dataloader.dataset.features
    assert features.shape == (6, 3, ARCH['embed_dim'])
    images = FewShotDataset(
        str(project.root / 'data'), shots=2, seed=1, pipeline=runner.cfg.train_dataloader.dataset.pipeline
    )
    with torch.no_grad():
        for image, view in ((0, 0), (5, 2)):
            sample = images[view * len(images) + image]
            batch = runner.model.data_preprocessor(dict(inputs=[sample['inputs']], data_samples=[]))
            torch.testing.assert_close(runner.model.image_features(batch['inputs'])[0], features[image, view])
    assert len(list((project.root / 'features').glob('*.pth'))) == 3


def test_stored_features_are_shared_by_solvers_but_not_by_towers_and_seeds(project, monkeypatch):
    expected = state(trained(project, 'a'))
    computed = []
    monkeypatch.setattr(
        'vlprompt.engine.feature_loop.compute_features',
        lambda function, model, images, *args: (
            computed.append(len(images)) or dict(image=torch.randn(len(images), ARCH['embed_dim']))
        ),
    )
    assert torch.equal(state(trained(project, 'b'))['solver.weight'], expected['solver.weight'])
    trained(project, 'c', model__solver=dict(_delete_=True, type='vlprompt.TipAdapter', views=2))
    assert computed == []
    trained(project, 'd', model__solver__views=5)
    assert computed == [12], 'two views are new'
    trained(project, 'e', train_dataloader__dataset__seed=2)
    trained(project, 'f', model__clip__vision=dict(interpolation='bilinear'))
    trained(project, 'g', model__solver=dict(_delete_=True, type='vlprompt.LinearProbe'))
    assert computed[1:] == [18, 18, 6]


@pytest.fixture
def steps(monkeypatch):
    """What is done with stored features, in order."""
    noted: list[str] = []
    held = FeatureStore.held

    @contextmanager
    def lock(store, alone=True):
        noted.append(f'lock {store.path.stem}' if alone else 'no lock')
        with held(store, alone):
            yield
        noted.append('release')

    def note(name, function):
        return lambda *arguments: noted.append(name) or function(*arguments)

    monkeypatch.setattr(FeatureStore, 'held', lock)
    for owner, name in ((FeatureStore, 'read'), (FeatureStore, 'write'), (feature_loop, 'compute_features')):
        monkeypatch.setattr(owner, name, note(name.split('_')[0], getattr(owner, name)))
    return noted


def test_views_are_read_and_computed_under_one_lock(project, steps):
    """Another solver waits for it, and reads what the first one has computed."""
    trained(project, 'a')
    first, *others = steps
    assert first.startswith('lock ')
    assert others == [*['read'] * 3, 'compute', *['write'] * 3, 'release']
    steps.clear()
    trained(project, 'b', model__solver__views=5, train_cfg__tune='few')
    assert steps[:9] == [first, *['read'] * 5, 'compute', 'write', 'write'], 'the same lock for more views'
    assert steps[9] == 'release'
    tuning, *others = steps[10:]
    assert tuning.startswith('lock ')
    assert tuning != first
    assert others == ['read', 'compute', 'write', 'release']


def test_processes_of_one_run_do_not_wait_for_one_another(project, steps):
    runner = project.run(project.root / 'a')
    loop = runner._train_loop = runner.build_train_loop(runner._train_loop)
    runner._world_size = 2
    loop._of_views(loop.images.dataset, 1)
    assert steps == ['no lock', 'read', 'compute', 'write', 'release']


def test_a_finished_run_is_not_fitted_again_and_an_interrupted_one_goes_on(project, monkeypatch):
    expected = state(trained(project, 'a'))
    monkeypatch.setattr('vlprompt.solvers.gda.GDA.fit', None)
    resumed = project.run(project.root / 'a', resume=True)
    resumed.train()
    assert resumed.epoch == 1
    assert torch.equal(resumed.model.solver.weight, expected['solver.weight'])


def test_a_signal_while_features_are_computed_ends_the_run(project):
    from vlprompt.engine.stop import StopRequest
    from vlprompt.errors import Stopped

    runner = project.run(project.root / 'a')
    build = runner.build_train_loop

    def asked(loop):
        runner.stop_request = StopRequest()
        runner.stop_request.signal = 15
        return build(loop)

    runner.build_train_loop = asked
    with pytest.raises(Stopped, match='while features were computed'):
        runner.train()


@pytest.mark.parametrize(
    ('level', 'split', 'images'), [('few', 'val', 6), ('shots', 'val', 6), ('full', 'val', 18), ('full', 'train', 6)]
)
def test_levels_of_tuning(project, level, split, images):
    runner = trained(project, 'a', train_cfg__tune=level, train_cfg__tuning_split=split)
    report = json.loads((project.root / 'a/fit.json').read_text())
    assert (report['tune'], report['tuning_images'], report['tuning_split']) == (level, images, split)
    assert report['chosen']['alpha'] == pytest.approx(float(runner.model.solver.alpha_))
    assert 0 <= report['chosen']['tuning_accuracy'] <= 100


def numbers(project, level, split='val', **options):
    """Numbers of tuning images per class, and their paths."""
    cfg = load_config(project.config, {'train_dataloader.dataset.shots': 3} | options)
    shots = FewShotDataset(str(project.root / 'data'), shots=cfg.train_dataloader.dataset.shots, seed=1)
    chosen = tuning_images(cfg, shots, level, split)
    infos = [chosen.get_data_info(index) for index in range(len(chosen))]
    counts = np.bincount([info['gt_label'] for info in infos])
    used = {shots.get_data_info(index)['img_path'] for index in range(len(shots))}
    return counts.tolist(), {info['img_path'] for info in infos}, used


def test_numbers_of_tuning_images(project):
    assert numbers(project, 'few')[0] == [3, 3, 3]
    assert numbers(project, 'full')[0] == [6, 6, 6]
    counts, chosen, used = numbers(project, 'few', 'train')
    assert counts == [1, 1, 1]
    assert not chosen & used
    with pytest.raises(ConfigError, match='none is left'):
        numbers(project, 'few', 'train', **{'train_dataloader.dataset.shots': 4})


@pytest.mark.parametrize('how', ['path', 'copy'])
def test_images_of_the_test_set_choose_nothing(project, how):
    data = project.root / 'data'
    shutil.rmtree(data / 'val')
    if how == 'path':
        (data / 'val').symlink_to(data / 'test')
    else:
        shutil.copytree(data / 'test', data / 'val')
    with pytest.raises(ConfigError, match=r'images of the test set, such as .*val.*\.png.*tuning_split=') as error:
        numbers(project, 'full')
    assert 'would be no test' in str(error.value)


def test_data_without_a_validation_split(project):
    shutil.rmtree(project.root / 'data/val')
    with pytest.raises(ConfigError, match=r"cannot be read: .*[^.]\. If there is none, set train_cfg\.tune='none'"):
        numbers(project, 'full')


def test_options_without_effect_are_errors(project):
    for options, message in (
        (dict(train_cfg__tuning_split='train'), 'has no effect'),
        (dict(optim_wrapper__type='vlprompt.AutocastOptimWrapper'), r'optim_wrapper\.type has no effect'),
        (dict(train_cfg__tune='few', train_dataloader__dataset__shots=None), 'follows the number of shots'),
        (dict(train_cfg__tune='few', model__solver=dict(_delete_=True, type='vlprompt.CLAP')), 'nothing to tune'),
    ):
        with pytest.raises(ConfigError, match=message):
            trained(project, 'a', **options)
    with pytest.raises(ConfigError, match='max_epochs'):
        project.run(project.root / 'b', train_cfg__max_epochs=3)
