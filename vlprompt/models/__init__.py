"""Task models: thin glue between the towers, prompts and alignments and mmengine's training."""

from vlprompt.models.classifiers import PromptClassifier
from vlprompt.models.losses import VarietyLoss
from vlprompt.models.preprocessors import ClipPreprocessor

__all__ = ['ClipPreprocessor', 'PromptClassifier', 'VarietyLoss']
