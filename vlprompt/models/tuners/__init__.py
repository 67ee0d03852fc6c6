"""Tuners: learned parts between the images and the class feature of a vision transformer, one kind per file."""

from vlprompt.models.tuners.adaptformer import AdaptFormer
from vlprompt.models.tuners.base import Terms, Tuner, class_feature
from vlprompt.models.tuners.prompts import GroupedPromptTuner, PromptTuner

__all__ = ['AdaptFormer', 'GroupedPromptTuner', 'PromptTuner', 'Terms', 'Tuner', 'class_feature']
