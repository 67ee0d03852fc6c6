"""Using models from Python."""

from vlprompt.apis.init_model import init_model

__all__ = ['init_model']
