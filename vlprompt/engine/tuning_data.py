"""Images that choose hyper-parameters: never those of the test set."""

from __future__ import annotations

import copy
import os
import random
from collections.abc import Mapping
from typing import Any, Literal

from mmengine.config import Config
from mmengine.registry import DATASETS
from torch.utils.data import Dataset

from vlprompt.datasets.checks.files import MOST_BYTES, MOST_FILES
from vlprompt.datasets.classification.few_shot_draws import MAX_VAL_SHOTS
from vlprompt.errors import ConfigError
from vlprompt.evaluation.same_files import same_files

Level = Literal['none', 'few', 'shots', 'full']
TuningSplit = Literal['val', 'train']


def plain_images(cfg: Config, **changes: Any) -> Dataset:
    """The training set of a config through the pipeline of its test.

    Args:
        cfg: of the run.
        **changes: other arguments of the dataset.

    Raises:
        ConfigError: there is no test pipeline.
    """
    if cfg.get('test_dataloader') is None:
        raise ConfigError(
            'FitLoop takes images without augmentation through the pipeline of test_dataloader, which the config lacks'
        )
    dataset = copy.deepcopy(cfg.train_dataloader.dataset)
    dataset.update(changes, pipeline=copy.deepcopy(cfg.test_dataloader.dataset.pipeline))
    return DATASETS.build(dataset)


def tuning_images(cfg: Config, shots: Dataset, level: Level, split: TuningSplit) -> Dataset:
    """The images that choose the hyper-parameters of a run, without augmentation.

    Args:
        cfg: of the run.
        shots: its training set.
        level: how many: ``'few'``, min(k, 4) per class for k shots, ``'shots'``, k per class, or ``'full'``, all.
        split: ``'val'``, of which the draws are those of the CoOp family for min(k, 4), or ``'train'``, of which images
            that are among the shots are left out.

    Raises:
        ConfigError: there are none, or one of them is in the test set.
    """
    number = getattr(shots, 'shots', None)
    if level != 'full' and number is None:
        raise ConfigError(
            f'train_cfg.tune={level!r} follows the number of shots, which the training set does not have: set '
            "train_cfg.tune='full' or 'none'"
        )
    per_class = None if level == 'full' else number if level == 'shots' else min(number, MAX_VAL_SHOTS)
    chosen = _of_val(cfg, per_class) if split == 'val' else _of_train(cfg, shots, per_class)
    _refuse_test_images(cfg, chosen, level, split)
    return chosen


def _of_val(cfg: Config, per_class: int | None) -> Dataset:
    changes: Mapping[str, Any] = dict(split='val')
    if 'shots' in cfg.train_dataloader.dataset:
        changes = dict(changes, **({} if per_class else dict(shots=None)), val_shots=per_class)
    try:
        return plain_images(cfg, **changes)
    except (OSError, ValueError) as error:
        if isinstance(error, ConfigError):
            raise
        raise ConfigError(
            'train_cfg.tune chooses hyper-parameters on the validation split, which cannot be read: '
            f"{str(error).rstrip('.')}. If there is none, set train_cfg.tune='none', or train_cfg.tuning_split='train' "
            'for images that are not among the shots'
        ) from error


def _of_train(cfg: Config, shots: Dataset, per_class: int | None) -> Dataset:
    """Training images that are not among the shots, ``per_class`` of every class, drawn with the seed of the shots."""
    dataset = plain_images(cfg, **({} if getattr(shots, 'shots', None) is None else dict(shots=None)))
    used = {shots.get_data_info(index)['img_path'] for index in range(len(shots))}
    left: dict[int, list[int]] = {}
    for index in range(len(dataset)):
        info = dataset.get_data_info(index)
        if info['img_path'] not in used:
            left.setdefault(info['gt_label'], []).append(index)
    if not left:
        raise ConfigError(
            "train_cfg.tuning_split='train': all training images are used for training, so none is left to choose "
            "hyper-parameters: set train_cfg.tune='none' or fewer shots"
        )
    rng = random.Random(shots.seed)
    chosen = [
        index
        for indices in left.values()
        for index in (indices if per_class is None else rng.sample(indices, min(per_class, len(indices))))
    ]
    dataset.get_subset_(chosen)
    return dataset


def _refuse_test_images(cfg: Config, chosen: Dataset, level: Level, split: TuningSplit) -> None:
    """Raise ConfigError if an image is in the test set, by its path or by its content."""
    test = DATASETS.build(copy.deepcopy(cfg.test_dataloader.dataset))
    paths = [[dataset.get_data_info(index)['img_path'] for index in range(len(dataset))] for dataset in (chosen, test)]
    places = [[os.path.realpath(path) for path in own] for own in paths]
    shared = set(places[0]) & set(places[1])
    name = next((path for path, place in zip(paths[0], places[0], strict=True) if place in shared), None)
    if name is None and len(paths[0]) + len(paths[1]) <= MOST_FILES:
        numbers = same_files(paths[0] + paths[1], [0] * len(paths[0]) + [1] * len(paths[1]), MOST_BYTES).numbers
        tested = set(numbers[len(paths[0]) :].tolist())
        name = next((path for path, n in zip(paths[0], numbers.tolist(), strict=False) if n in tested), None)
    if name is None:
        return
    other = '' if split == 'train' else ", or train_cfg.tuning_split='train' for training images not among the shots"
    raise ConfigError(
        f'train_cfg.tune={level!r} would choose hyper-parameters on images of the test set, such as {name}: the result '
        f"would be no test. Set train_cfg.tune='none'{other}"
    )
