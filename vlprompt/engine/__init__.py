"""Running experiments: the runner and its checkpoints, hooks, optimizer constructor and schedules."""

from vlprompt.engine.amp import AmpOptimWrapper
from vlprompt.engine.checkpoint import CheckpointError, load_trained, read_checkpoint
from vlprompt.engine.config import ConfigError, check_config, load_config
from vlprompt.engine.feature_loop import FeatureTrainLoop
from vlprompt.engine.hooks import (
    ClassCountHook,
    DataCheckHook,
    DetectionImageHook,
    FrozenFeatureHook,
    IterationSeedHook,
    PredictionImageHook,
    PromptUsageHook,
    SegmentationImageHook,
    StreamWeightHook,
)
from vlprompt.engine.log_processor import PromptLogProcessor
from vlprompt.engine.mmcv_schedulers import WarmupPolyLR, WarmupStepLR
from vlprompt.engine.optimizer import PatternOptimWrapperConstructor
from vlprompt.engine.runner import PromptRunner
from vlprompt.engine.schedulers import EpochWarmupStepLR, LinearWarmupCosineLR, WarmupCosineLR
from vlprompt.engine.trainable import select_frozen, select_trainable
from vlprompt.engine.tta import FlipTTAModel

__all__ = [
    'AmpOptimWrapper',
    'CheckpointError',
    'ClassCountHook',
    'ConfigError',
    'DataCheckHook',
    'DetectionImageHook',
    'EpochWarmupStepLR',
    'FeatureTrainLoop',
    'FlipTTAModel',
    'FrozenFeatureHook',
    'IterationSeedHook',
    'LinearWarmupCosineLR',
    'PatternOptimWrapperConstructor',
    'PredictionImageHook',
    'PromptLogProcessor',
    'PromptRunner',
    'PromptUsageHook',
    'SegmentationImageHook',
    'StreamWeightHook',
    'WarmupCosineLR',
    'WarmupPolyLR',
    'WarmupStepLR',
    'check_config',
    'load_config',
    'load_trained',
    'read_checkpoint',
    'select_frozen',
    'select_trainable',
]
