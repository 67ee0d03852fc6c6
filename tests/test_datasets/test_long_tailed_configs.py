"""Every config of long-tailed data composes, and builds on fabricated lists of its layout."""

import pytest
from data_trees import save_image
from mmengine.config import Config

from vlprompt.clip.classnames import imagenet_wnids
from vlprompt.engine.compose import compose
from vlprompt.registry import DATA_SAMPLERS, DATASETS, METRICS

LAYOUTS = dict(
    places_lt=('places365', 'Places_LT_{split}.txt'),
    imagenet_lt=('imagenet_lt', 'ImageNet_LT_{split}.txt'),
    list=('.', '{split}.txt'),
    scenes_lt=('scenes_lt', '{split}.txt'),
)


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


@pytest.mark.parametrize('name', LAYOUTS)
def test_configs(tmp_path, name):
    folders = imagenet_wnids()[:2] if name == 'imagenet_lt' else ('cat', 'dog')
    below, template = LAYOUTS[name]
    root = tmp_path / 'data'
    lists = root / below
    make_lists(lists, root / 'imagenet/images' if name == 'imagenet_lt' else lists, template, folders)
    cfg = compose(Config(dict(task='long_tailed', dataset=name, image_size=32)), dict(data_root=str(lists)))
    loaders = dict(train_dataloader=4, val_dataloader=2, test_dataloader=2)
    if name == 'list':
        assert cfg.val_dataloader is None, 'your own lists need no val.txt'
        del loaders['val_dataloader']
    for loader, count in loaders.items():
        dataset = DATASETS.build(cfg[loader].dataset)
        assert len(dataset) == count
        assert dataset.metainfo['cls_num_list'] == [3, 1]
        assert dataset[0]['inputs'].shape == (3, 32, 32)
        DATA_SAMPLERS.build(cfg[loader].sampler, default_args=dict(dataset=dataset))
    assert METRICS.build(cfg.test_evaluator).convention == 'oltr'


def test_data_without_a_validation_split_says_so():
    for name in ('cifar100_lt', 'inat2018'):
        cfg = compose(Config(dict(task='long_tailed', dataset=name)))
        assert cfg.val_dataloader is None
        assert cfg.val_evaluator is None
    cifar = compose(Config(dict(task='long_tailed', dataset='cifar100_lt')))
    for loader in (cifar.train_dataloader, cifar.test_dataloader):
        assert (loader.dataset.imbalance, loader.dataset.split_seed) == (100, 0)
