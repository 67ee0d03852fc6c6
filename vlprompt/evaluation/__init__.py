"""Evaluation: accuracy, also by number of training images, retrieval metrics, mean and spread over seeds."""

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
