"""Using models from Python."""

from vlprompt.compat.environment import check_environment

check_environment()  # before anything imports torchvision or an mm package

from vlprompt.apis.inference import (  # noqa: E402
    ImageFiles,
    load_files,
    predict_dataset,
    predict_images,
)
from vlprompt.apis.init_model import init_model, model_from  # noqa: E402
from vlprompt.apis.retrieval import RetrievalIndex, describe_images, person_files, stack_descriptors  # noqa: E402
from vlprompt.datasets.images import find_images  # noqa: E402

__all__ = [
    'ImageFiles',
    'RetrievalIndex',
    'describe_images',
    'find_images',
    'init_model',
    'load_files',
    'model_from',
    'person_files',
    'predict_dataset',
    'predict_images',
    'stack_descriptors',
]
