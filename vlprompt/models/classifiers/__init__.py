from vlprompt.models.classifiers.prompt_classifier import PromptClassifier
from vlprompt.models.classifiers.visual_prompt_classifier import VisualPromptClassifier

__all__ = ['PromptClassifier', 'VisualPromptClassifier']
