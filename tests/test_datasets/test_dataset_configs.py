"""Every dataset config loads, and builds on a fabricated tree of its layout."""

import pytest
from data_trees import CLASSES, folder_of, make_split_json, make_tree, save_image

from vlprompt.engine import load_config
from vlprompt.engine.config_files import CONFIGS, config_names
from vlprompt.registry import DATASETS, METRICS

OWN = ('split_json', 'folder', 'list')
NAMES = [name for name in config_names(CONFIGS / '_base_/datasets/few_shot') if not name.startswith('_')]
BENCHMARKS = [name for name in NAMES if name not in OWN]
TEST_ONLY = ('imagenetv2', 'imagenet_sketch', 'imagenet_a', 'imagenet_r')
LOADERS = ('train_dataloader', 'val_dataloader', 'test_dataloader')


def build_all(name, folder, method='plot_rn50', side=224):
    """The three datasets of a config, each with its first sample taken; benchmarks lie below ``folder``."""
    cfg = load_config(method, dict(dataset=name))
    datasets = {}
    for loader in LOADERS:
        key = cfg[loader].dataset.get('dataset')
        cfg[loader].dataset.data_root = str(folder_of(key, folder) if key else folder)
        dataset = DATASETS.build(cfg[loader].dataset)
        assert dataset[0]['inputs'].shape == (3, side, side)
        assert dataset.metainfo['classes'] == list(CLASSES)
        datasets[loader] = dataset
    for evaluator in (cfg.val_evaluator, cfg.test_evaluator):
        assert METRICS.build(evaluator).topk == (1,)
    return cfg, datasets


@pytest.mark.parametrize('name', BENCHMARKS)
def test_benchmark_configs(tmp_path, name):
    make_tree(name, tmp_path)
    if name in TEST_ONLY:
        make_tree('imagenet', tmp_path)
    cfg, datasets = build_all(name, tmp_path)
    assert cfg.train_dataloader.dataset.dataset == ('imagenet' if name in TEST_ONLY else name)
    assert cfg.test_dataloader.dataset.dataset == name
    assert datasets['train_dataloader'].class_counts == [4, 4, 4]
    assert datasets['test_dataloader'].class_counts == [2, 2, 2]


@pytest.mark.parametrize('name', TEST_ONLY)
def test_the_folder_of_a_shifted_test_set_is_not_that_of_its_training_images(name):
    cfg = load_config('plot_rn50', dict(dataset=name, data_root='mine'))
    assert [cfg[loader].dataset.data_root for loader in LOADERS] == [None, None, 'mine']


def test_there_is_a_config_for_every_dataset():
    from vlprompt.datasets.presets import PRESETS

    assert set(BENCHMARKS) == set(PRESETS['few_shot'])


@pytest.mark.parametrize(('method', 'side'), [('plot_rn50', 224), ('plot_micro-rn', 160)])
@pytest.mark.parametrize('name', OWN)
def test_configs_for_your_own_data(tmp_path, name, method, side):
    if name.startswith('split_json'):
        make_split_json(tmp_path / 'split.json', tmp_path)
    (tmp_path / 'classnames.txt').write_text('\n'.join(CLASSES))
    for split in ('train', 'val', 'test'):
        for label, class_name in enumerate(CLASSES):
            save_image(tmp_path / split / class_name / f'{label}.png', seed=label)
        lines = [f'{split}/{class_name}/{label}.png {label}' for label, class_name in enumerate(CLASSES)]
        (tmp_path / f'{split}.txt').write_text('\n'.join(lines))
    _, datasets = build_all(name, tmp_path, method, side)
    assert min(datasets['train_dataloader'].class_counts) >= 1
