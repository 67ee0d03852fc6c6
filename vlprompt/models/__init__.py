"""Task models: thin glue between the towers, prompts and alignments and mmengine's training.

Models for dense prediction extend mmseg or mmdet and are in ``segmentors`` and ``detectors``, which configs name in
``custom_imports``; their common parts are imported here and need neither.
"""

from vlprompt.models.backbones import AttentionPooledTrunk, ClipTrunk
from vlprompt.models.classifiers import (
    FeatureClassifier,
    HeadClassifier,
    SelfRegulatedClassifier,
    TextClassifier,
)
from vlprompt.models.decoders import ContextDecoder
from vlprompt.models.dense import PixelTextMatching, TextGuidedBackbone
from vlprompt.models.freezing import select_frozen, select_trainable
from vlprompt.models.heads import CosineHead, LinearHead
from vlprompt.models.losses import (
    AGCLLoss,
    BoxTextLoss,
    DualStreamLoss,
    LogitAdjustedLoss,
    PixelTextLoss,
    VarietyLoss,
)
from vlprompt.models.preprocessors import ClipPreprocessor
from vlprompt.models.reid import CachedFeaturePreprocessor, IdentityPromptLearner, ReIdentifier
from vlprompt.models.tta import CropTTAModel, FlipTTAModel
from vlprompt.models.tuners import AdaptFormer, GroupedPromptTuner, PromptTuner, Tuner

__all__ = [
    'AGCLLoss',
    'AdaptFormer',
    'AttentionPooledTrunk',
    'BoxTextLoss',
    'CachedFeaturePreprocessor',
    'ClipPreprocessor',
    'ClipTrunk',
    'ContextDecoder',
    'CosineHead',
    'CropTTAModel',
    'DualStreamLoss',
    'FeatureClassifier',
    'FlipTTAModel',
    'GroupedPromptTuner',
    'HeadClassifier',
    'IdentityPromptLearner',
    'LinearHead',
    'LogitAdjustedLoss',
    'PixelTextLoss',
    'PixelTextMatching',
    'PromptTuner',
    'ReIdentifier',
    'SelfRegulatedClassifier',
    'TextClassifier',
    'TextGuidedBackbone',
    'Tuner',
    'VarietyLoss',
    'select_frozen',
    'select_trainable',
]
