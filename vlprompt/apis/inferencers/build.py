"""The inferencer for a model of any task."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from mmengine.config import Config
from torch import nn

from vlprompt.apis.inferencers.base import Inferencer, model_for
from vlprompt.apis.inferencers.class_names import read_names
from vlprompt.apis.inferencers.classification import ClassificationInferencer
from vlprompt.apis.inferencers.detection import DetectionInferencer
from vlprompt.apis.inferencers.reid import ReIDInferencer
from vlprompt.apis.inferencers.segmentation import SegmentationInferencer

INFERENCERS = (ReIDInferencer, SegmentationInferencer, DetectionInferencer, ClassificationInferencer)


def init_inferencer(
    model: nn.Module | str | Path | Config,
    checkpoint: str | Path | None = None,
    *,
    class_names: str | Sequence[str] | None = None,
    cfg_options: Mapping[str, Any] | None = None,
    device: str | torch.device | None = None,
    phase: str | None = None,
    **options: Any,
) -> Inferencer:
    """The inferencer for a model, of the class for its task.

    Args:
        model: a config file, the name of a shipped one, or whatever else an :class:`.Inferencer` takes.
        checkpoint: of the model; None: as it is built.
        class_names: K names, a dataset's name or a text file; None: those that the model knows.
        cfg_options: dotted keys of the config to override.
        device: such as ``'cuda'``; None: the CPU, or that of a model.
        phase: of a config with phases.
        **options: of the task.

    Example:
        >>> infer = init_inferencer('plot/plot_micro-rn', 'work_dirs/plot_micro-rn_scenes_16shot/epoch_25.pth')
        >>> infer('photos', batch_size=8)
    """
    names = None if class_names is None else read_names(class_names)
    built = model_for(model, checkpoint, names, cfg_options, device, phase)
    return inferencer_for(built)(built, class_names=names, **options)


def inferencer_for(model: nn.Module) -> type[Inferencer]:
    """The class for the task of a model."""
    return next(kind for kind in INFERENCERS if kind.fits(model))
