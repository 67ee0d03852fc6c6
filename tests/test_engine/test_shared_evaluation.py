"""Evaluation in two processes: the metrics of one, images read once, features stored once; odd numbers of images."""

import pytest

from tests.conftest import ROOT
from tests.test_tools.dense import make_world
from tests.tiny_project import TinyProject
from tests.two_processes import in_two_processes
from vlprompt.apis import runs
from vlprompt.datasets.transforms import LoadImage
from vlprompt.engine import load_config
from vlprompt.engine.features import FeatureStore

PIPELINE = [
    dict(type='vlprompt.LoadImage'),
    dict(type='vlprompt.ResizeShorterSide', size=32),
    dict(type='vlprompt.CenterCrop', size=32),
    dict(type='vlprompt.PackClassification'),
]
IMAGES = 11


@pytest.fixture
def counted(monkeypatch):
    """Names of images that a process has read, and sizes of what it has stored."""
    read, written = [], []
    load, write = LoadImage.transform, FeatureStore.write
    monkeypatch.setattr(LoadImage, 'transform', lambda self, info: read.append(info['img_path']) or load(self, info))
    monkeypatch.setattr(FeatureStore, 'write', lambda self, part: written.append(len(part)) or write(self, part))
    return read, written


@pytest.mark.slow
def test_classification_on_images_and_on_stored_features(tmp_path, counted):
    project = TinyProject.create(tmp_path / 'project')
    (project.root / 'data/test/apple/0.png').unlink()
    read, written = counted

    def run(name, launcher, **test_cfg):
        runner = project.run(
            tmp_path / name,
            model__alignment=dict(type='vlprompt.TransportAlignment', _delete_=True),
            test_dataloader__dataset__pipeline=PIPELINE,
            test_dataloader__batch_size=3,
            test_cfg=test_cfg,
            launcher=launcher,
        )
        read.clear()
        written.clear()
        return runner.test(), list(read), list(written)

    def stored(name):
        return dict(type='vlprompt.FeatureTestLoop', store=str(tmp_path / name))

    expected, once, _ = run('one', 'none')
    assert len(once) == IMAGES
    assert run('one', 'none', **stored('alone'))[0] == expected

    def member():
        return [run('two', 'pytorch', **options) for options in ({}, stored('shared'), stored('shared'))]

    first, second = in_two_processes(member, tmp_path)
    for on_images, computed, reread in (first, second):
        assert on_images[0] == computed[0] == reread[0] == expected
        assert not reread[1]
        assert not reread[2]
    assert sorted(set(first[0][1] + second[0][1])) == sorted(once)
    assert len(first[0][1] + second[0][1]) == IMAGES + 1, 'one fills up, and does not count'
    assert sorted(first[1][1] + second[1][1]) == sorted(once)
    assert (first[1][2], second[1][2]) == ([IMAGES] * 3, []), 'global and local features, and shapes'
    names = [{path.name for path in (tmp_path / folder).glob('*.pth')} for folder in ('alone', 'shared')]
    assert len(names[0]) == 3
    assert names[0] == names[1], 'what one has stored, the others read'


@pytest.mark.slow
def test_segmentation(tmp_path):
    """By the areas of three images."""
    world = make_world(tmp_path / 'world', 'segmentation', 1, 3)

    def run(name, launcher):
        cfg = load_config(
            ROOT / 'configs/segment_by_words/naclip_micro-vit.py',
            {'data_root': str(world), 'test_dataloader.num_workers': 0},
        )
        cfg.work_dir, cfg.experiment_name, cfg.launcher, cfg.log_level = str(tmp_path / name), name, launcher, 'WARNING'
        return runs.build_runner(cfg).test()

    expected = run('one', 'none')
    assert expected['mIoU'] > 1
    assert in_two_processes(lambda: run('two', 'pytorch'), tmp_path) == [expected] * 2
