"""What a run says about its data before the model is built: counts, oddities, and errors."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from mmengine.config import Config
from mmengine.dist import broadcast_object_list, is_main_process
from mmengine.logging import MMLogger
from mmengine.registry import DATASETS, init_default_scope
from mmengine.runner import Runner
from torch.utils.data import DataLoader

from vlprompt.clip.classnames import check_class_names
from vlprompt.datasets.checks.examine import Facts, examine
from vlprompt.datasets.checks.findings import Finding, Level
from vlprompt.datasets.checks.identities import SearchRules
from vlprompt.datasets.checks.parts import Part
from vlprompt.datasets.checks.views import parts_of
from vlprompt.datasets.samplers.epoch import batch_size_of
from vlprompt.errors import ConfigError, DataError
from vlprompt.messages import counted

LOOPS = ('train', 'val', 'test')

EMPTY = 'need at least one array to concatenate'
"""NumPy's message when mmengine's ``BaseDataset`` stores a list without entries."""


def check_data(runner: Runner, test_follows: bool = False) -> None:
    """Log the counts of the run's datasets and one warning for everything that is odd.

    The datasets are those of the loops of the run, and the test set of a training that a test follows.  Any other
    training also compares with the test set of its config, as far as this can be read.  Of several
    processes all build the data loaders, but only the first examines files; its error is that of all.

    Args:
        runner: a :class:`~vlprompt.engine.runner.PromptRunner` that has no model yet.
        test_follows: the test set is used after the training.

    Raises:
        DataError: there is nothing to train on or to measure.
        ConfigError: the config of the model contradicts the data.
    """
    training = runner._train_loop is not None
    only_compared = training and not test_follows
    tests_like_validation = training and _dataset_of(runner._val_dataloader) == _dataset_of(runner._test_dataloader)
    loaders: dict[str, DataLoader] = {}
    for loop in LOOPS:
        extra = only_compared and loop == 'test'
        known = training and loop == 'test' and tests_like_validation
        if getattr(runner, f'_{loop}_dataloader') is None or known:
            continue
        try:
            loaders[loop] = runner.data_loader(loop)
        except Exception as error:  # mmseg and mmdet raise any kind, such as AssertionError
            if str(error) == EMPTY:
                error = DataError(f'{loop}: the dataset lists no image: {_described(runner, loop)}')
            if not extra:
                raise error
            _tell_unread(runner.logger, error)
            continue
        if not extra:
            _check_model(runner.cfg.get('model'), loaders[loop], loop)
    _in_first_process(lambda: _examine(runner, loaders, training, only_compared))


def _in_first_process(check: Callable[[], None]) -> None:
    """Call ``check`` in the first of several processes; all raise if it does."""
    failed: Exception | None = None
    if is_main_process():
        try:
            check()
        except Exception as error:  # the others wait for the outcome, whatever it is
            failed = error
    expected = isinstance(failed, DataError)
    told = [failed and (str(failed) if expected else f'the check of the data failed in process 0: {failed!r}')]
    broadcast_object_list(told)
    if failed is not None:
        raise failed
    if told[0] is not None:
        raise DataError(told[0])


def _examine(runner: Runner, loaders: Mapping[str, DataLoader], training: bool, only_compared: bool) -> None:
    """Read files, and log what is found; ``only_compared``: the test set is not used by this run."""
    parts: list[Part] = []
    own: list[int] = []
    for loop, loader in loaders.items():
        extra = only_compared and loop == 'test'
        try:
            found = parts_of(loader.dataset, loop)
        except TypeError as error:
            runner.logger.info(f'{loop}: the data are not checked: {error}')
            continue
        except Exception as error:
            if not extra:
                raise
            _tell_unread(runner.logger, error)
            continue
        own += [] if extra else range(len(parts), len(parts) + len(found))
        parts += found
    evaluator = runner._test_evaluator if runner._val_evaluator is None else runner._val_evaluator
    facts = examine(parts, search_rules(evaluator))
    if training:
        _check_batches(facts, loaders['train'], runner.cfg.train_cfg, runner.world_size)
    _report(facts, set(own), runner.logger)


def _tell_unread(logger: MMLogger, error: Exception) -> None:
    """Log that the test set of a training, which it does not use, is left out of the comparison."""
    shown = str(error) if isinstance(error, (ValueError, OSError)) else f'{type(error).__name__}: {error}'
    logger.warning(f'test: not compared with the training data, since it cannot be read: {shown}')


def _report(facts: Facts, own: set[int], logger: Any) -> None:
    for line in facts.lines:
        logger.info(line)
    errors = []
    for finding, positions in facts.findings.items():
        if finding.level == Level.ERROR and set(positions) <= own:
            errors.append(finding.text)
        else:
            logger.warning(finding.text)
    if errors:
        more = f' (and {counted(len(errors) - 1, "more error")}, such as: {errors[1]})' if len(errors) > 1 else ''
        raise DataError(errors[0] + more)


def check_loaders(cfg: Config, loaders: Mapping[str, DataLoader], processes: int) -> None:
    """What can be said about the data loaders of a run, by loop, without reading files.

    Raises:
        DataError: an epoch has no step.
        ConfigError: the config of the model contradicts the data.
    """
    for loop, loader in loaders.items():
        _check_model(cfg.get('model'), loader, loop)
    facts = Facts([])
    _check_batches(facts, loaders['train'], cfg.train_cfg, processes)
    if errors := facts.of_level(Level.ERROR):
        raise DataError(errors[0])


def check_test_set(cfg: Config) -> None:
    """Read the test set of a config, so that mistakes in it show before training.

    Raises:
        DataError: there is nothing to measure with it.
        ValueError, OSError: it cannot be read.
    """
    examine_set(cfg, 'test')


def examine_set(cfg: Config, loop: str) -> Facts | None:
    """Read the dataset of a loop of a config, so that mistakes in it show before a run; None if its kind is not known.

    Args:
        cfg: composed, of one phase.
        loop: ``'train'``, ``'val'`` or ``'test'``.

    Raises:
        DataError: there is nothing to train on or to measure, or the first image is not there.
        ValueError, OSError: it cannot be read.
    """
    init_default_scope(cfg.get('default_scope') or 'mmengine')
    dataset = DATASETS.build(copy.deepcopy(cfg[f'{loop}_dataloader'].dataset))
    try:
        parts = parts_of(dataset, loop)
    except TypeError:
        return None  # a run says so
    facts = examine(parts, search_rules(cfg.get('test_evaluator')))
    if errors := facts.of_level(Level.ERROR):
        raise DataError(errors[0])
    for part in parts:
        if part.paths and not Path(part.paths[0]).is_file():
            raise DataError(f'{part.name}: image {part.paths[0]} does not exist, the first of {len(part.paths)}')
    return facts


def search_rules(evaluator: Any) -> SearchRules:
    """What counts in the rankings of a re-identification test; of an evaluator, or its config."""
    metrics = getattr(evaluator, 'metrics', evaluator)
    metrics = metrics if isinstance(metrics, Sequence) else [metrics]
    known = [metric if isinstance(metric, Mapping) else vars(metric or object) for metric in metrics]
    kept = {key: any(options.get(key) == 'keep' for options in known) for key in SearchRules._fields}
    rules = SearchRules(**{key: 'keep' for key, keep in kept.items() if keep})
    return rules._replace(same_camera='draws') if any(options.get('repeats') for options in known) else rules


def _dataset_of(loader: Any) -> Any:
    """The dataset of a data loader or its config; None without one."""
    return loader.get('dataset') if isinstance(loader, Mapping) else getattr(loader, 'dataset', None)


def _described(runner: Runner, loop: str) -> str:
    """Type and place of the dataset that the config names."""
    dataset = _dataset_of(getattr(runner, f'_{loop}_dataloader'))
    while isinstance(dataset.get('dataset'), Mapping):
        dataset = dataset['dataset']
    return ', '.join(
        f'{key}={dataset[key]!r}' for key in ('type', 'data_root', 'data_prefix', 'ann_file') if key in dataset
    )


def _check_batches(facts: Facts, loader: DataLoader, train_cfg: Mapping[str, Any], processes: int) -> None:
    """Epochs without a step are an error, batches larger than the dataset odd."""
    batch = batch_size_of(loader)
    size, number = batch * processes, len(loader.dataset)
    if train_cfg.get('max_epochs') is not None and not len(loader):
        text = f'train: {counted(number, "image")} make no batch of {size}, so an epoch has no step'
        facts.add(iter([Finding(Level.ERROR, f'{text}; lower train_dataloader.batch_size')]))
    elif size > number:
        facts.add(iter([Finding(Level.NOTE, f'train: a batch of {size}, but only {counted(number, "image")}')]))


def _check_model(model: Any, loader: DataLoader, loop: str) -> None:
    """Raise if the classes that the config of a model states are not those of a dataset."""
    names = getattr(loader.dataset, 'metainfo', {}).get('classes')
    if not isinstance(model, Mapping) or names is None:
        return
    what = f'{type(loader.dataset).__name__} of {loop}_dataloader'
    head = model.get('decode_head')
    number = head.get('num_classes') if isinstance(head, Mapping) else None
    if isinstance(number, int):
        check_number_of_classes(number, names, what)
    listed = model.get('class_names')
    if isinstance(listed, (list, tuple)):
        try:
            check_class_names(listed, names, what)
        except ValueError as error:
            raise ConfigError(str(error)) from None


def check_number_of_classes(number: int, names: Sequence[str], what: str) -> None:
    """Check that the decode head of a segmentor has ``number`` classes, one for each of a dataset's ``names``.

    Raises:
        ConfigError: it has not; the message names the dataset as ``what``.
    """
    if number != len(names):
        raise ConfigError(f'model.decode_head.num_classes={number}, but {what} has {len(names)} classes')
