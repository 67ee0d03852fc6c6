"""Running experiments: the runner and its checkpoints, hooks, optimizer constructor and schedules."""

from vlprompt.engine.amp import AmpOptimWrapper
from vlprompt.engine.checkpoint import CheckpointError, load_trained, read_checkpoint
from vlprompt.engine.config import ConfigError, check_config, load_config
from vlprompt.engine.hooks import IterationSeedHook, PredictionImageHook, SegmentationImageHook
from vlprompt.engine.log_processor import PromptLogProcessor
from vlprompt.engine.optimizer import PatternOptimWrapperConstructor
from vlprompt.engine.runner import PromptRunner
from vlprompt.engine.schedulers import WarmupCosineLR, WarmupPolyLR, WarmupStepLR
from vlprompt.engine.trainable import select_frozen, select_trainable
from vlprompt.engine.tta import FlipTTAModel

__all__ = [
    'AmpOptimWrapper',
    'CheckpointError',
    'ConfigError',
    'FlipTTAModel',
    'IterationSeedHook',
    'PatternOptimWrapperConstructor',
    'PredictionImageHook',
    'PromptLogProcessor',
    'PromptRunner',
    'SegmentationImageHook',
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
