"""The part of DenseCLIP (Rao et al., CVPR 2022) that segmentation and detection share, as a backbone for both."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from mmengine.model import BaseModule
from torch import Tensor, nn

from vlprompt.clip import CLIP, build_clip
from vlprompt.models.dense.matching import PixelText, PixelTextMatching
from vlprompt.models.dense.score_concat import ScoreConcat
from vlprompt.registry import MODELS


@MODELS.register_module()
class TextGuidedBackbone(BaseModule):
    """A trunk, the text of K classes matched with its pixels, and the scores as K more channels of one map.

    Flow of :meth:`forward`, with g the global and z the dense image embedding::

        images -> trunk.embed()                       -> maps at four strides, g, z
        class names, g, z -> matching()               -> text (B, K, C), scores = cos(z, text) (B, K, h, w)
        maps, scores / temperature -> score_concat()  -> maps (B, C_i, h_i, w_i), one of them with its K scores

    A segmentor or detector builds it like any other backbone; :attr:`channels` lists the inputs of neck and heads.
    Text and scores of the last batch stay in :attr:`matched` for the losses; the model sets it back to None when its
    step ends (:class:`~vlprompt.models.dense.TextGuidedModel`).

    Args:
        clip: arguments of :func:`vlprompt.clip.build_clip`, or a CLIP.  Its text tower reads the prompts; its image
            tower is the trunk if that is a :class:`~vlprompt.models.ClipTrunk`.
        trunk: config of a :class:`~vlprompt.models.ClipTrunk` or :class:`~vlprompt.models.AttentionPooledTrunk`,
            without ``clip``; or a trunk.
        class_names: K names.
        matching: arguments of :class:`~vlprompt.models.PixelTextMatching`: ``prompt``, ``context_decoder``,
            ``prompting``, ``gamma``.
        score_concat: arguments of :class:`~vlprompt.models.dense.ScoreConcat`, or a ScoreConcat; None: maps without
            scores.
        init_cfg: mmengine's; unused here, since weights come through ``clip`` and ``trunk``.

    Attributes:
        channels: C_i of the returned maps, scores included.
        embed_dim: C of the joint space.
        source: where CLIP's weights were read from; None for random ones.
        matched: :class:`~vlprompt.models.dense.PixelText` of the last batch, or None.

    Raises:
        ValueError: a class name that does not fit the prompt, or no map for the scores.
    """

    nested = dict(clip=build_clip, matching=PixelTextMatching, score_concat=ScoreConcat)

    def __init__(
        self,
        clip: CLIP | Mapping[str, Any],
        trunk: nn.Module | Mapping[str, Any],
        class_names: Sequence[str],
        matching: Mapping[str, Any],
        score_concat: ScoreConcat | Mapping[str, Any] | None = None,
        init_cfg: Mapping[str, Any] | None = None,
    ) -> None:
        super().__init__(init_cfg)
        clip = as_clip(clip)
        self.source, self.embed_dim = clip.source, clip.embed_dim
        self.trunk = _trunk(trunk, clip)
        self.matching = PixelTextMatching(clip.text, class_names, **matching)
        self.score_concat = _score_concat(score_concat)
        self.channels = joined_channels(self.trunk.channels, self.score_concat, len(class_names))
        self.num_classes = len(class_names)
        self.matched: PixelText | None = None

    def forward(self, images: Tensor) -> tuple[Tensor, ...]:
        """Normalised images (B, 3, H, W) -> maps (B, C_i, h_i, w_i), i by stride, C_i of :attr:`channels`.

        Raises:
            ValueError: there are now more or fewer class names than heads were built for.
        """
        self.matched = matched = self.match(images)
        if matched.scores.shape[1] != self.num_classes:
            raise ValueError(
                f'neck and heads were built for {self.num_classes} classes, but there are {matched.scores.shape[1]} '
                'class names now: use score_map(), or set as many names as the heads have classes'
            )
        return matched.maps if self.score_concat is None else self.score_concat(matched.maps, matched.scores)

    def match(self, images: Tensor) -> PixelText:
        """Text, scores and the trunk's own maps for normalised images (B, 3, H, W), of any number of class names."""
        return self.matching(self.trunk.embed(images))


def with_built_parts(backbone: Mapping[str, Any]) -> dict[str, Any]:
    """Config of a :class:`TextGuidedBackbone` with the parts built that determine the channels of its maps: towers,
    trunk and concatenation.

    Neck and heads need these before a constructor of mmseg or mmdet builds the backbone.
    """
    clip = as_clip(backbone['clip'])
    trunk, score_concat = _trunk(backbone['trunk'], clip), _score_concat(backbone.get('score_concat'))
    return dict(backbone, clip=clip, trunk=trunk, score_concat=score_concat)


def joined_channels(channels: Sequence[int], score_concat: ScoreConcat | None, num_classes: int) -> list[int]:
    """C_i of a trunk's maps after the concatenation of ``num_classes`` scores, if any."""
    return list(channels) if score_concat is None else score_concat.channels(channels, num_classes)


def as_clip(clip: CLIP | Mapping[str, Any]) -> CLIP:
    """A CLIP, or one that is built from the arguments of :func:`~vlprompt.clip.build_clip`."""
    return clip if isinstance(clip, CLIP) else build_clip(**clip)


def _score_concat(score_concat: ScoreConcat | Mapping[str, Any] | None) -> ScoreConcat | None:
    return ScoreConcat(**score_concat) if isinstance(score_concat, Mapping) else score_concat


def _trunk(trunk: nn.Module | Mapping[str, Any], clip: CLIP) -> nn.Module:
    return trunk if isinstance(trunk, nn.Module) else MODELS.build(dict(trunk), default_args=dict(clip=clip))
