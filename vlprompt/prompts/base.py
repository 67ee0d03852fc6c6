"""What every text prompt offers to a model."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn

from vlprompt.clip.text.encoder import TextEncoder
from vlprompt.clip.text.tokens import PromptTokens


def readable(name: str) -> str:
    """A class name as a prompt says it: underscores become spaces."""
    return name.replace('_', ' ')


class TextPrompt(nn.Module):
    """P prompts for each of K classes; a subclass says how they are put together.

    ``prompt(text)`` gives the :class:`PromptTokens`, with frozen words looked up in the tower's token embedding,
    and ``prompt.encode(text)`` the features of all of them.  A class set is given at construction and can be
    changed by :meth:`set_class_names` where nothing learned belongs to a class.
    """

    class_names: tuple[str, ...]
    n_prompts: int

    def set_class_names(self, class_names: Sequence[str]) -> None:
        """Prompts for another class set, with whatever was learned.

        Args:
            class_names: K names; underscores are read as spaces.

        Raises:
            ValueError: a class name does not fit the context length, or a learned tensor belongs to classes.
        """
        raise NotImplementedError(f'{type(self).__name__} must define set_class_names()')

    def forward(self, text: TextEncoder) -> PromptTokens:
        """P prompts of K classes as the text tower takes them."""
        raise NotImplementedError(f'{type(self).__name__} must define forward()')

    def encode(self, text: TextEncoder, reference: bool = False) -> Tensor:
        """(P, K, D) text features, not normalised; ``reference`` takes the tower's path over all positions."""
        return text(self(text), reference=reference)
