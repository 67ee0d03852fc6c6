"""Using models from Python."""

from vlprompt.compat.environment import check_environment

check_environment()  # before anything imports torchvision or an mm package

from vlprompt.apis.init_model import init_model  # noqa: E402
from vlprompt.apis.retrieval import (  # noqa: E402
    ImageList,
    RetrievalIndex,
    describe_images,
    find_images,
    stack_descriptors,
)

__all__ = [
    'ImageList',
    'RetrievalIndex',
    'describe_images',
    'find_images',
    'init_model',
    'stack_descriptors',
]
