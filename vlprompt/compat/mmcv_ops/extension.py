"""The stand-in module for ``mmcv._ext``: the ops of common detectors, errors for the others.

Imported under the name ``mmcv._ext``. ``mmcv.ops`` requires every op to be an attribute when it is imported, but calls
ops only when a model needs them, so missing ones raise late.
"""

from collections.abc import Callable
from typing import Any, NoReturn

from vlprompt.compat.mmcv_ops.focal_loss import sigmoid_focal_loss_backward, sigmoid_focal_loss_forward
from vlprompt.compat.mmcv_ops.install import PROVIDED
from vlprompt.compat.mmcv_ops.nms import nms, softnms
from vlprompt.compat.mmcv_ops.roi_align import roi_align_backward, roi_align_forward
from vlprompt.errors import EnvironmentProblem

__all__ = [
    'MissingOpError',
    'get_compiler_version',
    'get_compiling_cuda_version',
    'nms',
    'roi_align_backward',
    'roi_align_forward',
    'sigmoid_focal_loss_backward',
    'sigmoid_focal_loss_forward',
    'softnms',
]


class MissingOpError(EnvironmentProblem, NotImplementedError):
    """A called op exists only in a compiled mmcv; the message says how to compile it."""


def get_compiler_version() -> str:
    """For mmcv's and mmdet's environment reports."""
    return 'n/a'


def get_compiling_cuda_version() -> str:
    """For mmcv's and mmdet's environment reports."""
    return 'not available'


def __getattr__(name: str) -> Callable[..., NoReturn]:
    if name.startswith('_'):
        raise AttributeError(f'module {__name__!r} has no attribute {name!r}')

    def missing(*_: Any, **__: Any) -> NoReturn:
        raise MissingOpError(
            f"mmcv was installed without compiled ops, and vlprompt's stand-in has no '{name}' (it has "
            f'{", ".join(PROVIDED)}). Compile mmcv where torch is installed, with a C++ compiler (and FORCE_CUDA=1 '
            'for GPUs on a machine that has none); it takes a quarter of an hour or more:\n'
            '  pip install ninja setuptools wheel packaging\n'
            '  pip install --force-reinstall --no-deps --no-cache-dir --no-build-isolation onedl-mmcv'
        )

    missing.__name__ = missing.__qualname__ = name
    return missing
