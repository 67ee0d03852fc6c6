"""What DenseCLIP's segmentor and detectors share: towers, matching, class names, what is stored."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from torch import Tensor, nn

from vlprompt.clip import ClipSource, build_clip
from vlprompt.models.base import PromptTunedMixin
from vlprompt.models.dense.matching import PixelText, PixelTextMatching
from vlprompt.models.dense.score_concat import ScoreConcat
from vlprompt.registry import MODELS


@dataclass
class PixelTextParts:
    """Backbone and text side of a DenseCLIP model, built before neck and heads, whose channels follow from them.

    Attributes:
        backbone: gives maps and embeddings (``embed``), and says its ``channels``.
        matching: text against pixels.
        score_concat: appends scores to a map; None if they are not appended.
        source: where CLIP's weights were read from; None for random ones.
        text_dim: C of the joint space.
    """

    backbone: nn.Module
    matching: PixelTextMatching
    score_concat: ScoreConcat | None
    source: ClipSource | None
    text_dim: int

    @classmethod
    def build(
        cls,
        class_names: Sequence[str],
        clip: Mapping[str, Any],
        backbone: Mapping[str, Any],
        prompt: Mapping[str, Any],
        context_decoder: Mapping[str, Any] | None,
        prompting: str,
        gamma: float,
        score_concat: Mapping[str, Any] | None,
    ) -> PixelTextParts:
        """From the configs that :class:`~vlprompt.models.segmentors.DenseCLIP` describes."""
        towers = build_clip(**clip)
        return cls(
            MODELS.build(dict(backbone), default_args=dict(clip=towers)),
            PixelTextMatching(towers.text, class_names, prompt, context_decoder, prompting, gamma),
            None if score_concat is None else ScoreConcat(**score_concat),
            towers.source,
            towers.embed_dim,
        )

    @property
    def channels(self) -> list[int]:
        """C_i of the maps that go to neck or head, scores counted in."""
        plain = list(self.backbone.channels)
        return plain if self.score_concat is None else self.score_concat.channels(plain, self.num_classes)

    @property
    def num_classes(self) -> int:
        """K."""
        return len(self.matching.class_names)


class PixelTextMixin(PromptTunedMixin):
    """Mix into a segmentor of mmseg or a detector of mmdet, and hand :class:`PixelTextParts` to :meth:`take`.

    Subclasses set ``resolve_class_names``, which turns what a config says into K names.
    """

    data_arguments = ('class_names',)
    base_prefixes = ('backbone.visual.', 'matching.text.')
    nested = dict(clip=build_clip, score_concat=ScoreConcat)
    resolve_class_names: Callable[[str | Sequence[str]], list[str]]

    def take(self, parts: PixelTextParts) -> None:
        """Make the parts submodules; called once, after the constructor of ``nn.Module``."""
        self.backbone, self.matching, self.score_concat = parts.backbone, parts.matching, parts.score_concat
        self._base_source, self._built_for = parts.source, parts.num_classes

    @property
    def class_names(self) -> tuple[str, ...]:
        """The K class names that the text is made of."""
        return self.matching.class_names

    @property
    def base_source(self) -> ClipSource | None:
        """Where CLIP's weights were read from; None for random ones."""
        return self._base_source

    def set_class_names(self, class_names: str | Sequence[str]) -> None:
        """Compare pixels with other classes from now on.

        :meth:`score_map` takes any number of them; neck and heads were built for theirs, so predictions need as many
        names as before.

        Raises:
            ValueError: a name that does not fit the prompt's ``context_length``.
        """
        self.matching.set_class_names(self.resolve_class_names(class_names))

    def match(self, inputs: Tensor) -> tuple[tuple[Tensor, ...], PixelText]:
        """The backbone's maps, and text and scores, of normalised images (B, 3, H, W)."""
        features = self.backbone.embed(inputs)
        return features.maps, self.matching(features)

    def score_map(self, inputs: Tensor) -> Tensor:
        """(B, K, h, w) cosine of every cell of the dense embedding to every class, for images (B, 3, H, W)."""
        return self.match(inputs)[1].scores

    def join(self, maps: tuple[Tensor, ...], matched: PixelText) -> tuple[Tensor, ...]:
        """The maps (B, C_i, h_i, w_i) as neck and heads were built for them: with the K scores in one of them.

        Raises:
            ValueError: the class names were exchanged for more or fewer.
        """
        if len(self.class_names) != self._built_for:
            raise ValueError(
                f'neck and heads were built for {self._built_for} classes, but there are {len(self.class_names)} '
                'class names now: use score_map(), or set as many names as the heads have classes'
            )
        return maps if self.score_concat is None else self.score_concat(maps, matched.scores)
