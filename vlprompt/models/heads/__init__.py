"""Task heads."""

from vlprompt.models.heads.classification import CosineHead, LinearHead

__all__ = ['CosineHead', 'LinearHead']
