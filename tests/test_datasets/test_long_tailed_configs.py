"""Every config of long-tailed data loads, and builds on fabricated lists of its layout."""

import pytest
from data_trees import save_image

from vlprompt.clip.classnames import imagenet_wnids
from vlprompt.datasets.presets import PRESETS
from vlprompt.engine import load_config
from vlprompt.engine.config_files import CONFIGS, config_names
from vlprompt.registry import DATA_SAMPLERS, DATASETS, METRICS

METHODS = {'vpt_vit-b16-in21k': 224, 'vpt_micro-vit': 160}


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


@pytest.mark.parametrize('method', METHODS)
@pytest.mark.parametrize('name', ['places_lt', 'imagenet_lt', 'list', 'scenes_lt'])
def test_configs(tmp_path, name, method):
    folders = imagenet_wnids()[:2] if name.startswith('imagenet') else ('cat', 'dog')
    kind = name.split('_')[0]
    below, template = dict(
        places=('places365', 'Places_LT_{split}.txt'),
        imagenet=('imagenet_lt', 'ImageNet_LT_{split}.txt'),
        list=('.', '{split}.txt'),
        scenes=('scenes_lt', '{split}.txt'),
    )[kind]
    root = tmp_path / 'data'
    lists = root / below
    make_lists(lists, root / 'imagenet/images' if kind == 'imagenet' else lists, template, folders)
    cfg = load_config(method, dict(dataset=name, data_root=str(lists)))
    loaders = dict(train_dataloader=4, val_dataloader=2, test_dataloader=2)
    for loader, count in loaders.items():
        if cfg[loader] is None:  # nothing says whether your own lists have one for validation
            assert (name, loader) == ('list', 'val_dataloader')
            continue
        dataset = DATASETS.build(cfg[loader].dataset)
        assert len(dataset) == count
        assert dataset.metainfo['cls_num_list'] == [3, 1]
        assert dataset[0]['inputs'].shape == (3, METHODS[method], METHODS[method])
        sampler = cfg[loader].sampler
        DATA_SAMPLERS.build(sampler, default_args=dict(dataset=dataset))
    for evaluator in filter(None, (cfg.val_evaluator, cfg.test_evaluator)):
        assert METRICS.build(evaluator).convention == 'oltr'


def test_there_is_a_config_for_every_benchmark():
    names = [name for name in config_names(CONFIGS / '_base_/datasets/long_tailed') if not name.startswith('_')]
    datasets = [load_config('vpt_micro-vit', dict(dataset=name)).test_dataloader.dataset for name in names]
    assert {dataset.dataset for dataset in datasets if 'dataset' in dataset} == set(PRESETS['long_tailed'])


def test_data_without_a_validation_split_says_so():
    for name in ('cifar100_lt', 'cifar100_lt_if50', 'inat2018', 'folder'):
        cfg = load_config('vpt_micro-vit', dict(dataset=name))
        assert cfg.val_dataloader is None
        assert cfg.val_evaluator is None
    cifar = load_config('vpt_micro-vit', dict(dataset='cifar100_lt'))
    for loader in (cifar.train_dataloader, cifar.test_dataloader):
        assert (loader.dataset.imbalance, loader.dataset.split_seed) == (100, 0)
