"""Detectors on mmdet.  Importing this package imports mmdet, so configs that need it name it in ``custom_imports``."""

from vlprompt.models.detectors.denseclip import DenseCLIPSingleStage, DenseCLIPTwoStage

__all__ = ['DenseCLIPSingleStage', 'DenseCLIPTwoStage']
