"""Hooks that inform a model about its run: the datasets before anything is loaded, progress before every epoch."""

from __future__ import annotations

from mmengine.hooks import Hook
from mmengine.model import is_model_wrapper
from mmengine.runner import BaseLoop, EpochBasedTrainLoop, Runner
from torch import nn
from torch.utils.data import Dataset

from vlprompt.datasets.transforms import follow_progress
from vlprompt.engine.data_checks import check_number_of_classes
from vlprompt.errors import ConfigError
from vlprompt.registry import HOOKS


@HOOKS.register_module()
class DataHook(Hook):
    """Call ``model.meet_data(metainfo, what, training)`` for every dataset of the run, training before validation.

    The model compares ``metainfo`` with its own settings and takes over class names, class counts and numbers of
    identities.  A segmentor of mmseg has no such method; its decode head must have as many classes as the data.
    Other models are left alone.

    Raises:
        ConfigError: the model does not fit a dataset; or training, validation and test cut the same source with
            different ``imbalance``.
    """

    def before_run(self, runner: Runner) -> None:
        model = bare_model(runner)
        for loop in (runner._train_loop, runner._val_loop, runner._test_loop):
            if not isinstance(loop, BaseLoop):  # not part of this run
                continue
            dataset = loop.dataloader.dataset
            what = f'{type(dataset).__name__} of {type(loop).__name__}'
            agree_with_data(model, dataset, what, training=loop is runner._train_loop)
        if isinstance(runner._train_loop, BaseLoop):
            _check_imbalance(runner.cfg)


@HOOKS.register_module()
class ProgressHook(Hook):
    """Call ``set_progress(epoch, epochs)`` of every part of the model, and of every transform of the training images,
    that defines it, at the start of every epoch.

    ``epoch`` is 0-based and continues in a resumed run, so a part can follow its own schedule.

    Raises:
        ConfigError: a transform has a schedule, and the training does not run by epochs.
    """

    def before_train_epoch(self, runner: Runner) -> None:
        loop = runner.train_loop
        told = follow_progress(loop.dataloader.dataset, runner.epoch, runner.max_epochs)
        if told and not isinstance(loop, EpochBasedTrainLoop):
            raise ConfigError(
                f'{type(told[0]).__name__} in train_dataloader.dataset.pipeline follows the epochs, but '
                f'{type(loop).__name__} counts iterations: set train_cfg=dict(by_epoch=True, max_epochs=...), or take '
                'vlprompt.RandomResizedCrop'
            )
        for module in bare_model(runner).modules():
            if hasattr(module, 'set_progress'):
                module.set_progress(runner.epoch, runner.max_epochs)


def agree_with_data(model: nn.Module, dataset: Dataset, what: str, training: bool = False) -> None:
    """Have a model meet a dataset, before anything is computed from its labels.

    Args:
        model: of any kind; one of mmseg must have as many classes as the data.
        dataset: whose ``metainfo`` it meets.
        what: its name in messages.
        training: whether it is the training set.

    Raises:
        ConfigError: the model does not fit the dataset, so that its labels would mean other classes or cameras.
    """
    metainfo = getattr(dataset, 'metainfo', {})
    if hasattr(model, 'meet_data'):
        model.meet_data(metainfo, what, training)
    else:
        _check_number_of_classes(model, metainfo, what)


def bare_model(runner: Runner) -> nn.Module:
    """The model of any runner, without the wrapper for distributed training."""
    return runner.model.module if is_model_wrapper(runner.model) else runner.model


def _check_number_of_classes(model: nn.Module, metainfo: dict, what: str) -> None:
    number = getattr(getattr(model, 'decode_head', None), 'num_classes', None)
    names = metainfo.get('classes')
    if None not in (number, names):
        check_number_of_classes(number, names, what)


def _check_imbalance(cfg: dict) -> None:
    """Many-, medium- and few-shot classes of a test must be those of the training data."""
    train = cfg.train_dataloader.dataset
    for name in ('val_dataloader', 'test_dataloader'):
        other = (cfg.get(name) or {}).get('dataset') or {}
        same = other and other.get('dataset') == train.get('dataset')
        if same and other.get('imbalance') != train.get('imbalance'):
            raise ConfigError(
                f'train_dataloader.dataset.imbalance={train.get("imbalance")}, but {name}.dataset.imbalance='
                f'{other.get("imbalance")}: many-, medium- and few-shot classes follow the latter. Set both equal'
            )
