"""Hooks of the runner."""

from vlprompt.engine.hooks.class_names import ClassNamesHook
from vlprompt.engine.hooks.iteration_seed import IterationSeedHook
from vlprompt.engine.hooks.prediction_images import PredictionImageHook
from vlprompt.engine.hooks.segmentation_images import SegmentationImageHook

__all__ = ['ClassNamesHook', 'IterationSeedHook', 'PredictionImageHook', 'SegmentationImageHook']
