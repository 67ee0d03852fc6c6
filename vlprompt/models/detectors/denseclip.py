"""DenseCLIP for object detection and instance segmentation (Rao et al., CVPR 2022) on mmdet's detectors."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from mmdet.models.detectors import SingleStageDetector, TwoStageDetector
from mmdet.structures import SampleList
from mmdet.structures.bbox import get_box_tensor
from torch import Tensor

from vlprompt.models.dense import TextGuidedModel
from vlprompt.models.dense.backbone import joined_channels, with_built_parts
from vlprompt.models.dense.channels import fill_bbox_head, fill_neck, fill_roi_head, fill_rpn_head
from vlprompt.registry import MODELS

ConfigType = dict


class DenseCLIPDetector(TextGuidedModel):
    """Detection guided by the text of its classes: mix in before one of mmdet's detectors.

    It is that detector on a :class:`~vlprompt.models.dense.TextGuidedBackbone`, with a loss on its scores.  Flow of a
    step::

        loss:     mmdet's loss(): extract_feat() -> backbone() -> maps with scores -> neck() -> heads -> their losses
                  pixel_text_loss(backbone.matched.scores, boxes)                  -> loss_pixel_text
        predict:  mmdet's, on extract_feat(); under ``no_grad`` the text tower runs once for all images
        tensor:   mmdet's: outputs of the heads without post-processing

    The numbers of classes and channels follow from the class names and the trunk: leave them out of neck and heads,
    or set them to None if an inherited config has them.  Given values must agree.

    Args:
        backbone: config of a :class:`~vlprompt.models.dense.TextGuidedBackbone`, without class names; published
            detectors divide the concatenated scores by a ``temperature`` of 0.07.
        neck: config of one of mmdet's necks.
        class_names: K names, or a dataset's name, see :func:`vlprompt.models.dense.class_names.dense_class_names`;
            if left out, those of the training data or the checkpoint.
        pixel_text_loss: config of a :class:`~vlprompt.models.BoxTextLoss`; None switches it off.
        frozen: patterns of parameter names that are not trained.
        initialise: let mmdet initialise neck and heads when training starts.  The published code never does, so its
            layers keep their own initialisation, and RetinaNet starts without the prior of its focal loss.
        **detector: of mmdet's detector: the heads, ``train_cfg``, ``test_cfg``, ``data_preprocessor``, ``init_cfg``.

    Raises:
        ValueError: no class names or one that does not fit, a channel or class number that disagrees with the trunk
            and the class names, or a model that does not use the text.
    """

    class_names_of = 'mmdet'

    def __init__(
        self,
        backbone: ConfigType,
        neck: ConfigType,
        class_names: str | Sequence[str] | None = None,
        pixel_text_loss: ConfigType | None = None,
        frozen: Sequence[str] = ('backbone.matching.text.*',),
        initialise: bool = True,
        **detector: Any,
    ) -> None:
        self._check_text_is_used(backbone, dict(pixel_text_loss=pixel_text_loss), plain='a detector of mmdet')
        names = self._resolved(class_names)
        backbone = with_built_parts(dict(backbone, class_names=names))
        channels = joined_channels(backbone['trunk'].channels, backbone['score_concat'], len(names))
        neck, levels = fill_neck(neck, channels)
        super().__init__(backbone=backbone, neck=neck, **self.fill_heads(detector, levels, len(names)))
        self.names_follow_data = isinstance(class_names, str)
        self.pixel_text_loss = None if pixel_text_loss is None else MODELS.build(pixel_text_loss)
        self.initialise = initialise
        self.freeze(frozen=frozen)

    @staticmethod
    def fill_heads(detector: ConfigType, levels: list[int], num_classes: int) -> ConfigType:
        """The detector's arguments, its heads with the channels of the neck's ``levels`` and their class counts."""
        raise NotImplementedError('a DenseCLIP detector must define fill_heads()')

    def init_weights(self) -> None:
        """Called by the runner; never touches CLIP's towers."""
        if self.initialise:
            super().init_weights()
        else:
            self.backbone.init_weights()

    def loss(self, batch_inputs: Tensor, batch_data_samples: SampleList) -> dict[str, Any]:
        """Losses of mmdet's heads, and ``loss_pixel_text``.

        Args:
            batch_inputs: (B, 3, H, W) normalised images.
            batch_data_samples: B samples with ``gt_instances``.
        """
        losses = super().loss(batch_inputs, batch_data_samples)
        if self.pixel_text_loss is not None:
            scores, size = self.backbone.matched.scores, tuple(batch_inputs.shape[-2:])
            losses |= self._pixel_text_loss(scores, size, batch_data_samples)
        return losses

    def _pixel_text_loss(self, scores: Tensor, size: tuple[int, int], samples: SampleList) -> dict[str, Tensor]:
        objects = [sample.gt_instances for sample in samples]
        masks = None
        if self.pixel_text_loss.target == 'masks' and all('masks' in item for item in objects):
            masks = [item.masks.to_tensor(scores.dtype, scores.device) for item in objects]
        boxes = [get_box_tensor(item.bboxes) for item in objects]
        return self.pixel_text_loss(scores, size, boxes, [item.labels for item in objects], masks)


@MODELS.register_module()
class DenseCLIPSingleStage(DenseCLIPDetector, SingleStageDetector):
    """:class:`DenseCLIPDetector` with a ``bbox_head`` on the neck: RetinaNet, FCOS and similar ones."""

    @staticmethod
    def fill_heads(detector: ConfigType, levels: list[int], num_classes: int) -> ConfigType:
        return dict(detector, bbox_head=fill_bbox_head(detector['bbox_head'], levels, num_classes))


@MODELS.register_module()
class DenseCLIPTwoStage(DenseCLIPDetector, TwoStageDetector):
    """:class:`DenseCLIPDetector` with ``rpn_head`` and ``roi_head``: Faster, Mask and Cascade R-CNN."""

    @staticmethod
    def fill_heads(detector: ConfigType, levels: list[int], num_classes: int) -> ConfigType:
        return dict(
            detector,
            rpn_head=fill_rpn_head(detector['rpn_head'], levels),
            roi_head=fill_roi_head(detector['roi_head'], levels, num_classes),
        )
