"""What all prompt-tuned models share: what is trained, what is frozen, and what a checkpoint must hold."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from mmengine.logging import print_log
from torch import Tensor, nn

from vlprompt.clip import CLIP, ClipSource
from vlprompt.models.agreement import agree_on_class_names
from vlprompt.models.freezing import select_frozen, select_trainable


class PromptTunedMixin:
    """Mix into an ``nn.Module`` that holds the shared towers, by default as ``self.clip``.

    A model whose towers lie elsewhere says where in ``base_prefixes`` and overrides :attr:`base_source`.

    * :meth:`freeze` leaves gradients on for parameters matching ``trainable`` only, or for those that do not match
      ``frozen``;
    * :meth:`meet_data` agrees with the datasets of a run on what both know;
    * modules without a trained parameter stay in eval mode, so a frozen tower keeps its batch statistics;
    * :meth:`trained_state_dict` is what a checkpoint needs besides the towers' own weights.
    """

    base_prefixes: tuple[str, ...] = ('clip.',)
    base_option: str = 'model.clip.weights'
    """The config key that names the towers' weights, for messages."""
    open_vocabulary: bool = False
    """Whether classes are text alone, so that ``set_class_names`` makes the same model tell others apart; False where
    a head or a neck was built and trained for its K classes."""
    nested: Mapping[str, Callable] = {}
    """Functions or classes that read untyped dicts among the constructor's arguments, so that the keys of these dicts
    are checked; any registered class may declare it."""
    names_follow_data: bool = False
    """Whether the class names only stand in for those of the data, as where a config names a dataset."""
    data_arguments: tuple[str, ...] = ()
    """Constructor arguments, and attributes of the same name, that follow the data where a config leaves them out."""
    clip: CLIP
    class_names: tuple[str, ...]
    _size_warned = False

    @property
    def base_source(self) -> ClipSource | None:
        """Name and hash of the weights the towers were read from; None for random ones."""
        return self.clip.source

    def meet_data(self, metainfo: Mapping[str, Any], what: str, training: bool) -> None:
        """Agree with a dataset of the run, before anything is loaded or computed: here on the class names.

        Args:
            metainfo: of the dataset.
            what: what messages call it.
            training: whether it is trained on.

        Raises:
            ConfigError: the model does not fit the dataset, see :func:`.agree_on_class_names`.
        """
        if metainfo.get('classes') is not None and hasattr(self, 'set_class_names'):
            agree_on_class_names(self, metainfo['classes'], what)

    def warn_of_other_size(self, inputs: Tensor, tower: nn.Module) -> None:
        """Say once in the log if whole images (B, 3, H, W) have not the size that the ``tower`` was built for."""
        size = tuple(inputs.shape[-2:])
        if size != tower.image_size and not self._size_warned:
            self._size_warned = True
            print_log(
                f'Images of {size[0]} x {size[1]} pixels, but the image tower was built for {tower.image_size[0]} x '
                f'{tower.image_size[1]}: its position embedding is resized, which costs accuracy. Set image_size '
                'in the config (--cfg-options image_size=...) unless this is meant',
                logger='current',
                level=logging.WARNING,
            )

    def freeze(self, trainable: Sequence[str] | None = None, frozen: Sequence[str] = ()) -> None:
        """Switch gradients on and off by patterns: see ``select_trainable``, or ``select_frozen`` without it."""
        if trainable is not None:
            select_trainable(self, trainable)
        else:
            select_frozen(self, frozen)
        self.train(self.training)

    def train(self, mode: bool = True) -> nn.Module:
        super().train(mode)
        if mode:
            for child in self.children():
                _frozen_to_eval(child)
        return self

    def trained_state_dict(self) -> dict[str, Tensor]:
        """The part of ``state_dict()`` that cannot be read again from the base weights.

        Of towers that came from a file, only what training changes is kept: trained parameters, and the batch
        statistics beside them.  Randomly initialised ones are kept whole.
        """
        state = self.state_dict()
        if self.base_source is None:
            return state
        changed = set()
        for prefix, module in self.named_modules():
            trained = [name for name, p in module.named_parameters(recurse=False) if p.requires_grad]
            if trained:
                names = [*trained, *(name for name, _ in module.named_buffers(recurse=False))]
                changed |= {f'{prefix}.{name}' if prefix else name for name in names}
        return {k: v for k, v in state.items() if k in changed or not k.startswith(self.base_prefixes)}


def _frozen_to_eval(module: nn.Module) -> None:
    """Put every largest submodule that has parameters, none of them trained, into eval mode."""
    parameters = list(module.parameters())
    if parameters and not any(p.requires_grad for p in parameters):
        module.eval()
        return
    for child in module.children():
        _frozen_to_eval(child)
