"""What is learned at the input of the towers, one idea a file."""

from vlprompt.prompts.base import TextPrompt, readable
from vlprompt.prompts.context import ContextPrompt
from vlprompt.prompts.template import TemplatePrompt

__all__ = ['ContextPrompt', 'TemplatePrompt', 'TextPrompt', 'readable']
