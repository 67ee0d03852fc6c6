"""Segmentors on mmseg.  Importing this package imports mmseg, so configs that need it name it in ``custom_imports``."""

from vlprompt.models.segmentors.clip_segmentor import ClipSegmentor
from vlprompt.models.segmentors.decode_heads import FCNHead, FPNHead, UPerHead
from vlprompt.models.segmentors.denseclip import DenseCLIP
from vlprompt.models.segmentors.open_denseclip import OpenDenseCLIP, TextFPNHead
from vlprompt.models.segmentors.preprocessor import SegPreprocessor

__all__ = [
    'ClipSegmentor',
    'DenseCLIP',
    'FCNHead',
    'FPNHead',
    'OpenDenseCLIP',
    'SegPreprocessor',
    'TextFPNHead',
    'UPerHead',
]
