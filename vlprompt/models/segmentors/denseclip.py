"""DenseCLIP for semantic segmentation (Rao et al., CVPR 2022) on mmseg's encoder-decoder."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from mmseg.models.segmentors import BaseSegmentor, EncoderDecoder
from mmseg.utils import SampleList, add_prefix
from torch import Tensor

from vlprompt.models.dense import PixelText, PixelTextMixin, PixelTextParts
from vlprompt.models.dense.channels import fill_auxiliary_head, fill_decode_head, fill_neck
from vlprompt.models.segmentors.class_names import class_names as resolve_class_names
from vlprompt.registry import MODELS

ConfigType = dict


@MODELS.register_module()
class DenseCLIP(PixelTextMixin, EncoderDecoder):
    """Semantic segmentation guided by the text of its classes.

    Flow of a step, with maps of the backbone at four strides, global and dense embedding g and z::

        images -> backbone -> maps, g, z
        class names -> matching(g, z) -> text (B, K, C) -> scores = cos(z, text) (B, K, h, w)

        loss:     maps with scores -> neck -> decode head  -> decode.loss_ce, ...
                  scores / temperature -> pixel-text loss  -> pixel_text.loss_ce, ...
                  (neck outputs -> auxiliary head          -> aux.loss_ce, ...)
        predict:  slide or whole inference of the decode head's logits; under ``no_grad`` the text tower runs once
                  for all windows, scales and images
        tensor:   logits of the decode head, not resized

    The numbers of classes and channels follow from the class names and the backbone: leave ``in_channels`` and
    ``num_classes`` of neck and heads out.  Those that are given must agree.

    Args:
        clip: arguments of :func:`vlprompt.clip.build_clip`.  Its text tower reads the prompts; its image tower is the
            backbone if that is a :class:`~vlprompt.models.ClipTrunk`.
        class_names: K names, or a dataset's name, see :func:`vlprompt.models.segmentors.class_names.class_names`.
        backbone: config of a :class:`~vlprompt.models.ClipTrunk` or
            :class:`~vlprompt.models.AttentionPooledTrunk`, without ``clip``.
        prompt: config of the prompt, usually a :class:`~vlprompt.prompts.ContextPrompt`.
        decode_head: config of one of mmseg's decode heads.
        neck: config of one of mmseg's necks.
        context_decoder: config of a :class:`~vlprompt.models.ContextDecoder`; None switches it off.
        prompting: ``'post'`` or ``'pre'``, see :class:`~vlprompt.models.PixelTextMatching`.
        gamma: initial value of the factors of post-model prompting.
        score_concat: arguments of :class:`~vlprompt.models.dense.ScoreConcat`; None switches concatenation off.
        pixel_text_loss: config of a :class:`~vlprompt.models.PixelTextLoss`, which ignores what the decode head does;
            None switches it off.
        text_head: hand the text features (B, K, C) to the decode head as its first input, for heads that read them.
            Their ``in_index`` counts it.
        auxiliary_head: config, or list of configs, of mmseg's heads on the neck's outputs; without a neck on the maps
            without scores.
        frozen: patterns of parameter names that are not trained.
        train_cfg, test_cfg, data_preprocessor, init_cfg: of mmseg's :class:`EncoderDecoder`.

    Raises:
        ValueError: a class name that does not fit, a channel or class number that disagrees with what follows from
            the backbone and the class names, or a model that makes no use of the text.
    """

    resolve_class_names = staticmethod(resolve_class_names)

    def __init__(
        self,
        clip: ConfigType,
        class_names: str | Sequence[str],
        backbone: ConfigType,
        prompt: ConfigType,
        decode_head: ConfigType,
        neck: ConfigType | None = None,
        context_decoder: ConfigType | None = None,
        prompting: str = 'post',
        gamma: float = 1e-4,
        score_concat: ConfigType | None = None,
        pixel_text_loss: ConfigType | None = None,
        text_head: bool = False,
        auxiliary_head: ConfigType | list[ConfigType] | None = None,
        frozen: Sequence[str] = ('matching.text.*',),
        train_cfg: ConfigType | None = None,
        test_cfg: ConfigType | None = None,
        data_preprocessor: ConfigType | None = None,
        init_cfg: ConfigType | None = None,
    ) -> None:
        # EncoderDecoder's own constructor would build neck and heads before their channels are known.
        BaseSegmentor.__init__(self, data_preprocessor, init_cfg)
        if score_concat is None and pixel_text_loss is None and not text_head:
            raise ValueError(
                'DenseCLIP: with score_concat, pixel_text_loss and text_head all off nothing uses the text; for such '
                "a baseline take mmseg's EncoderDecoder with backbone=dict(type='vlprompt.ClipTrunk', clip=...)"
            )
        names = resolve_class_names(class_names)
        parts = PixelTextParts.build(names, clip, backbone, prompt, context_decoder, prompting, gamma, score_concat)
        self.take(parts)
        self.names_follow_data = isinstance(class_names, str)
        self.text_head = text_head
        self._build_heads(neck, decode_head, auxiliary_head, parts)
        self.pixel_text_loss = None
        if pixel_text_loss is not None:
            ignored = dict(ignore_index=self.decode_head.ignore_index)
            self.pixel_text_loss = MODELS.build(dict(pixel_text_loss), default_args=ignored)
        self.train_cfg, self.test_cfg = train_cfg, test_cfg
        self.freeze(frozen=frozen)

    def _build_heads(
        self,
        neck: ConfigType | None,
        decode_head: ConfigType,
        auxiliary_head: ConfigType | list[ConfigType] | None,
        parts: PixelTextParts,
    ) -> None:
        """Neck and heads, with their channels and class counts filled in."""
        outputs = parts.channels
        if neck is not None:
            neck, outputs = fill_neck(neck, parts.channels)
            self.neck = MODELS.build(neck)
        inputs = [parts.text_dim, *outputs] if self.text_head else outputs
        self._init_decode_head(fill_decode_head(decode_head, inputs, parts.num_classes))
        if auxiliary_head is not None:
            seen = list(parts.backbone.channels) if neck is None else outputs
            self._init_auxiliary_head(fill_auxiliary_head(auxiliary_head, seen, parts.num_classes))

    def extract_feat(self, inputs: Tensor) -> list[Tensor]:
        """What the decode head gets for normalised images (B, 3, H, W): neck outputs, after the text if it reads it.

        Raises:
            ValueError: the class names were exchanged for more or fewer.
        """
        maps, matched = self.match(inputs)
        return self._with_text(self._neck(maps, matched), matched)

    def _neck(self, maps: tuple[Tensor, ...], matched: PixelText) -> list[Tensor]:
        """Maps with scores through the neck."""
        maps = self.join(maps, matched)
        return list(self.neck(maps) if self.with_neck else maps)

    def _with_text(self, features: list[Tensor], matched: PixelText) -> list[Tensor]:
        return [matched.text.expand(len(features[0]), -1, -1), *features] if self.text_head else features

    def loss(self, inputs: Tensor, data_samples: SampleList) -> dict[str, Tensor]:
        """Losses of the decode head, the score maps and the auxiliary heads.

        Args:
            inputs: (B, 3, H, W) normalised images.
            data_samples: B samples with ``gt_sem_seg``.
        """
        maps, matched = self.match(inputs)
        features = self._neck(maps, matched)
        losses: dict[str, Any] = self._decode_head_forward_train(self._with_text(features, matched), data_samples)
        if self.pixel_text_loss is not None:
            labels = self.decode_head._stack_batch_gt(data_samples).squeeze(1)
            losses |= add_prefix(self.pixel_text_loss(matched.scores, labels), 'pixel_text')
        if self.with_auxiliary_head:
            losses |= self._auxiliary_head_forward_train(features if self.with_neck else list(maps), data_samples)
        return losses
