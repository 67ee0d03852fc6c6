"""Hooks of the runner."""

from vlprompt.engine.hooks.data import DataHook, ProgressHook
from vlprompt.engine.hooks.images import DetectionImageHook, PredictionImageHook, SegmentationImageHook
from vlprompt.engine.hooks.iteration_seed import IterationSeedHook
from vlprompt.engine.hooks.prompt_usage import PromptUsageHook
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
