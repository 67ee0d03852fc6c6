"""Detectors on mmdet.  Importing this package imports mmdet, so configs that need it name it in ``custom_imports``."""

from vlprompt.compat.mmcv_ops import ensure_mmcv_ops

ensure_mmcv_ops()  # before mmdet is imported, which asks for mmcv's operators at once

from vlprompt.models.detectors.denseclip import DenseCLIPSingleStage, DenseCLIPTwoStage  # noqa: E402

__all__ = ['DenseCLIPSingleStage', 'DenseCLIPTwoStage']
