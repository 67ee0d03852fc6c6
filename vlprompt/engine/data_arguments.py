"""Model arguments that follow the data, such as class names or the number of identities.

A model class lists them in ``data_arguments``; they are constructor arguments and attributes of the same name.  Of
models that list none, such as mmseg's and mmdet's, it is every ``num_classes=None`` in the config.  Those that a config
leaves out, or leaves None, are added when the model is built:

* a runner takes them from the dataset of its own data loader, which is built first
  (:meth:`~vlprompt.engine.PromptRunner.build_model`); for the test of a checkpoint, from the checkpoint;
* :func:`~vlprompt.apis.init_model`, which has no data, takes them from the checkpoint, and class names also from the
  list shipped for the dataset of the config (:func:`names_of_config`).
"""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import Any

from mmengine.config import Config
from torch import nn

from vlprompt.clip.classnames import resolve_class_names
from vlprompt.engine.config_check import resolve
from vlprompt.errors import ConfigError
from vlprompt.registry import DATASETS, MODELS


def missing_arguments(model: Mapping[str, Any], scope: str | None) -> list[str]:
    """The data arguments that the config of a model leaves out; ``num_classes`` follows from given names."""
    target = resolve(model['type'], [MODELS], scope or 'mmengine')
    declared = getattr(target, 'data_arguments', None)
    if declared is None:
        return ['num_classes'] if _counted(model, 0) != model else []
    given = {name for name, value in model.items() if value is not None}
    given |= {'num_classes'} if model.get('class_names') else set()
    return [name for name in declared if name not in given]


def completed(model: Mapping[str, Any], missing: list[str], known: Mapping[str, Any]) -> dict[str, Any]:
    """The config of a model with the missing arguments added, None for those that are not ``known``."""
    counted = _counted(model, known.get('num_classes'))
    if missing == ['num_classes'] and counted != model:
        return counted
    return {**model, **{name: known.get(name) for name in missing}}


def _counted(node: Any, count: int | None) -> Any:
    """``node`` with ``count`` for every ``num_classes`` below it that is None."""
    if isinstance(node, Mapping):
        items = node.items()
        return type(node)({k: count if k == 'num_classes' and v is None else _counted(v, count) for k, v in items})
    return type(node)(_counted(item, count) for item in node) if isinstance(node, (list, tuple)) else node


def arguments_of_data(metainfo: Mapping[str, Any]) -> dict[str, Any]:
    """The data arguments in the ``metainfo`` of a dataset; names and number of classes come from ``classes``."""
    known = dict(metainfo)
    if metainfo.get('classes') is not None:
        known['class_names'] = list(metainfo['classes'])
        known.setdefault('num_classes', len(metainfo['classes']))
    return known


def arguments_of_checkpoint(content: Mapping[str, Any] | None) -> dict[str, Any]:
    """The data arguments stored in a checkpoint, except class names; empty if there are none."""
    meta = (content or {}).get('meta') or {}
    classes = (meta.get('dataset_meta') or {}).get('classes')  # of models that do not keep the names themselves
    counted = {} if classes is None else dict(num_classes=len(classes))
    return counted | dict((meta.get('vlprompt') or {}).get('data_arguments') or {})


def arguments_of_model(model: nn.Module) -> dict[str, Any]:
    """A model's data arguments for its checkpoint; class names have their own entry."""
    names = (name for name in getattr(model, 'data_arguments', ()) if name != 'class_names')
    return {name: getattr(model, name) for name in names}


def shipped_names(cfg: Config) -> list[str] | None:
    """Class names of the dataset that a config tests on, from the lists of this package; None if they lack it."""
    dataset = _unwrapped(_tested_dataset(cfg) or {})
    if not isinstance(dataset.get('dataset'), str):
        return None
    try:
        return resolve_class_names(f'{dataset["dataset"]}:{dataset.get("subset", "all")}')
    except ValueError:  # no list of this dataset is shipped
        return None


def _tested_dataset(cfg: Config) -> Mapping[str, Any] | None:
    loaders = [cfg.get(f'{name}_dataloader') for name in ('test', 'val', 'train')]
    return next((loader['dataset'] for loader in loaders if loader), None)


def _unwrapped(dataset: Mapping[str, Any]) -> Mapping[str, Any]:
    """The dataset inside of wrappers."""
    while isinstance(dataset.get('dataset'), Mapping):
        dataset = dataset['dataset']
    return dataset


def names_of_config(cfg: Config) -> list[str]:
    """Class names of the dataset that a config tests on: the shipped list of a dataset known by name, else the data's.

    Raises:
        ConfigError: a dataset without a shipped list whose files are missing too.
    """
    if (shipped := shipped_names(cfg)) is not None:
        return shipped
    dataset, reason = _tested_dataset(cfg), 'the config has no dataset'
    if dataset is not None:
        try:
            names = DATASETS.build(copy.deepcopy(dataset)).metainfo.get('classes')
            if names is not None:
                return list(names)
            reason = f'{_unwrapped(dataset)["type"]} has none'
        except (OSError, ValueError) as error:
            reason = str(error)
    raise ConfigError(
        f'the model needs class names ({reason}): set model.class_names in the config, load a '
        'checkpoint that holds them, or give class_names=[...] (--class-names) to a model whose classes are text alone'
    )
