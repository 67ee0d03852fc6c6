"""What is learned at the input of the towers, one idea a file."""

from vlprompt.prompts.base import TextPrompt, readable
from vlprompt.prompts.context import ContextPrompt
from vlprompt.prompts.identity import IdentityPrompt
from vlprompt.prompts.pool import PromptPool
from vlprompt.prompts.template import TemplatePrompt
from vlprompt.prompts.visual import VisualPrompt

__all__ = ['ContextPrompt', 'IdentityPrompt', 'PromptPool', 'TemplatePrompt', 'TextPrompt', 'VisualPrompt', 'readable']
