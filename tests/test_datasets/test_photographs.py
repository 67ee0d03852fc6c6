"""Photographs through the shipped configs for your own data; skipped where there are none beside the checkout."""

from mmengine.registry import DefaultScope

from tests.conftest import ROOT
from vlprompt.clip.classnames import check_class_names, resolve_class_names
from vlprompt.engine.config import load_config
from vlprompt.registry import DATASETS


def test_your_own_split_config_reads_cifar(realdata):
    folder = realdata / 'cifar100_20'
    cfg = load_config(ROOT / 'configs/plot/plot_micro-rn.py', dict(dataset='split_json', data_root=str(folder)))
    train, test = (DATASETS.build(loader.dataset) for loader in (cfg.train_dataloader, cfg.test_dataloader))
    assert (len(train), len(test)) == (16 * 20, 1000)
    assert train.class_counts == [16] * 20
    check_class_names(resolve_class_names(str(folder / 'classnames.txt')), train.metainfo['classes'], 'cifar100_20')
    assert train[0]['inputs'].shape == test[0]['inputs'].shape == (3, 160, 160)


def test_the_shipped_config_reads_coco_photographs(realdata):
    """88 and 68 photographs with the classes of COCO in its order; no entry is broken, every object has a mask."""
    config = ROOT / 'configs/denseclip_det/mask-rcnn_denseclip-micro-rn_fpn_300i_coco128-384x256.py'
    cfg = load_config(config, dict(data_root=str(realdata / 'coco128')))
    with DefaultScope.overwrite_default_scope('mmdet'):
        from mmdet.datasets import CocoDataset

        train, test = (DATASETS.build(loader.dataset) for loader in (cfg.train_dataloader, cfg.test_dataloader))
        sample = train[0]
    assert (len(train), len(test)) == (86, 68), 'two of the 88 hold no object'
    assert train.metainfo['classes'] == test.metainfo['classes'] == CocoDataset.METAINFO['classes']
    objects = sample['data_samples'].gt_instances
    assert len(objects) == len(objects.masks) > 0
    assert max(sample['inputs'].shape[1:]) <= 384
