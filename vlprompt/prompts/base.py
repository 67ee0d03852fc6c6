"""Interfaces of prompts: text prompts, and tokens of the image tower."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn

from vlprompt.clip.features import ClipFeatures
from vlprompt.clip.text.encoder import TextEncoder
from vlprompt.clip.text.tokens import PromptTokens
from vlprompt.clip.visual_prompts import VisualTokens


def readable(name: str) -> str:
    """A class name for a prompt: underscores become spaces."""
    return name.replace('_', ' ')


class TextPrompt(nn.Module):
    """P prompts for each of K classes; subclasses define their composition.

    ``prompt(text)`` returns the :class:`PromptTokens`, with frozen words looked up in the tower's token embedding,
    and ``prompt.encode(text)`` the features of all of them.  The classes are given at construction and can be
    changed by :meth:`set_class_names` if no learned tensor belongs to a class.

    A conditional prompt is made for each image: it sets ``needs_image``, and ``prompt.encode(text, features)``
    gives features (B, P, K, D), which are never cached.
    """

    needs_image: bool = False
    """Whether :meth:`encode` must be given the features of the images."""
    class_names: tuple[str, ...]
    n_prompts: int

    def set_class_names(self, class_names: Sequence[str]) -> None:
        """Set other classes, keeping the learned tensors.

        Args:
            class_names: K names; underscores are read as spaces.

        Raises:
            ValueError: a class name does not fit the context length, or a learned tensor belongs to classes.
        """
        raise NotImplementedError(f'{type(self).__name__} must define set_class_names()')

    def forward(self, text: TextEncoder) -> PromptTokens:
        """P prompts of K classes as input of the text tower."""
        raise NotImplementedError(f'{type(self).__name__} must define forward()')

    def encode(self, text: TextEncoder, features: ClipFeatures | None = None, reference: bool = False) -> Tensor:
        """Text features in the joint space, not normalised.

        Args:
            text: the text tower.
            features: of B images, not normalised; only a prompt that ``needs_image`` reads them.
            reference: use the tower's path over all positions.

        Returns:
            (P, K, D), the same for all images; (B, P, K, D) if the prompt ``needs_image``.
        """
        return text(self(text), reference=reference)


class ImagePrompt(nn.Module):
    """Learned tokens of the image tower, defined by subclasses.

    It is built with ``width``, ``layers`` and ``patch_size`` of the tower, and ``prompt()`` returns the
    :class:`VisualTokens`.  A coupled prompt sets ``needs_text``: it is also built with the text prompt, as ``prompt``,
    and called with it.
    """

    needs_text: bool = False
    """Whether it is built and called with the text prompt."""

    def forward(self, prompt: TextPrompt | None = None) -> VisualTokens:
        """Tokens by block; ``prompt`` is the text prompt if it ``needs_text``."""
        raise NotImplementedError(f'{type(self).__name__} must define forward()')
