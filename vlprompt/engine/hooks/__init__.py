"""Hooks of the runner."""

from vlprompt.engine.hooks.iteration_seed import IterationSeedHook
from vlprompt.engine.hooks.prediction_images import PredictionImageHook

__all__ = ['IterationSeedHook', 'PredictionImageHook']
