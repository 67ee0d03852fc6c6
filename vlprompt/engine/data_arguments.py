"""Model arguments that follow the data, such as class names or the number of identities.

A model class lists them in ``data_arguments``; they are constructor arguments and attributes of the same name.  Those
that a config leaves out are added when the model is built:

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
    given = {*model} | ({'num_classes'} if model.get('class_names') else set())
    return [name for name in getattr(target, 'data_arguments', ()) if name not in given]


def completed(model: Mapping[str, Any], missing: list[str], known: Mapping[str, Any]) -> dict[str, Any]:
    """The config of a model with the missing arguments added, None for those that are not ``known``."""
    return {**model, **{name: known.get(name) for name in missing}}


def arguments_of_data(metainfo: Mapping[str, Any]) -> dict[str, Any]:
    """The data arguments in the ``metainfo`` of a dataset; names and number of classes come from ``classes``."""
    known = dict(metainfo)
    if metainfo.get('classes') is not None:
        known['class_names'] = list(metainfo['classes'])
        known.setdefault('num_classes', len(metainfo['classes']))
    return known


def arguments_of_checkpoint(content: Mapping[str, Any] | None) -> dict[str, Any]:
    """The data arguments that a checkpoint states, except class names; empty if it states none."""
    about = ((content or {}).get('meta') or {}).get('vlprompt') or {}
    return dict(about.get('data_arguments') or {})


def arguments_of_model(model: nn.Module) -> dict[str, Any]:
    """A model's data arguments for its checkpoint; class names have their own entry."""
    names = (name for name in getattr(model, 'data_arguments', ()) if name != 'class_names')
    return {name: getattr(model, name) for name in names}


def names_of_config(cfg: Config) -> list[str]:
    """Class names of the dataset that a config tests on: the shipped list of a dataset known by name, else the data's.

    Raises:
        ConfigError: a dataset of which no list is shipped, and whose files are not there either.
    """
    loaders = [cfg.get(f'{name}_dataloader') for name in ('test', 'val', 'train')]
    dataset = next((loader['dataset'] for loader in loaders if loader), None)
    reason = 'the config has no dataset'
    if dataset is not None:
        inner = dataset
        while isinstance(inner.get('dataset'), Mapping):  # a wrapper
            inner = inner['dataset']
        try:
            if isinstance(inner.get('dataset'), str):
                return resolve_class_names(f'{inner["dataset"]}:{inner.get("subset", "all")}')
        except ValueError:
            pass  # no list of this dataset is shipped
        try:
            names = DATASETS.build(copy.deepcopy(dataset)).metainfo.get('classes')
            if names is not None:
                return list(names)
            reason = f'{inner["type"]} does not tell any'
        except (OSError, ValueError) as error:
            reason = str(error)
    raise ConfigError(
        f'the model needs class names ({reason}): give class_names=[...] (--class-names), set model.class_names in the '
        'config, or load a checkpoint that holds them'
    )
