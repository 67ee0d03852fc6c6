"""Every config of long-tailed data loads, and builds on fabricated lists of its layout."""

from pathlib import Path

import pytest
from data_trees import save_image
from mmengine.config import Config

from vlprompt.clip.classnames import imagenet_wnids
from vlprompt.datasets.presets import PRESETS
from vlprompt.registry import DATA_SAMPLERS, DATASETS, METRICS

FOLDER = Path(__file__).resolve().parents[2] / 'configs' / '_base_' / 'datasets'
SIDES = {'places_lt_224x224': 224, 'imagenet_lt_224x224': 224, 'custom_lt_224x224': 224, 'scenes_lt_128x128': 128}


def make_lists(lists, images, template, folders):
    """Three training images of the first class and one of the second; one image of each in val and test."""
    lists.mkdir(parents=True)
    for split, counts in dict(train=(3, 1), val=(1, 1), test=(1, 1)).items():
        lines = []
        for label, (folder, count) in enumerate(zip(folders, counts, strict=True)):
            for i in range(count):
                path = f'{split}/{folder}/{i}.png'
                save_image(images / path, seed=label)
                lines.append(f'{path} {label}')
        (lists / template.format(split=split)).write_text('\n'.join(lines))


@pytest.mark.parametrize('name', SIDES)
def test_configs(tmp_path, name):
    folders = imagenet_wnids()[:2] if name.startswith('imagenet') else ('cat', 'dog')
    kind = name.split('_')[0]
    below, template = dict(
        places=('places365', 'Places_LT_{split}.txt'),
        imagenet=('imagenet_lt', 'ImageNet_LT_{split}.txt'),
        custom=('.', '{split}.txt'),
        scenes=('scenes_lt', '{split}.txt'),
    )[kind]
    root = tmp_path / 'data'
    lists = root / below
    make_lists(lists, root / 'imagenet/images' if kind == 'imagenet' else lists, template, folders)
    cfg = Config.fromfile(FOLDER / f'{name}.py')
    for loader, count in (('train_dataloader', 4), ('val_dataloader', 2), ('test_dataloader', 2)):
        cfg[loader].dataset.data_root = str(lists)
        dataset = DATASETS.build(cfg[loader].dataset)
        assert len(dataset) == count
        assert dataset.metainfo['cls_num_list'] == [3, 1]
        assert dataset[0]['inputs'].shape == (3, SIDES[name], SIDES[name])
        sampler = cfg[loader].sampler
        DATA_SAMPLERS.build(sampler, default_args=dict(dataset=dataset))
    for evaluator in (cfg.val_evaluator, cfg.test_evaluator):
        assert METRICS.build(evaluator).convention == 'oltr'


def test_there_is_a_config_for_every_benchmark():
    configs = [Config.fromfile(file) for file in FOLDER.glob('*.py')]
    loaders = [cfg.get('train_dataloader') or {} for cfg in configs]
    own = [
        loader.dataset for loader in loaders if loader.get('dataset', {}).get('type') == 'vlprompt.LongTailedDataset'
    ]
    assert {dataset.dataset for dataset in own if 'dataset' in dataset} == set(PRESETS['long_tailed'])


def test_data_without_a_validation_split_says_so():
    for name in ('cifar100_lt_224x224', 'inat2018_224x224'):
        cfg = Config.fromfile(FOLDER / f'{name}.py')
        assert cfg.val_dataloader is None
        assert cfg.val_evaluator is None
    cifar = Config.fromfile(FOLDER / 'cifar100_lt_224x224.py')
    for loader in (cifar.train_dataloader, cifar.test_dataloader):
        assert (loader.dataset.imbalance, loader.dataset.split_seed) == (100, 0)
