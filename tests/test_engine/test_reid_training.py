"""Both phases of CLIP-ReID on toy data, through a shipped config: stored features, hand-over, resuming, tests."""

import errno
import json
import os
import signal
import threading
from contextlib import contextmanager
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from mmengine.config import Config
from mmengine.logging import MessageHub
from PIL import Image

from tests.conftest import MICRO, ROOT, leave_unformatted
from tests.interruption import Interrupted
from tests.two_processes import in_two_processes
from vlprompt.apis import init_model, runs
from vlprompt.clip import build_clip
from vlprompt.clip.weights import to_openai_names
from vlprompt.datasets import ReIDDataset
from vlprompt.engine import load_config
from vlprompt.engine.checkpoint import read_checkpoint
from vlprompt.engine.feature_loop import EpochOrder, FeatureDataset, FeatureTrainLoop
from vlprompt.engine.features import FeatureStore, dataset_sha256
from vlprompt.engine.log_processor import keep_eta_positive
from vlprompt.engine.phases import phase_configs, train_phases
from vlprompt.errors import Stopped
from vlprompt.models.reid.prompt_learner import IdentityPromptLearner

SHIPPED = ROOT / 'configs/clipreid/clipreid_micro-vit.py'
ARCH = dict(MICRO['vit'], transformer_layers=1)


@pytest.fixture(scope='module')
def project(tmp_path_factory):
    """Four training and two test identities of one colour each, seen by two cameras, and random towers in a file."""
    root = tmp_path_factory.mktemp('reid')
    rng = np.random.default_rng(0)
    for folder, pids in (('bounding_box_train', (2, 3, 5, 8)), ('query', (11, 12)), ('bounding_box_test', (11, 12))):
        (root / 'data' / folder).mkdir(parents=True)
        for pid in pids:
            colour = np.random.default_rng(pid).integers(0, 200, 3)
            for i in range(1 if folder == 'query' else 4):
                camera = 1 if folder == 'query' else 1 + i % 2
                pixels = (colour + rng.integers(0, 50, (40, 20, 3))).astype(np.uint8)
                Image.fromarray(pixels).save(root / 'data' / folder / f'{pid:04d}_c{camera}s1_{i:06d}_00.png')
    torch.manual_seed(0)
    torch.save(to_openai_names(build_clip(arch=ARCH).state_dict()), root / 'base.pt')
    return root


def configs(project, work_dir, **options):
    resize = dict(type='vlprompt.ResizeImage', size=(64, 32))
    pipeline = [dict(type='vlprompt.LoadImage'), resize, dict(type='vlprompt.PackReIDInputs')]
    data = dict(dataset=None, data_root=str(project / 'data'), pipeline=pipeline)
    changes = {
        'model.clip.arch': dict(ARCH, _delete_=True),
        'model.clip.weights': str(project / 'base.pt'),
        'model.clip.image_size': (64, 32),
        'phases.finetune.train_dataloader.dataset': data,
        'phases.prompts.train_dataloader.dataset': data,
        'test_dataloader.dataset': data,
        'phases.finetune.train_dataloader.batch_size': 4,
        'phases.finetune.train_dataloader.sampler': dict(batch_size=4, instances=2),
        'phases.finetune.train_cfg.max_epochs': 2,
        'phases.prompts.train_cfg.max_epochs': 2,
        'phases.prompts.train_cfg.store': str(project / 'store'),
        'phases.prompts.train_dataloader.batch_size': 5,
        'default_hooks.checkpoint.interval': 1,
    }
    cfg = load_config(SHIPPED, changes | {k.replace('__', '.'): v for k, v in options.items()})
    cfg.work_dir = str(work_dir)
    made = phase_configs(cfg)
    for single in made.values():
        single.log_level = 'WARNING'
        leave_unformatted(single)
    return made


def state(path):
    return read_checkpoint(path)['state_dict']


def same(one, other):
    return one.keys() == other.keys() and all(torch.equal(one[key], other[key]) for key in one)


@pytest.fixture(scope='module')
def trained(project):
    runner = train_phases(configs(project, project / 'whole'))
    return runner, runs.run_test(runner, project)


def test_both_stages(project, trained):
    runner, metrics = trained
    prompts, final = state(project / 'whole/prompts/epoch_2.pth'), state(project / 'whole/finetune/epoch_2.pth')
    assert set(prompts) == {'prompt.context', 'prompt.start', 'prompt.end', 'prototypes'}
    assert prompts['prototypes'].shape == (4, 24)
    assert torch.equal(final['prototypes'], prompts['prototypes'])
    about = read_checkpoint(project / 'whole/finetune/epoch_2.pth')['meta']['vlprompt']
    assert about['data_arguments'] == dict(num_ids=4, num_cameras=2, num_views=1)
    assert about['geometry'] == dict(grid=[4, 2], stride=16)
    assert set(metrics) == {f'reid/{name}' for name in ('mAP', 'mINP', 'rank1', 'rank5', 'rank10')}
    assert (project / runs.METRICS_FILE).is_file()
    assert runner.epoch == 2


def test_the_tower_of_the_first_stage_is_untouched_and_its_features_are_stored(project, trained):
    (stored,) = (project / 'store').glob('*.pth')
    content = torch.load(stored, weights_only=True)
    features, key = content['features'], json.loads(content['key'])
    options = dict(stride=16, grid=[4, 2], heads=1, interpolation='bilinear', local='native')
    assert key['tower'] == options, 'what else features depend on'
    clip = build_clip(weights=project / 'base.pt', image_size=(64, 32), vision=dict(interpolation='bilinear'))
    images = sorted((project / 'data/bounding_box_train').iterdir())
    pixels = [np.array(Image.open(path).resize((32, 64), Image.BILINEAR)) for path in images]
    preprocess = trained[0].model.data_preprocessor
    batch = preprocess(dict(inputs=[torch.from_numpy(p).permute(2, 0, 1) for p in pixels]))['inputs']
    with torch.no_grad():
        expected = clip.encode_image(batch).cls
    torch.testing.assert_close(features, expected, atol=2e-4, rtol=1e-3)


@pytest.mark.slow
def test_two_processes_train_as_one(project, tmp_path):
    """With ``model.gather``, all weights, statistics and logged losses of both phases, and the test, to 1e-5; also with
    classifiers, tower and prompts shared out over the processes.

    15 training and 9 test images are left, so that one process fills up; every image counts once.
    """

    def run(name, processes):
        options = {
            'model__gather': True,
            'phases__prompts__train_dataloader__batch_size': 8 // processes,
            'phases__finetune__train_dataloader__batch_size': 8 // processes,
            'phases__finetune__train_dataloader__sampler': dict(batch_size=8 // processes, instances=2),
            'phases__prompts__train_cfg__store': None,
            'phases__finetune__train_cfg__max_epochs': 4,
            'default_hooks__logger__interval': 1,
        }
        made = configs(project, tmp_path / name, **options)
        for single in made.values():
            single.launcher = 'none' if processes == 1 else 'pytorch'
            single.strategy = 'fsdp' if name == 'shared' else 'ddp'
            single.optim_wrapper.optimizer = dict(type='SGD', lr=0.01)  # Adam would enlarge rounding errors
            single.experiment_name = f'{name} {single.phase}'
        runner = train_phases(made)
        return runs.run_test(runner, tmp_path / name)

    names = ('bounding_box_train/0002_c1s1_000000_00.png', 'bounding_box_test/0011_c2s1_000001_00.png')
    removed = {project / 'data' / name: (project / 'data' / name).read_bytes() for name in names}
    for path in removed:
        path.unlink()
    try:
        expected = run('one', 1)
        for both in in_two_processes(lambda: [run('two', 2), run('shared', 2)], tmp_path):
            assert both == [pytest.approx(expected, abs=1e-5)] * 2
    finally:
        for path, content in removed.items():
            path.write_bytes(content)
    for path in ('prompts/epoch_2.pth', 'finetune/epoch_4.pth'):
        one, ours = state(tmp_path / 'one' / path), losses(tmp_path / 'one' / path)
        assert len(ours) >= 4
        for name in ('two', 'shared'):
            torch.testing.assert_close(state(tmp_path / name / path), one, rtol=1e-5, atol=1e-5)
            assert losses(tmp_path / name / path) == pytest.approx(ours, rel=1e-4)


def losses(checkpoint):
    """The logged loss of every step of the run that wrote a checkpoint."""
    (log,) = checkpoint.parent.glob('*/vis_data/scalars.json')
    return [step['loss'] for step in map(json.loads, log.open()) if 'loss' in step]


@pytest.mark.slow
@pytest.mark.parametrize(('phase', 'iteration'), [('prompts', 5), ('finetune', 5)])
def test_resumes_anywhere(project, trained, tmp_path, phase, iteration):
    broken = configs(project, tmp_path)
    broken[phase].custom_hooks = [dict(type='vlprompt.InterruptingHook', iteration=iteration)]
    broken[phase].default_hooks.checkpoint.interval = 1
    with pytest.raises(Interrupted):
        train_phases(broken)
    train_phases(configs(project, tmp_path, resume=True))
    for path in ('prompts/epoch_2.pth', 'finetune/epoch_2.pth'):
        assert same(state(tmp_path / path), state(project / 'whole' / path)), path


@pytest.mark.parametrize(('batch', 'seen'), [(1, 1), (4, 4)], ids=['between batches', 'after the last'])
def test_a_signal_in_the_pass_over_the_images_ends_the_run_before_its_first_iteration(
    project, tmp_path, monkeypatch, batch, seen
):
    passed, features = [], IdentityPromptLearner.image_features

    def image_features(model, images):
        passed.append(len(images))
        if len(passed) == batch:
            os.kill(os.getpid(), signal.SIGTERM)
        return features(model, images)

    monkeypatch.setattr(IdentityPromptLearner, 'image_features', image_features)
    options = dict(phases__prompts__train_cfg__store=str(tmp_path / 'store'))
    with pytest.raises(Stopped, match='Interrupted by SIGTERM before the first iteration') as stopped:
        train_phases(configs(project, tmp_path / 'run', **options))
    assert stopped.value.exit_code == 143
    assert len(passed) == seen
    assert not list((tmp_path / 'run').rglob('*.pth'))


def test_second_stage_from_a_saved_file(project, trained, tmp_path):
    saved = str(project / 'whole/prompts/epoch_2.pth')
    one = configs(project, tmp_path, phases__finetune__start_from__checkpoint=saved)
    train_phases(one, only='finetune')
    assert same(state(tmp_path / 'finetune/epoch_2.pth'), state(project / 'whole/finetune/epoch_2.pth'))


def test_a_trained_model_needs_neither_data_nor_base_weights(project, trained):
    cfg = Config.fromfile(SHIPPED)
    options = {'model.clip.arch': dict(ARCH, _delete_=True), 'model.clip.weights': None}
    path = project / 'whole/finetune/epoch_2.pth'
    model = init_model(cfg, path, options | {'model.clip.image_size': (64, 32)})
    images = torch.randn(2, 3, 64, 32)
    with torch.no_grad():
        torch.testing.assert_close(model(images, mode='tensor'), trained[0].model(images, mode='tensor'))
    with pytest.raises(ValueError, match=r'grid of \[4, 2\] patches .* the model one of \[8, 4\]'):
        init_model(cfg, path, options)


# ------------------------------------------------------------------------------------------------------ stored features


def test_order_of_epochs():
    order = EpochOrder(10, seed=3)
    first = list(order)
    assert sorted(first) == list(range(10))
    order.set_epoch(1)
    assert sorted(order) == list(range(10))
    assert list(order) != first
    order.set_epoch(0)
    assert list(order) == first
    shares = []
    for rank in range(3):
        order.rank, order.processes = rank, 3
        shares += list(order)
        assert len(list(order)) == len(order) == 4
    assert sorted(shares) == sorted([*range(10), 10 + first[0], 10 + first[1]]), 'two fillings, marked as such'


def test_fillings_have_no_label():
    data = FeatureDataset(torch.tensor([5, 6, 7]), {})
    data.features = torch.arange(3.0)[:, None]
    batch = data.__getitems__([2, 0, 3 + 1])
    assert batch['inputs'].flatten().tolist() == [2, 0, 1]
    assert batch['data_samples'].tolist() == [7, 5, -1]


def test_the_remaining_time_is_never_negative():
    hub = MessageHub('eta')
    keep_eta_positive(hub)
    for given, shown in ((12.0, 12.0), (-7.0, 0.0)):
        hub.update_info('eta', given)
        keep_eta_positive(hub)
        assert hub.get_info('eta') == shown


def test_key_of_a_dataset(project):
    def key(size, split='train'):
        steps = [dict(type=f'vlprompt.{name}') for name in ('LoadImage', 'ResizeImage', 'PackReIDInputs')]
        steps[1]['size'] = size
        datasets.append(ReIDDataset(project / 'data', split=split, pipeline=steps))
        return dataset_sha256(datasets[-1])

    datasets = []  # alive together, so at different places in memory
    first = key((64, 32))
    assert key((64, 32)) == first
    assert len({first, key((64, 48)), key((64, 32), 'query')}) == 3


def test_store(tmp_path):
    store = FeatureStore(tmp_path, dict(weights='a', dtype='float32'))
    assert store.read(3) is None
    store.write(torch.ones(3, 2))
    assert torch.equal(store.read(3), torch.ones(3, 2))
    assert store.read(4) is None  # another number of images
    other = FeatureStore(tmp_path, dict(weights='b', dtype='float32'))
    assert other.path != store.path
    other.path.write_bytes(store.path.read_bytes())
    assert other.read(3) is None  # another's file
    store.path.write_bytes(b'broken')
    assert store.read(3) is None
    store.write(torch.zeros(3, 2))
    assert torch.equal(store.read(3), torch.zeros(3, 2))


def test_one_computes_features_while_others_wait(tmp_path):
    found, begun = [], threading.Event()

    def other():
        begun.set()
        with FeatureStore(tmp_path, dict(weights='a')).held():
            found.append(FeatureStore(tmp_path, dict(weights='a')).read(3))

    store, thread = FeatureStore(tmp_path, dict(weights='a')), threading.Thread(target=other)
    with store.held():
        thread.start()
        begun.wait()
        with FeatureStore(tmp_path, dict(weights='b')).held():
            thread.join(0.05)
        assert not found, 'it waits'
        store.write(torch.ones(3, 2))
    thread.join(10)
    assert torch.equal(found[0], torch.ones(3, 2))


@pytest.mark.parametrize('step', ['os.open', 'fcntl.flock'])
def test_features_of_a_folder_without_locks(tmp_path, monkeypatch, step):
    """As in a folder of another user, which may only be read, and on a file system that has none."""

    def refused(*_):
        raise OSError(errno.ENOLCK, 'no locks')

    store = FeatureStore(tmp_path, dict(weights='a'))
    store.write(torch.ones(3, 2))
    with monkeypatch.context() as patch:
        patch.setattr(step, refused)
        with store.held():
            pass
    with pytest.raises(OSError, match='no space'), store.held():
        raise OSError('no space')
    with store.held():
        assert torch.equal(store.read(3), torch.ones(3, 2))


def test_features_of_the_first_phase_are_read_and_computed_under_a_lock(tmp_path, monkeypatch):
    steps = []

    @contextmanager
    def held(store, alone):
        steps.append(alone)
        yield
        steps.append('released')

    monkeypatch.setattr(FeatureStore, 'held', held)
    monkeypatch.setattr(FeatureStore, 'read', lambda *_: steps.append('read'))
    monkeypatch.setattr(FeatureStore, 'write', lambda *_: steps.append('write'))
    monkeypatch.setattr(FeatureTrainLoop, 'key', lambda *_: dict(weights='a'))
    monkeypatch.setattr(FeatureTrainLoop, 'compute_images', lambda *_: steps.append('compute') or torch.ones(3, 2))
    loop = object.__new__(FeatureTrainLoop)
    loop.store, loop._runner = str(tmp_path), SimpleNamespace(world_size=1, rank=0)
    loop.images, loop.dataloader = SimpleNamespace(dataset=range(3)), SimpleNamespace(dataset=SimpleNamespace())
    loop.compute()
    assert steps == [True, 'read', 'compute', 'write', 'released']
    assert torch.equal(loop.dataloader.dataset.features, torch.ones(3, 2))
