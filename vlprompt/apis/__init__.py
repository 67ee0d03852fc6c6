"""Using models from Python, and the command lines of the tools.

Names are imported on first use, so that a tool can parse its arguments before torch is loaded.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from vlprompt.apis.adapters import from_pretrained, push_to_hub, save_pretrained
    from vlprompt.apis.gallery import GalleryIndex
    from vlprompt.apis.inference import (
        ImageFiles,
        load_files,
        predict_dataset,
        predict_each,
        predict_images,
    )
    from vlprompt.apis.inferencers.base import Inferencer
    from vlprompt.apis.inferencers.build import init_inferencer
    from vlprompt.apis.inferencers.classification import ClassificationInferencer
    from vlprompt.apis.inferencers.detection import DetectionInferencer
    from vlprompt.apis.inferencers.prediction import Prediction
    from vlprompt.apis.inferencers.reid import ReIDInferencer
    from vlprompt.apis.inferencers.segmentation import SegmentationInferencer
    from vlprompt.apis.model import init_model, model_from
    from vlprompt.apis.retrieval import describe_images, person_files, retrieval_metric, stack_descriptors
    from vlprompt.datasets.images import find_images
    from vlprompt.engine.adapters import builtin_adapters
    from vlprompt.engine.config_files import find_config, list_configs

_HOMES = {
    'ClassificationInferencer': 'vlprompt.apis.inferencers.classification',
    'DetectionInferencer': 'vlprompt.apis.inferencers.detection',
    'GalleryIndex': 'vlprompt.apis.gallery',
    'ImageFiles': 'vlprompt.apis.inference',
    'Inferencer': 'vlprompt.apis.inferencers.base',
    'Prediction': 'vlprompt.apis.inferencers.prediction',
    'ReIDInferencer': 'vlprompt.apis.inferencers.reid',
    'SegmentationInferencer': 'vlprompt.apis.inferencers.segmentation',
    'builtin_adapters': 'vlprompt.engine.adapters',
    'describe_images': 'vlprompt.apis.retrieval',
    'find_config': 'vlprompt.engine.config_files',
    'find_images': 'vlprompt.datasets.images',
    'from_pretrained': 'vlprompt.apis.adapters',
    'init_inferencer': 'vlprompt.apis.inferencers.build',
    'init_model': 'vlprompt.apis.model',
    'list_configs': 'vlprompt.engine.config_files',
    'load_files': 'vlprompt.apis.inference',
    'model_from': 'vlprompt.apis.model',
    'person_files': 'vlprompt.apis.retrieval',
    'predict_dataset': 'vlprompt.apis.inference',
    'predict_each': 'vlprompt.apis.inference',
    'predict_images': 'vlprompt.apis.inference',
    'push_to_hub': 'vlprompt.apis.adapters',
    'save_pretrained': 'vlprompt.apis.adapters',
    'retrieval_metric': 'vlprompt.apis.retrieval',
    'stack_descriptors': 'vlprompt.apis.retrieval',
}

__all__ = [
    'ClassificationInferencer',
    'DetectionInferencer',
    'GalleryIndex',
    'ImageFiles',
    'Inferencer',
    'Prediction',
    'ReIDInferencer',
    'SegmentationInferencer',
    'builtin_adapters',
    'describe_images',
    'find_config',
    'find_images',
    'from_pretrained',
    'init_inferencer',
    'init_model',
    'list_configs',
    'load_files',
    'model_from',
    'person_files',
    'predict_dataset',
    'predict_each',
    'predict_images',
    'push_to_hub',
    'retrieval_metric',
    'save_pretrained',
    'stack_descriptors',
]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f'module {__name__!r} has no attribute {name!r}')
    from vlprompt.compat.environment import check_environment

    check_environment()  # before anything imports torchvision or an mm package
    globals()[name] = value = getattr(import_module(_HOMES[name]), name)
    return value
