"""Hooks of the runner."""

from vlprompt.engine.hooks.centroid_memory import CentroidMemoryHook
from vlprompt.engine.hooks.checkpoint import CheckpointHook
from vlprompt.engine.hooks.data import DataHook, ProgressHook
from vlprompt.engine.hooks.finite import NonFiniteHook
from vlprompt.engine.hooks.images import DetectionImageHook, PredictionImageHook, SegmentationImageHook
from vlprompt.engine.hooks.iteration_seed import IterationSeedHook
from vlprompt.engine.hooks.memory import MemoryHook
from vlprompt.engine.hooks.prompt_averaging import GaussianAveragingHook
from vlprompt.engine.hooks.prompt_usage import PromptUsageHook
from vlprompt.engine.hooks.resuming import ResumeHook
from vlprompt.engine.hooks.runtime_info import RuntimeInfoHook
from vlprompt.engine.hooks.start_from_features import StartFromFeaturesHook

__all__ = [
    'CentroidMemoryHook',
    'CheckpointHook',
    'DataHook',
    'DetectionImageHook',
    'GaussianAveragingHook',
    'IterationSeedHook',
    'MemoryHook',
    'NonFiniteHook',
    'PredictionImageHook',
    'ProgressHook',
    'PromptUsageHook',
    'ResumeHook',
    'RuntimeInfoHook',
    'SegmentationImageHook',
    'StartFromFeaturesHook',
]
