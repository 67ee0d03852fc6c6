"""Running experiments: the runner and its checkpoints, hooks, optimizer constructor and schedules."""

from vlprompt.engine.amp import AmpOptimWrapper
from vlprompt.engine.checkpoint import load_trained, read_checkpoint
from vlprompt.engine.config import check_config, load_config
from vlprompt.engine.feature_loop import FeatureTrainLoop
from vlprompt.engine.hooks import (
    DataHook,
    DetectionImageHook,
    IterationSeedHook,
    PredictionImageHook,
    ProgressHook,
    PromptUsageHook,
    SegmentationImageHook,
    StartFromFeaturesHook,
)
from vlprompt.engine.log_processor import PromptLogProcessor
from vlprompt.engine.mmcv_schedulers import WarmupPolyLR, WarmupStepLR
from vlprompt.engine.optimizer import PatternOptimWrapperConstructor
from vlprompt.engine.runner import PromptRunner
from vlprompt.engine.schedulers import EpochWarmupStepLR, LinearWarmupCosineLR, WarmupCosineLR

__all__ = [
    'AmpOptimWrapper',
    'DataHook',
    'DetectionImageHook',
    'EpochWarmupStepLR',
    'FeatureTrainLoop',
    'IterationSeedHook',
    'LinearWarmupCosineLR',
    'PatternOptimWrapperConstructor',
    'PredictionImageHook',
    'ProgressHook',
    'PromptLogProcessor',
    'PromptRunner',
    'PromptUsageHook',
    'SegmentationImageHook',
    'StartFromFeaturesHook',
    'WarmupCosineLR',
    'WarmupPolyLR',
    'WarmupStepLR',
    'check_config',
    'load_config',
    'load_trained',
    'read_checkpoint',
]
