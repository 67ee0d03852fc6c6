"""Photographs through the shipped config for one's own split file; skipped where there are none beside the checkout."""

from tests.conftest import ROOT
from vlprompt.clip.classnames import check_class_names, class_names
from vlprompt.engine import cli
from vlprompt.engine.config import load_config
from vlprompt.registry import DATASETS


def test_your_own_split_config_reads_cifar(realdata):
    folder = realdata / 'cifar100_20'
    cfg = load_config(ROOT / 'configs/plot/plot_micro-rn_16shot_custom.py')
    cli.set_data_root(cfg, str(folder))
    train, test = (DATASETS.build(loader.dataset) for loader in (cfg.train_dataloader, cfg.test_dataloader))
    assert (len(train), len(test)) == (16 * 20, 1000)
    assert train.class_counts == [16] * 20
    check_class_names(class_names(str(folder / 'classnames.txt')), train.metainfo['classes'], 'cifar100_20')
    assert train[0]['inputs'].shape == test[0]['inputs'].shape == (3, 128, 128)
