"""Small trained branches inside a frozen trunk."""

from vlprompt.models.adapters.adaptformer import AdaptFormer

__all__ = ['AdaptFormer']
