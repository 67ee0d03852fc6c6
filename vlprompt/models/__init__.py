"""Task models: thin glue between the towers, prompts and alignments and mmengine's training.

Models for dense prediction extend mmseg or mmdet and lie in ``segmentors`` and ``detectors``, which configs name in
``custom_imports``; what those two share is imported here and knows neither.
"""

from vlprompt.models.backbones import AttentionPooledTrunk, ClipTrunk
from vlprompt.models.classifiers import PromptClassifier
from vlprompt.models.decoders import ContextDecoder
from vlprompt.models.dense import PixelTextMatching
from vlprompt.models.losses import BoxTextLoss, PixelTextLoss, VarietyLoss
from vlprompt.models.preprocessors import ClipPreprocessor

__all__ = [
    'AttentionPooledTrunk',
    'BoxTextLoss',
    'ClipPreprocessor',
    'ClipTrunk',
    'ContextDecoder',
    'PixelTextLoss',
    'PixelTextMatching',
    'PromptClassifier',
    'VarietyLoss',
]
