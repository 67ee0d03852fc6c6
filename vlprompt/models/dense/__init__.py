"""Pixel-text matching for dense prediction; imports neither mmseg nor mmdet, so both kinds of model are built on it."""

from vlprompt.models.dense.backbone import TextGuidedBackbone
from vlprompt.models.dense.matching import PixelText, PixelTextMatching
from vlprompt.models.dense.model import TextGuidedModel
from vlprompt.models.dense.score_concat import ScoreConcat

__all__ = ['PixelText', 'PixelTextMatching', 'ScoreConcat', 'TextGuidedBackbone', 'TextGuidedModel']
