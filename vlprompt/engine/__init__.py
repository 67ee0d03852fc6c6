"""Running experiments: the runner and its checkpoints, hooks, optimizer constructor and schedules."""

from vlprompt.compat.messages import silence_untrue
from vlprompt.compat.pretrained import read_pretrained_safely
from vlprompt.compat.repeated_work import do_repeated_work_once
from vlprompt.engine.checkpoint import load_trained, read_checkpoint
from vlprompt.engine.config import load_config
from vlprompt.engine.config_check import check_config
from vlprompt.engine.config_files import find_config, list_configs
from vlprompt.engine.feature_loop import FeatureTrainLoop
from vlprompt.engine.feature_test import FeatureTestLoop
from vlprompt.engine.fit_loop import FitLoop
from vlprompt.engine.hooks import (
    CheckpointHook,
    DataHook,
    DetectionImageHook,
    IterationSeedHook,
    NonFiniteHook,
    PredictionImageHook,
    ProgressHook,
    PromptUsageHook,
    ResumeHook,
    RuntimeInfoHook,
    SegmentationImageHook,
    StartFromFeaturesHook,
)
from vlprompt.engine.log_processor import PromptLogProcessor
from vlprompt.engine.loops import EpochTrainLoop, StepTrainLoop
from vlprompt.engine.optimizer import AutocastOptimWrapper, NothingToOptimize, PatternOptimWrapperConstructor
from vlprompt.engine.runner import PromptRunner
from vlprompt.engine.schedules import (
    EpochWarmupStepLR,
    LinearWarmupCosineLR,
    WarmupCosineLR,
    WarmupPolyLR,
    WarmupStepLR,
    follow_training_length,
)
from vlprompt.engine.visualizer import Visualizer

read_pretrained_safely()
do_repeated_work_once()
silence_untrue()  # runs and tools import this package before mmseg or mmdet

__all__ = [
    'AutocastOptimWrapper',
    'CheckpointHook',
    'DataHook',
    'DetectionImageHook',
    'EpochTrainLoop',
    'EpochWarmupStepLR',
    'FeatureTestLoop',
    'FeatureTrainLoop',
    'FitLoop',
    'IterationSeedHook',
    'LinearWarmupCosineLR',
    'NonFiniteHook',
    'NothingToOptimize',
    'PatternOptimWrapperConstructor',
    'PredictionImageHook',
    'ProgressHook',
    'PromptLogProcessor',
    'PromptRunner',
    'PromptUsageHook',
    'ResumeHook',
    'RuntimeInfoHook',
    'SegmentationImageHook',
    'StartFromFeaturesHook',
    'StepTrainLoop',
    'Visualizer',
    'WarmupCosineLR',
    'WarmupPolyLR',
    'WarmupStepLR',
    'check_config',
    'find_config',
    'follow_training_length',
    'list_configs',
    'load_config',
    'load_trained',
    'read_checkpoint',
]
