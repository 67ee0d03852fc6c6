"""Prompts: learned inputs of the towers, one idea per file."""

from vlprompt.prompts.base import ImagePrompt, TextPrompt, readable
from vlprompt.prompts.class_weights import ClassWeights
from vlprompt.prompts.conditional import ConditionalPrompt
from vlprompt.prompts.context import ContextPrompt
from vlprompt.prompts.coupled import CoupledPrompt
from vlprompt.prompts.identity import IdentityPrompt
from vlprompt.prompts.pool import PromptPool
from vlprompt.prompts.published_context import PublishedContextPrompt
from vlprompt.prompts.template import TemplatePrompt
from vlprompt.prompts.visual import VisualPrompt

__all__ = [
    'ClassWeights',
    'ConditionalPrompt',
    'ContextPrompt',
    'CoupledPrompt',
    'IdentityPrompt',
    'ImagePrompt',
    'PromptPool',
    'PublishedContextPrompt',
    'TemplatePrompt',
    'TextPrompt',
    'VisualPrompt',
    'readable',
]
