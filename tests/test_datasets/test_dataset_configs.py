"""Every data set of a task composes, and builds on a fabricated tree of its layout."""

from pathlib import Path

import pytest
from data_trees import CLASSES, folder_of, make_split_json, make_tree, save_image
from mmengine.config import Config

from vlprompt.datasets.presets import PRESETS
from vlprompt.engine.compose import compose
from vlprompt.registry import DATASETS, METRICS

FOLDER = Path(__file__).resolve().parents[2] / 'configs' / '_base_' / 'datasets'
OWN = dict(
    few_shot={'folder', 'list', 'split_json'}, long_tailed={'folder', 'list', 'split_json'}, reid={'folder', 'csv'}
)
TEST_ONLY = ('imagenetv2', 'imagenet_sketch', 'imagenet_a', 'imagenet_r')


def names(task):
    """Data sets of a task by the names of their config files."""
    return {file.stem for file in (FOLDER / task).glob('*.py')} - {'_shared'}


def build_all(name, folder):
    """The three few-shot data sets of a config, each with its first sample taken."""
    cfg = compose(Config(dict(task='few_shot', dataset=name, image_size=32)), dict(data_root=str(folder)))
    if name in TEST_ONLY:
        assert cfg.train_dataloader.dataset.data_root is None, 'data_root is that of the test set'
        for loader in (cfg.train_dataloader, cfg.val_dataloader):
            loader.dataset.data_root = str(folder.parent / 'imagenet')
    datasets = {}
    for loader in ('train_dataloader', 'val_dataloader', 'test_dataloader'):
        dataset = DATASETS.build(cfg[loader].dataset)
        assert dataset[0]['inputs'].shape == (3, 32, 32)
        assert dataset.metainfo['classes'] == list(CLASSES)
        datasets[loader] = dataset
    for evaluator in (cfg.val_evaluator, cfg.test_evaluator):
        assert METRICS.build(evaluator).topk == (1,)
    return cfg, datasets


@pytest.mark.parametrize('name', PRESETS['few_shot'])
def test_benchmark_configs(tmp_path, name):
    make_tree(name, tmp_path)
    if name in TEST_ONLY:
        make_tree('imagenet', tmp_path)
    cfg, datasets = build_all(name, folder_of(name, tmp_path))
    assert (cfg.train_dataloader.batch_size, cfg.test_dataloader.batch_size) == (32, 100)
    assert cfg.train_dataloader.dataset.dataset == ('imagenet' if name in TEST_ONLY else name)
    assert cfg.test_dataloader.dataset.dataset == name
    assert datasets['train_dataloader'].class_counts == [4, 4, 4]
    assert datasets['test_dataloader'].class_counts == [2, 2, 2]


def test_there_is_a_config_for_every_data_set():
    assert names('few_shot') - OWN['few_shot'] == set(PRESETS['few_shot'])
    ratios = {f'cifar100_lt_if{ratio}' for ratio in (10, 50, 200)}
    assert names('long_tailed') - OWN['long_tailed'] - ratios == set(PRESETS['long_tailed'])
    larger = {'vehicleid_1600', 'vehicleid_2400'}
    assert names('reid') - OWN['reid'] == set(PRESETS['reid']) - larger


@pytest.mark.parametrize('name', OWN['few_shot'])
def test_configs_for_own_data(tmp_path, name):
    if name == 'split_json':
        make_split_json(tmp_path / 'split.json', tmp_path)
    (tmp_path / 'classnames.txt').write_text('\n'.join(CLASSES))
    for split in ('train', 'val', 'test'):
        for label, class_name in enumerate(CLASSES):
            save_image(tmp_path / split / class_name / f'{label}.png', seed=label)
        lines = [f'{split}/{class_name}/{label}.png {label}' for label, class_name in enumerate(CLASSES)]
        (tmp_path / f'{split}.txt').write_text('\n'.join(lines))
    _, datasets = build_all(name, tmp_path)
    assert min(datasets['train_dataloader'].class_counts) >= 1
