"""Base of all prompt-tuned models: freezing, agreement with the data, and the contents of checkpoints."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mmengine.logging import print_log
from torch import Tensor, nn

from vlprompt.clip import CLIP, ClipSource
from vlprompt.clip.low_rank import LowRank
from vlprompt.clip.tracing import is_exporting
from vlprompt.errors import CheckpointError
from vlprompt.models.agreement import agree_on_class_names, warn_of_unseen_words
from vlprompt.models.freezing import matching_parameters, select_frozen, select_trainable

if TYPE_CHECKING:
    from typing_extensions import Self


class PromptTunedMixin:
    """Mix into an ``nn.Module`` that holds the shared towers, by default as ``self.clip``.

    A model whose towers are elsewhere sets ``base_prefixes`` and overrides :attr:`base_source`.

    * :meth:`freeze` enables gradients only for parameters that match ``trainable``, or for those that do not match
      ``frozen``;
    * :meth:`meet_data` makes the model agree with the datasets of a run;
    * modules without a trained parameter stay in eval mode, so a frozen tower keeps its batch statistics;
    * :meth:`trained_state_dict` returns the tensors of a checkpoint, without the towers' own weights.
    """

    base_prefixes: tuple[str, ...] = ('clip.',)
    base_option: str = 'model.clip.weights'
    """The config key that names the towers' weights, for messages."""
    open_vocabulary: bool = False
    """Whether classes are only text, so that ``set_class_names`` lets the same model classify among others; False if a
    head or a neck was built and trained for its K classes."""
    nested: Mapping[str, Callable] = {}
    """By argument of the constructor, the function or class that reads an untyped dict, so that its keys are checked;
    any registered class may declare it."""
    names_follow_data: bool = False
    """Whether the class names are provisional until the data are known, as if a config names a dataset."""
    data_arguments: tuple[str, ...] = ()
    """Constructor arguments, and attributes of the same name, that follow the data if a config leaves them out."""
    unset_tensors: tuple[str, ...] = ()
    """Tensors that hold NaN until a run fills them; all others in a checkpoint must be finite."""
    clip: CLIP
    class_names: tuple[str, ...]
    _size_warned = False
    _trained_before: frozenset[str] = frozenset()

    @property
    def lora_scale(self) -> float | None:
        """What multiplies the low-rank branches of the towers; None without any."""
        return next((module.scale for module in self.modules() if isinstance(module, LowRank)), None)

    @property
    def base_source(self) -> ClipSource | None:
        """Name and hash of the weights the towers were read from; None for random ones."""
        return self.clip.source

    @classmethod
    def config_of_classes(cls, config: Mapping[str, Any], class_names: str | Sequence[str]) -> dict[str, Any]:
        """The config of a model for other classes than those of its config.

        Args:
            config: of the model.
            class_names: K names, or the name of a dataset.
        """
        return dict(config, class_names=class_names)

    def meet_data(self, metainfo: Mapping[str, Any], what: str, training: bool) -> None:
        """Agree with a dataset of the run, before anything is loaded or computed; here: on the class names.  A warning
        says which of them the built-in weights never saw.

        Args:
            metainfo: of the dataset.
            what: its name in messages.
            training: whether it is the training set.

        Raises:
            ConfigError: the model does not fit the dataset, see :func:`.agree_on_class_names`.
        """
        if metainfo.get('classes') is not None and hasattr(self, 'set_class_names'):
            agree_on_class_names(self, metainfo['classes'], what)
        warn_of_unseen_words(self)

    def accepts_class_names(self, class_names: Sequence[str]) -> bool:
        """Whether ``set_class_names`` lets the model, trained as it is, classify among these names."""
        return self.open_vocabulary

    def warn_of_other_size(self, inputs: Tensor, tower: nn.Module) -> None:
        """Say once in the log if whole images (B, 3, H, W) have not the size that the ``tower`` was built for."""
        if is_exporting():
            return
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

    def freeze(
        self,
        trainable: Sequence[str] | None = None,
        frozen: Sequence[str] = (),
        trained_before: Sequence[str] = (),
    ) -> None:
        """Enable gradients by patterns: see ``select_trainable``, and ``select_frozen`` without ``trainable``.

        Parameters of towers that match ``trained_before`` belong to checkpoints even where they are frozen now.
        """
        self._trained_before = frozenset(matching_parameters(self, trained_before, 'trained_before'))
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

        Of towers that were read from a file, only tensors that training changes are kept: trained parameters, and the
        batch statistics beside them, and those that an earlier phase trained.  Randomly initialised towers are kept
        whole.
        """
        state = self.state_dict()
        if self.base_source is None:
            return state
        changed = set(self._trained_before)
        for prefix, module in self.named_modules():
            trained = [name for name, p in module.named_parameters(recurse=False) if p.requires_grad]
            if trained:
                names = [*trained, *(name for name, _ in module.named_buffers(recurse=False))]
                changed |= {f'{prefix}.{name}' if prefix else name for name in names}
        return {k: v for k, v in state.items() if k in changed or not k.startswith(self.base_prefixes)}

    def save_pretrained(self, folder: str | Path, **options: Any) -> Path:
        """Write what was learned into a folder: :func:`vlprompt.apis.save_pretrained`."""
        from vlprompt.apis import save_pretrained

        return save_pretrained(self, folder, **options)

    @classmethod
    def from_pretrained(cls, source: str | Path, **options: Any) -> Self:
        """The model of an adapter, which must be one of this class: :func:`vlprompt.apis.from_pretrained`.

        Raises:
            CheckpointError: as there, or it is a model of another class.
        """
        from vlprompt.apis import from_pretrained

        model = from_pretrained(source, **options)
        if not isinstance(model, cls):
            raise CheckpointError(f'{source} is an adapter of {type(model).__name__}, not of {cls.__name__}')
        return model

    def push_to_hub(self, repo_id: str, **options: Any) -> str:
        """Upload what was learned to huggingface.co: :func:`vlprompt.apis.push_to_hub`."""
        from vlprompt.apis import push_to_hub

        return push_to_hub(self, repo_id, **options)


def _frozen_to_eval(module: nn.Module) -> None:
    """Put the largest submodules whose parameters are all frozen into eval mode."""
    parameters = list(module.parameters())
    if parameters and not any(p.requires_grad for p in parameters):
        module.eval()
        return
    for child in module.children():
        _frozen_to_eval(child)
