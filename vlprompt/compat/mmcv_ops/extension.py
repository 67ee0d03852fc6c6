"""The stand-in module for ``mmcv._ext``: the ops of mmdet's and mmseg's models, errors for the others.

Imported under the name ``mmcv._ext``. ``mmcv.ops`` requires every op to be an attribute when it is imported, but calls
ops only when a model needs them, so missing ones raise late.
"""

from collections.abc import Callable
from typing import Any, NoReturn

from vlprompt.compat.mmcv_ops.boxes import bbox_overlaps
from vlprompt.compat.mmcv_ops.carafe import carafe_backward, carafe_forward, carafe_naive_backward, carafe_naive_forward
from vlprompt.compat.mmcv_ops.deform_conv import (
    deform_conv_backward_input,
    deform_conv_backward_parameters,
    deform_conv_forward,
    modulated_deform_conv_backward,
    modulated_deform_conv_forward,
)
from vlprompt.compat.mmcv_ops.deform_roi_pool import deform_roi_pool_backward, deform_roi_pool_forward
from vlprompt.compat.mmcv_ops.focal_loss import (
    sigmoid_focal_loss_backward,
    sigmoid_focal_loss_forward,
    softmax_focal_loss_backward,
    softmax_focal_loss_forward,
)
from vlprompt.compat.mmcv_ops.install import OPS
from vlprompt.compat.mmcv_ops.masked_conv import masked_col2im_forward, masked_im2col_forward
from vlprompt.compat.mmcv_ops.ms_deform_attn import ms_deform_attn_backward, ms_deform_attn_forward
from vlprompt.compat.mmcv_ops.nms import nms, nms_match, softnms
from vlprompt.compat.mmcv_ops.psa_mask import psamask_backward, psamask_forward
from vlprompt.compat.mmcv_ops.roi_align import roi_align_backward, roi_align_forward
from vlprompt.compat.mmcv_ops.roi_pool import roi_pool_backward, roi_pool_forward
from vlprompt.compat.mmcv_ops.sync_bn import (
    sync_bn_backward_data,
    sync_bn_backward_param,
    sync_bn_forward_mean,
    sync_bn_forward_output,
    sync_bn_forward_var,
)
from vlprompt.errors import EnvironmentProblem

__all__ = [
    'MissingOpError',
    'bbox_overlaps',
    'carafe_backward',
    'carafe_forward',
    'carafe_naive_backward',
    'carafe_naive_forward',
    'deform_conv_backward_input',
    'deform_conv_backward_parameters',
    'deform_conv_forward',
    'deform_roi_pool_backward',
    'deform_roi_pool_forward',
    'get_compiler_version',
    'get_compiling_cuda_version',
    'masked_col2im_forward',
    'masked_im2col_forward',
    'modulated_deform_conv_backward',
    'modulated_deform_conv_forward',
    'ms_deform_attn_backward',
    'ms_deform_attn_forward',
    'nms',
    'nms_match',
    'psamask_backward',
    'psamask_forward',
    'roi_align_backward',
    'roi_align_forward',
    'roi_pool_backward',
    'roi_pool_forward',
    'sigmoid_focal_loss_backward',
    'sigmoid_focal_loss_forward',
    'softmax_focal_loss_backward',
    'softmax_focal_loss_forward',
    'softnms',
    'sync_bn_backward_data',
    'sync_bn_backward_param',
    'sync_bn_forward_mean',
    'sync_bn_forward_output',
    'sync_bn_forward_var',
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
            f'{", ".join(OPS)}). Compile mmcv where torch is installed, with a C++ compiler (and FORCE_CUDA=1 '
            'for GPUs on a machine that has none); it takes a quarter of an hour or more:\n'
            '  pip install ninja setuptools wheel packaging\n'
            '  pip install --force-reinstall --no-deps --no-cache-dir --no-build-isolation onedl-mmcv'
        )

    missing.__name__ = missing.__qualname__ = name
    return missing
