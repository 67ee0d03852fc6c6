"""Hooks of the runner."""

from vlprompt.engine.hooks.class_names import ClassNamesHook
from vlprompt.engine.hooks.data_check import DataCheckHook
from vlprompt.engine.hooks.detection_images import DetectionImageHook
from vlprompt.engine.hooks.frozen_features import FrozenFeatureHook
from vlprompt.engine.hooks.iteration_seed import IterationSeedHook
from vlprompt.engine.hooks.long_tailed import ClassCountHook, PromptUsageHook, StreamWeightHook
from vlprompt.engine.hooks.prediction_images import PredictionImageHook
from vlprompt.engine.hooks.segmentation_images import SegmentationImageHook

__all__ = [
    'ClassCountHook',
    'ClassNamesHook',
    'DataCheckHook',
    'DetectionImageHook',
    'FrozenFeatureHook',
    'IterationSeedHook',
    'PredictionImageHook',
    'PromptUsageHook',
    'SegmentationImageHook',
    'StreamWeightHook',
]
