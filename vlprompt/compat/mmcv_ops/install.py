"""Make :mod:`~vlprompt.compat.mmcv_ops.extension` importable as ``mmcv._ext`` if there is no compiled module.

Uses only the standard library and imports neither torch nor mmcv, so it costs no time.
"""

from __future__ import annotations

import importlib.util
import platform
import sys
from collections.abc import Sequence
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec, PathFinder
from pathlib import Path
from types import ModuleType

NAME = 'mmcv._ext'
STAND_IN = Path(__file__).with_name('extension.py')
OPS = {
    'nms': ('nms',),
    'soft_nms': ('softnms',),
    'nms_match': ('nms_match',),
    'bbox_overlaps': ('bbox_overlaps',),
    'RoIAlign': ('roi_align_forward', 'roi_align_backward'),
    'RoIPool': ('roi_pool_forward', 'roi_pool_backward'),
    'DeformRoIPool': ('deform_roi_pool_forward', 'deform_roi_pool_backward'),
    'DeformConv2d': ('deform_conv_forward', 'deform_conv_backward_input', 'deform_conv_backward_parameters'),
    'ModulatedDeformConv2d': ('modulated_deform_conv_forward', 'modulated_deform_conv_backward'),
    'MultiScaleDeformableAttention': ('ms_deform_attn_forward', 'ms_deform_attn_backward'),
    'MaskedConv2d': ('masked_im2col_forward', 'masked_col2im_forward'),
    'CARAFE': ('carafe_forward', 'carafe_backward'),
    'CARAFENaive': ('carafe_naive_forward', 'carafe_naive_backward'),
    'PSAMask': ('psamask_forward', 'psamask_backward'),
    'SyncBatchNorm': (
        'sync_bn_forward_mean',
        'sync_bn_forward_var',
        'sync_bn_forward_output',
        'sync_bn_backward_param',
        'sync_bn_backward_data',
    ),
    'sigmoid_focal_loss': ('sigmoid_focal_loss_forward', 'sigmoid_focal_loss_backward'),
    'softmax_focal_loss': ('softmax_focal_loss_forward', 'softmax_focal_loss_backward'),
}
"""What the stand-in has, by names in ``mmcv.ops``, and the functions of ``mmcv._ext`` that each needs."""
PROVIDED = tuple(name for names in OPS.values() for name in names)
"""Every other function raises :class:`~vlprompt.compat.mmcv_ops.extension.MissingOpError`."""


class StandInFinder(MetaPathFinder):
    """Last finder of ``sys.meta_path``: it is asked only for modules that Python has found nowhere else."""

    def find_spec(
        self, fullname: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """Spec of the stand-in for the name ``mmcv._ext``, None for every other name.

        Raises:
            ImportError: mmcv has a compiled extension that this Python cannot load, e.g. one of another version.
        """
        if fullname != NAME:
            return None
        foreign = [str(file) for folder in path or () for file in Path(folder).glob('_ext.*') if is_library(file)]
        if foreign:
            raise ImportError(
                f'the compiled ops of mmcv in {foreign[0]} are not for this Python '
                f'({platform.python_implementation()} {platform.python_version()}, {platform.machine()})',
                name=NAME,
                path=foreign[0],
            )
        return importlib.util.spec_from_file_location(NAME, STAND_IN)


def is_library(file: Path) -> bool:
    """Whether the file is a compiled extension, of whatever Python and platform."""
    return file.suffix in ('.so', '.pyd')


def ensure_mmcv_ops() -> None:
    """Make ``mmcv._ext`` importable, by a stand-in if and only if Python finds no compiled module of that name.

    Lazy: the choice is made when ``mmcv.ops`` is imported. Calling it again changes nothing.
    """
    if not any(isinstance(finder, StandInFinder) for finder in sys.meta_path):
        sys.meta_path.append(StandInFinder())


def mmcv_folders() -> list[str]:
    """Folders of the installed mmcv, without importing it; empty if there is none."""
    spec = importlib.util.find_spec('mmcv')
    return list(spec.submodule_search_locations or ()) if spec else []


def compiled_ops() -> str | None:
    """File of mmcv's own extension, loadable or not; None if mmcv or its ops are missing."""
    folders = mmcv_folders()
    spec = PathFinder.find_spec(NAME, folders)
    if spec is not None:
        return spec.origin
    return next((str(file) for folder in folders for file in Path(folder).glob('_ext.*') if is_library(file)), None)


def ops_in_use() -> str:
    """One line for the log: the source of the ops in ``mmcv.ops``, imported or not."""
    if NAME in sys.modules:
        origin = getattr(sys.modules[NAME], '__file__', None) or repr(sys.modules[NAME])
    elif mmcv_folders():
        origin = compiled_ops() or str(STAND_IN)
    else:
        return 'none, mmcv is not installed'
    if Path(origin) == STAND_IN:
        return f"vlprompt's stand-in on torchvision and torch ({', '.join(OPS)}); mmcv has no compiled ops"
    return f'compiled, {origin}'
