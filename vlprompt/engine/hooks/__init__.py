"""Hooks of the runner."""

from vlprompt.engine.hooks.data import DataHook, ProgressHook
from vlprompt.engine.hooks.detection_images import DetectionImageHook
from vlprompt.engine.hooks.iteration_seed import IterationSeedHook
from vlprompt.engine.hooks.prediction_images import PredictionImageHook
from vlprompt.engine.hooks.prompt_usage import PromptUsageHook
from vlprompt.engine.hooks.segmentation_images import SegmentationImageHook
from vlprompt.engine.hooks.start_from_features import StartFromFeaturesHook

__all__ = [
    'DataHook',
    'DetectionImageHook',
    'IterationSeedHook',
    'PredictionImageHook',
    'ProgressHook',
    'PromptUsageHook',
    'SegmentationImageHook',
    'StartFromFeaturesHook',
]
