from vlprompt.models.classifiers.prompt_classifier import PromptClassifier

__all__ = ['PromptClassifier']
