"""What all prompt-tuned models share: what is trained, what is frozen, and what a checkpoint must hold."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn

from vlprompt.clip import CLIP, ClipSource
from vlprompt.engine.trainable import select_trainable


class PromptTunedMixin:
    """Mix into an ``nn.Module`` that holds the shared towers as ``self.clip``.

    * :meth:`freeze` leaves gradients on for parameters matching ``trainable`` only;
    * modules without a trained parameter stay in eval mode, so a frozen tower keeps its batch statistics;
    * :meth:`trained_state_dict` is what a checkpoint needs besides the towers' own weights.
    """

    clip: CLIP
    class_names: tuple[str, ...]

    @property
    def base_source(self) -> ClipSource | None:
        """Name and hash of the weights the towers were read from; None for random ones."""
        return self.clip.source

    def freeze(self, trainable: Sequence[str]) -> None:
        """Switch gradients on for matching parameters and off for all others; see ``select_trainable``."""
        select_trainable(self, trainable)
        self.train(self.training)

    def train(self, mode: bool = True) -> nn.Module:
        super().train(mode)
        if mode:
            for child in self.children():
                _frozen_to_eval(child)
        return self

    def trained_state_dict(self) -> dict[str, Tensor]:
        """The part of ``state_dict()`` that cannot be read again from the base weights.

        Towers that came from a file keep only their trained parameters; randomly initialised ones are kept whole.
        """
        state = self.state_dict()
        if self.base_source is None:
            return state
        trained = {name for name, parameter in self.named_parameters() if parameter.requires_grad}
        return {k: v for k, v in state.items() if k in trained or not k.startswith('clip.')}


def _frozen_to_eval(module: nn.Module) -> None:
    """Put every largest submodule that has parameters, none of them trained, into eval mode."""
    parameters = list(module.parameters())
    if parameters and not any(p.requires_grad for p in parameters):
        module.eval()
        return
    for child in module.children():
        _frozen_to_eval(child)
