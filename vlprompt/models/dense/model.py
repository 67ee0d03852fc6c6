"""Mix-in for segmentors of mmseg and detectors of mmdet with a text-guided backbone."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from torch import Tensor

from vlprompt.clip import ClipSource
from vlprompt.errors import ImageSizeError
from vlprompt.messages import enumerate_names
from vlprompt.models.base import PromptTunedMixin
from vlprompt.models.dense.backbone import TextGuidedBackbone
from vlprompt.models.dense.class_names import dense_class_names


class TextGuidedModel(PromptTunedMixin):
    """Mix in before a segmentor or detector whose ``backbone`` is a :class:`TextGuidedBackbone`.

    Adds exchangeable class names, score maps, and checkpoints without the frozen towers.
    """

    backbone: TextGuidedBackbone
    base_prefixes = ('backbone.trunk.visual.', 'backbone.matching.text.')
    base_option = 'model.backbone.clip.weights'
    data_arguments = ('class_names',)
    class_names_of: str
    """The package that resolves class lists by name, ``'mmseg'`` or ``'mmdet'``."""

    @property
    def class_names(self) -> tuple[str, ...]:
        """The K class names in the prompts."""
        return self.backbone.matching.class_names

    @property
    def local_form(self) -> str | dict[str, Any] | None:
        """Form of the local features that are matched with text; None for a trunk that is not CLIP's."""
        tower = getattr(self.backbone.trunk, 'visual', None)
        return None if tower is None else tower.local

    @property
    def base_source(self) -> ClipSource | None:
        """Source of CLIP's weights; None for random ones."""
        return self.backbone.source

    def set_class_names(self, class_names: str | Sequence[str]) -> None:
        """Compare pixels with other classes from now on.

        :meth:`score_map` takes any number of names; neck and heads were built for K classes, so predictions need K.

        Raises:
            ValueError: a name that does not fit the prompt's ``context_length``.
        """
        self.backbone.matching.set_class_names(dense_class_names(class_names, self.class_names_of))

    def score_map(self, inputs: Tensor) -> Tensor:
        """(B, K, h, w) cosine of every cell of the dense embedding to every class; normalised images (B, 3, H, W)."""
        return self.backbone.match(inputs).scores

    def forward(self, inputs: Tensor, data_samples: Sequence[Any] | None = None, mode: str = 'tensor') -> Any:
        """As in mmseg or mmdet; releases text and scores of the batch afterwards.

        Raises:
            ImageSizeError: images that are smaller than a cell of the trunk; the message names their files.
        """
        try:
            return super().forward(inputs, data_samples, mode)
        except ImageSizeError as error:
            files = [sample.img_path for sample in data_samples or () if 'img_path' in sample]
            raise ImageSizeError(f'{enumerate_names(files)}: {error}' if files else str(error)) from error
        finally:
            self.backbone.matched = None

    @classmethod
    def _resolved(cls, class_names: str | Sequence[str] | None) -> list[str]:
        """K names for the ``class_names`` of a config.

        Raises:
            ValueError: there are none.
        """
        if class_names is None:
            raise ValueError(
                f'{cls.__name__}: class_names is missing, and no dataset or checkpoint gives the names: list them, '
                'or name a dataset or a text file'
            )
        return dense_class_names(class_names, cls.class_names_of)

    @classmethod
    def _check_text_is_used(cls, backbone: Mapping[str, Any], users: Mapping[str, Any], plain: str) -> None:
        """Raise if neither the concatenation nor one of the ``users``, by argument, reads the text."""
        if backbone.get('score_concat') is None and not any(users.values()):
            raise ValueError(
                f'{cls.__name__}: with {", ".join(["backbone.score_concat", *users])} disabled nothing uses the text; '
                f"for such a baseline use {plain} with backbone=dict(type='vlprompt.ClipTrunk', clip=...)"
            )
