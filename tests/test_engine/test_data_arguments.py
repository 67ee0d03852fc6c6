"""What a model takes from its data: class names that a config leaves out, and what init_model does without data."""

from types import SimpleNamespace

import pytest
from mmcv.transforms import Compose
from mmengine.config import Config
from mmengine.runner import ValLoop
from torch import nn

from tests.tiny_project import CLASSES, TinyProject
from vlprompt.apis import init_model
from vlprompt.datasets import FewShotDataset, LoadImage
from vlprompt.engine import DataHook, ProgressHook, load_config
from vlprompt.engine.data_arguments import names_of_config
from vlprompt.engine.loops import EpochTrainLoop, StepTrainLoop
from vlprompt.errors import ConfigError
from vlprompt.registry import MODELS


@pytest.fixture(scope='module')
def project(tmp_path_factory):
    """The tiny project without class names in its config."""
    made = TinyProject.create(tmp_path_factory.mktemp('nameless'))
    text = (made.root / 'tiny.py').read_text()
    (made.root / 'tiny.py').write_text(text.replace(f'    class_names={list(CLASSES)},\n', ''))
    return made


@pytest.fixture
def built_datasets(monkeypatch):
    """The splits of all datasets that are built."""
    splits = []
    load = FewShotDataset.load_data_list
    monkeypatch.setattr(FewShotDataset, 'load_data_list', lambda self: splits.append(self.split) or load(self))
    return splits


def test_names_come_from_the_folders_and_each_dataset_is_built_once(project, tmp_path, built_datasets):
    runner = project.run(tmp_path, train_cfg__max_epochs=1)
    assert runner.bare_model.class_names == CLASSES
    runner.train()
    assert built_datasets == ['train', 'test'], 'the test set is compared with the training set'
    assert runner.train_loop.dataloader.dataset.metainfo['classes'] == list(CLASSES)
    saved = init_model(project.config, tmp_path / 'epoch_1.pth')
    assert saved.class_names == CLASSES


def test_a_test_builds_the_test_data_alone(project, tmp_path, built_datasets):
    project.run(tmp_path, train_cfg__max_epochs=1).train()
    built_datasets.clear()
    options = dict(train_cfg=None, val_cfg=None, load_from=str(tmp_path / 'epoch_1.pth'))
    metrics = project.run(tmp_path / 'test', **options).test()
    assert built_datasets == ['test']
    assert metrics


def test_a_model_without_data_takes_names_from_where_it_can(project, built_datasets):
    assert init_model(project.config, class_names=['cat', 'dog']).class_names == ('cat', 'dog')
    assert built_datasets == []
    assert init_model(project.config).class_names == CLASSES, 'of the test data'
    assert built_datasets == ['test']
    options = {'test_dataloader.dataset.dataset': 'dtd', 'test_dataloader.dataset.subset': 'new'}
    assert len(init_model(project.config, cfg_options=options).class_names) == 23, 'of the list that is shipped'
    assert built_datasets == ['test']


def test_no_names_anywhere_is_one_sentence(project):
    options = {'test_dataloader.dataset.data_root': '/nowhere'}
    with pytest.raises(
        ConfigError, match=r'(?s)needs class names \(.*/nowhere.*class_names=\[\.\.\.\] \(--class-names\)'
    ):
        init_model(project.config, cfg_options=options)
    with pytest.raises(ConfigError, match='the config has no dataset'):
        names_of_config(Config(dict(test_dataloader=None)))
    model = dict(type='vlprompt.TextClassifier', clip={}, class_names=None, prompt={}, alignment={})
    with pytest.raises(ValueError, match='class_names is empty'):
        MODELS.build(dict(model, clip=dict(arch='micro-vit')))


def test_a_config_is_read_without_data(project, built_datasets):
    cfg = load_config(project.config)
    assert 'class_names' not in cfg.model
    assert built_datasets == []


class Scheduled(nn.Module):
    def set_progress(self, epoch, epochs):
        self.progress = epoch, epochs


def progress_of(loop):
    """What a part of the model and a transform are told in epoch 3 of 10."""
    model, transform = nn.Sequential(nn.Linear(1, 1), nn.Sequential(Scheduled())), Scheduled()
    loop.dataloader = SimpleNamespace(dataset=SimpleNamespace(pipeline=Compose([LoadImage(), transform])))
    ProgressHook().before_train_epoch(SimpleNamespace(model=model, epoch=3, max_epochs=10, train_loop=loop))
    return model[1][0].progress, transform.progress


def test_progress_reaches_every_part_that_asks_for_it():
    assert progress_of(EpochTrainLoop.__new__(EpochTrainLoop)) == ((3, 10), (3, 10))
    message = r'Scheduled in train_dataloader.dataset.pipeline follows the epochs, but StepTrainLoop counts iterations'
    with pytest.raises(ConfigError, match=message):
        progress_of(StepTrainLoop.__new__(StepTrainLoop))


def test_all_loops_must_draw_from_the_same_imbalanced_subset():
    loop = ValLoop.__new__(ValLoop)
    loop.dataloader = SimpleNamespace(dataset=SimpleNamespace(metainfo={}))
    loader = dict(dataset=dict(dataset='cifar100_lt', imbalance=50))
    cfg = Config(dict(train_dataloader=loader, val_dataloader=None, test_dataloader=loader))
    runner = SimpleNamespace(model=nn.Identity(), cfg=cfg, _train_loop=loop, _val_loop=None, _test_loop=None)
    DataHook().before_run(runner)
    cfg.test_dataloader.dataset.imbalance = 100
    with pytest.raises(
        ConfigError, match=r'imbalance=50, but test_dataloader.dataset.imbalance=100: .* Set both equal'
    ):
        DataHook().before_run(runner)
