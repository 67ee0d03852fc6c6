"""Decoders between image and text features; plain torch."""

from vlprompt.models.decoders.context_decoder import ContextDecoder

__all__ = ['ContextDecoder']
