"""Measuring: accuracy, and its mean and spread over seeds."""

from vlprompt.evaluation.accuracy import Accuracy, BaseNewAccuracy, harmonic_mean
from vlprompt.evaluation.seeds import Spread, aggregate

__all__ = ['Accuracy', 'BaseNewAccuracy', 'Spread', 'aggregate', 'harmonic_mean']
