"""The description of a run in its checkpoints."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

import mmengine
from mmengine.runner import Runner
from torch import nn

from vlprompt.engine.checkpoint import describe_model, to_plain_values
from vlprompt.version import __version__


def describe_run(runner: Runner, model: nn.Module, config: str, progress: Mapping[str, Any]) -> dict[str, Any]:
    """The ``meta`` entry of a checkpoint, made of plain values.

    Args:
        runner: of the training.
        model: its model, without the wrapper for distributed training.
        config: its config as Python code.
        progress: epoch, iteration and whatever else the caller records.
    """
    about = describe_model(model)
    dataset_meta = dict(getattr(runner.train_dataloader.dataset, 'metainfo', {}))
    if about['class_names'] is not None:
        dataset_meta.pop('classes', None)  # a thousand names are stored once
    return to_plain_values(
        dict(
            progress,
            cfg=config,
            seed=runner.seed,
            experiment_name=runner.experiment_name,
            phase=runner.cfg.get('phase'),
            time=time.strftime('%Y%m%d_%H%M%S', time.localtime()),
            mmengine_version=mmengine.__version__,
            vlprompt_version=__version__,
            dataset_meta=dataset_meta,
            vlprompt=about,
        )
    )
