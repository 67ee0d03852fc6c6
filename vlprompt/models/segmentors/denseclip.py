"""DenseCLIP for semantic segmentation (Rao et al., CVPR 2022) on mmseg's encoder-decoder."""

from __future__ import annotations

from collections.abc import Sequence

from mmseg.models.segmentors import EncoderDecoder
from mmseg.utils import SampleList, add_prefix
from torch import Tensor

from vlprompt.models.dense import TextGuidedModel
from vlprompt.models.dense.backbone import joined_channels, with_built_parts
from vlprompt.models.dense.channels import fill_auxiliary_head, fill_decode_head, fill_neck
from vlprompt.registry import MODELS

ConfigType = dict


@MODELS.register_module()
class DenseCLIP(TextGuidedModel, EncoderDecoder):
    """mmseg's EncoderDecoder on a :class:`~vlprompt.models.dense.TextGuidedBackbone`, with a loss on its scores.

    Flow of a step::

        loss:     extract_feat(): backbone() -> maps with scores -> neck()
                  _decode_head_forward_train()                -> decode.loss_ce, ...
                  _auxiliary_head_forward_train(), if any     -> aux.loss_ce, ...
                  pixel_text_loss(backbone.matched.scores)    -> pixel_text.loss_ce, ...
        predict:  slide_inference() or whole_inference() -> encode_decode() -> extract_feat(), decode_head.predict();
                  under ``no_grad`` the text tower runs once for all windows, scales and images
        tensor:   extract_feat() -> decode_head(): its logits, not resized

    The numbers of classes and channels follow from the class names and the trunk: leave out ``in_channels`` and
    ``num_classes`` of neck and heads.  Given values must agree.

    Args:
        backbone: config of a :class:`~vlprompt.models.dense.TextGuidedBackbone`, without class names.
        decode_head: config of one of mmseg's decode heads.
        class_names: K names, or a dataset's name, see :func:`vlprompt.models.dense.class_names.dense_class_names`;
            if left out, those of the training data or the checkpoint.
        neck: config of one of mmseg's necks.
        pixel_text_loss: config of a :class:`~vlprompt.models.PixelTextLoss`, which ignores the same labels as the
            decode head; None disables it.
        text_head: pass the text features (B, K, C) to the decode head as its first input, for heads that read them;
            ``in_index`` counts it.
        auxiliary_head: config, or list of configs, of mmseg's heads on the neck's outputs; without a neck on the maps
            without scores.
        frozen: patterns of parameter names that are not trained.
        train_cfg, test_cfg, data_preprocessor, init_cfg: of mmseg's :class:`EncoderDecoder`.

    Raises:
        ValueError: no class names or one that does not fit, a channel or class number that disagrees with the trunk
            and the class names, or a model that does not use the text.
    """

    class_names_of = 'mmseg'

    def __init__(
        self,
        backbone: ConfigType,
        decode_head: ConfigType,
        class_names: str | Sequence[str] | None = None,
        neck: ConfigType | None = None,
        pixel_text_loss: ConfigType | None = None,
        text_head: bool = False,
        auxiliary_head: ConfigType | list[ConfigType] | None = None,
        frozen: Sequence[str] = ('backbone.matching.text.*',),
        train_cfg: ConfigType | None = None,
        test_cfg: ConfigType | None = None,
        data_preprocessor: ConfigType | None = None,
        init_cfg: ConfigType | None = None,
    ) -> None:
        users = dict(pixel_text_loss=pixel_text_loss, text_head=text_head)
        self._check_text_is_used(backbone, users, plain="mmseg's EncoderDecoder")
        names = self._resolved(class_names)
        backbone = with_built_parts(dict(backbone, class_names=names))
        plain = list(backbone['trunk'].channels)
        features = joined_channels(plain, backbone['score_concat'], len(names))
        if neck is not None:
            neck, features = fill_neck(neck, features)
            plain = features
        if auxiliary_head is not None:
            auxiliary_head = fill_auxiliary_head(auxiliary_head, plain, len(names))
        inputs = [backbone['clip'].embed_dim, *features] if text_head else features
        super().__init__(
            backbone=backbone,
            decode_head=fill_decode_head(decode_head, inputs, len(names)),
            neck=neck,
            auxiliary_head=auxiliary_head,
            train_cfg=train_cfg,
            test_cfg=test_cfg,
            data_preprocessor=data_preprocessor,
            init_cfg=init_cfg,
        )
        self.names_follow_data = isinstance(class_names, str)
        self.text_head = text_head
        self.pixel_text_loss = None
        if pixel_text_loss is not None:
            ignored = dict(ignore_index=self.decode_head.ignore_index)
            self.pixel_text_loss = MODELS.build(dict(pixel_text_loss), default_args=ignored)
        self.freeze(frozen=frozen)

    def extract_feat(self, inputs: Tensor) -> list[Tensor]:
        """Inputs of the decode head for normalised images (B, 3, H, W): the text if it reads it, then the neck outputs.

        Raises:
            ValueError: there are now more or fewer class names than heads were built for.
        """
        features = list(super().extract_feat(inputs))
        if self.text_head:
            text = self.backbone.matched.text
            features.insert(0, text.expand(inputs.shape[0], -1, -1))
        return features

    def loss(self, inputs: Tensor, data_samples: SampleList) -> dict[str, Tensor]:
        """Losses of the heads as mmseg names them, and of the scores.

        Args:
            inputs: (B, 3, H, W) normalised images.
            data_samples: B samples with ``gt_sem_seg``.
        """
        losses = super().loss(inputs, data_samples)
        if self.pixel_text_loss is not None:
            labels = self.decode_head._stack_batch_gt(data_samples).squeeze(1)
            losses |= add_prefix(self.pixel_text_loss(self.backbone.matched.scores, labels), 'pixel_text')
        return losses

    def _auxiliary_head_forward_train(self, inputs: list[Tensor], data_samples: SampleList) -> dict[str, Tensor]:
        """As in mmseg, on the neck's outputs without the text, or, without a neck, on the maps without scores."""
        features = inputs[1:] if self.text_head else inputs
        return super()._auxiliary_head_forward_train(
            features if self.with_neck else list(self.backbone.matched.maps), data_samples
        )
