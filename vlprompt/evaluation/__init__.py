"""Measuring: accuracy, also of classes with many and few training images, and its mean and spread over seeds."""

from vlprompt.evaluation.accuracy import Accuracy, BaseNewAccuracy, harmonic_mean
from vlprompt.evaluation.ranking import euclidean_rows
from vlprompt.evaluation.retrieval import RetrievalMetric
from vlprompt.evaluation.seeds import Spread, aggregate
from vlprompt.evaluation.shot_accuracy import ShotAccuracy, shot_groups

__all__ = [
    'Accuracy',
    'BaseNewAccuracy',
    'RetrievalMetric',
    'ShotAccuracy',
    'Spread',
    'aggregate',
    'euclidean_rows',
    'harmonic_mean',
    'shot_groups',
]
