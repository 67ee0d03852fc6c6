"""Every dataset config loads, and builds on a fabricated tree of its layout."""

from pathlib import Path

import pytest
from data_trees import CLASSES, folder_of, make_split_json, make_tree, save_image
from mmengine.config import Config

from vlprompt.registry import DATASETS, METRICS

FOLDER = Path(__file__).resolve().parents[2] / 'configs' / '_base_' / 'datasets'
OWN = ('split_json', 'split_json_128', 'folder', 'list_file')


def is_classification(file):
    """Whether a file describes few-shot classification data, rather than what such files inherit or other tasks."""
    dataset = Config.fromfile(file).test_dataloader.dataset
    return dataset.get('type') == 'vlprompt.FewShotDataset' and not file.stem.startswith('few_shot')


BENCHMARKS = sorted(file.stem for file in FOLDER.glob('*.py') if is_classification(file) and file.stem not in OWN)
TEST_ONLY = ('imagenetv2', 'imagenet_sketch', 'imagenet_a', 'imagenet_r')
LOADERS = ('train_dataloader', 'val_dataloader', 'test_dataloader')


def build_all(name, folder):
    """The three data sets of a config, each with its first sample taken; benchmarks lie below ``folder``."""
    cfg = Config.fromfile(FOLDER / f'{name}.py')
    datasets = {}
    for loader in LOADERS:
        key = cfg[loader].dataset.get('dataset')
        cfg[loader].dataset.data_root = str(folder_of(key, folder) if key else folder)
        dataset = DATASETS.build(cfg[loader].dataset)
        side = 128 if name in ('scenes', 'split_json_128') else 224
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
    assert (cfg.train_dataloader.batch_size, cfg.test_dataloader.batch_size) == (32, 100)
    assert cfg.train_dataloader.dataset.dataset == ('imagenet' if name in TEST_ONLY else name)
    assert cfg.test_dataloader.dataset.dataset == name
    assert datasets['train_dataloader'].class_counts == [4, 4, 4]
    assert datasets['test_dataloader'].class_counts == [2, 2, 2]


def test_there_is_a_config_for_every_dataset():
    from vlprompt.datasets.presets import PRESETS

    assert set(BENCHMARKS) == set(PRESETS['few_shot'])


@pytest.mark.parametrize('name', OWN)
def test_configs_for_own_data(tmp_path, name):
    if name.startswith('split_json'):
        make_split_json(tmp_path / 'split.json', tmp_path)
    (tmp_path / 'classnames.txt').write_text('\n'.join(CLASSES))
    for split in ('train', 'val', 'test'):
        for label, class_name in enumerate(CLASSES):
            save_image(tmp_path / split / class_name / f'{label}.png', seed=label)
        lines = [f'{split}/{class_name}/{label}.png {label}' for label, class_name in enumerate(CLASSES)]
        (tmp_path / f'{split}.txt').write_text('\n'.join(lines))
    _, datasets = build_all(name, tmp_path)
    assert min(datasets['train_dataloader'].class_counts) >= 1
