"""Using models from Python, and the command lines of the tools.

Names are imported on first use, so that a tool can parse its arguments before torch is loaded.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from vlprompt.apis.inference import ImageFiles, load_files, predict_dataset, predict_images, predict_sound
    from vlprompt.apis.model import init_model, model_from
    from vlprompt.apis.retrieval import RetrievalIndex, describe_images, person_files, stack_descriptors
    from vlprompt.datasets.images import find_images
    from vlprompt.engine.config_files import find_config, list_configs

_HOMES = {
    'ImageFiles': 'vlprompt.apis.inference',
    'RetrievalIndex': 'vlprompt.apis.retrieval',
    'describe_images': 'vlprompt.apis.retrieval',
    'find_config': 'vlprompt.engine.config_files',
    'find_images': 'vlprompt.datasets.images',
    'init_model': 'vlprompt.apis.model',
    'list_configs': 'vlprompt.engine.config_files',
    'load_files': 'vlprompt.apis.inference',
    'model_from': 'vlprompt.apis.model',
    'person_files': 'vlprompt.apis.retrieval',
    'predict_dataset': 'vlprompt.apis.inference',
    'predict_images': 'vlprompt.apis.inference',
    'predict_sound': 'vlprompt.apis.inference',
    'stack_descriptors': 'vlprompt.apis.retrieval',
}

__all__ = [
    'ImageFiles',
    'RetrievalIndex',
    'describe_images',
    'find_config',
    'find_images',
    'init_model',
    'list_configs',
    'load_files',
    'model_from',
    'person_files',
    'predict_dataset',
    'predict_images',
    'predict_sound',
    'stack_descriptors',
]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f'module {__name__!r} has no attribute {name!r}')
    from vlprompt.compat.environment import check_environment

    check_environment()  # before anything imports torchvision or an mm package
    globals()[name] = value = getattr(import_module(_HOMES[name]), name)
    return value
