"""Model arguments that the training data, or a checkpoint, decide, such as the number of identities.

A model class lists them in ``data_arguments``; they are constructor arguments and attributes of the same name.  Those
that a config leaves out are filled in before the model is built: from the checkpoint it is to be tested with, else from
``metainfo`` of the training data (``num_classes`` is the number of its ``classes``).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from mmengine.config import Config
from mmengine.logging import print_log
from torch import nn

from vlprompt.engine.config_check import resolve
from vlprompt.registry import DATASETS, MODELS


def fill_data_arguments(cfg: Config, checkpoint: Mapping[str, Any] | None = None, use_data: bool = True) -> None:
    """Complete ``cfg.model`` in place; what the checkpoint (or the training data) does not say becomes None.

    Args:
        cfg: a config of one phase.
        checkpoint: to be tested with.
        use_data: without a checkpoint that says anything, build the training data set, if the config has one.
    """
    model = cfg.get('model')
    target = resolve(model['type'], [MODELS], cfg.get('default_scope') or 'mmengine') if model else None
    given = {*model} | ({'num_classes'} if model.get('class_names') else set())  # as many as there are names
    missing = [name for name in getattr(target, 'data_arguments', ()) if name not in given]
    if not missing:
        return
    about = ((checkpoint or {}).get('meta') or {}).get('vlprompt') or {}
    known, source = about.get('data_arguments') or {}, 'checkpoint'
    if not known and use_data and cfg.get('train_dataloader'):
        dataset = cfg.train_dataloader['dataset']
        dataset = DATASETS.build(dataset) if isinstance(dataset, Mapping) else dataset
        known, source = dict(dataset.metainfo), 'training data'
        if 'classes' in known:
            known.setdefault('num_classes', len(known['classes']))
    if known:
        filled = {name: known.get(name) for name in missing}
        model.update(filled)
        print_log(f'From the {source}: ' + ', '.join(f'{k}={v!r}' for k, v in filled.items()), logger='current')


def data_arguments_of(model: nn.Module) -> dict[str, Any]:
    """What a checkpoint has to say about a model's data arguments."""
    return {name: getattr(model, name) for name in getattr(model, 'data_arguments', ())}
