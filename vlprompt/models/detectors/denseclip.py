"""DenseCLIP for object detection and instance segmentation (Rao et al., CVPR 2022) on mmdet's detectors."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from mmdet.models.detectors import SingleStageDetector, TwoStageDetector
from mmdet.structures import SampleList
from mmdet.structures.bbox import get_box_tensor
from torch import Tensor, nn

from vlprompt.models.dense import PixelTextMixin, PixelTextParts
from vlprompt.models.dense.channels import fill_bbox_head, fill_neck, fill_roi_head, fill_rpn_head
from vlprompt.models.detectors.class_names import class_names as resolve_class_names
from vlprompt.registry import MODELS

ConfigType = dict


class DenseCLIPDetector(PixelTextMixin):
    """Detection guided by the text of its classes: mix in before one of mmdet's detectors.

    Flow of a step, with maps of the backbone at four strides, global and dense embedding g and z::

        images -> backbone -> maps, g, z
        class names -> matching(g, z) -> text (B, K, C) -> scores = cos(z, text) (B, K, h, w)

        loss:     maps with scores / temperature -> neck -> mmdet's heads -> their losses
                  scores, boxes of the objects   -> pixel-text loss       -> loss_pixel_text
        predict:  mmdet's, on the neck's outputs; under ``no_grad`` the text tower runs once for all images
        tensor:   mmdet's: outputs of the heads without post-processing

    The numbers of classes and channels follow from the class names and the backbone: leave them out of neck and heads,
    or set them to None where an inherited config has them.  Those that are given must agree.

    Args:
        clip, backbone, prompt, context_decoder, prompting, gamma, score_concat: as of
            :class:`~vlprompt.models.segmentors.DenseCLIP`; published detectors divide the concatenated scores by a
            ``temperature`` of 0.07.
        class_names: K names, or a dataset's name, see :func:`vlprompt.models.detectors.class_names.class_names`.
        neck: config of one of mmdet's necks.
        pixel_text_loss: config of a :class:`~vlprompt.models.BoxTextLoss`; None switches it off.
        frozen: patterns of parameter names that are not trained.
        initialise: let mmdet initialise neck and heads when training starts.  The published code never does, so its
            layers keep their own initialisation, and RetinaNet starts without the prior of its focal loss.
        **detector: of mmdet's detector: the heads, ``train_cfg``, ``test_cfg``, ``data_preprocessor``, ``init_cfg``.

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
        neck: ConfigType,
        context_decoder: ConfigType | None = None,
        prompting: str = 'post',
        gamma: float = 1e-4,
        score_concat: ConfigType | None = None,
        pixel_text_loss: ConfigType | None = None,
        frozen: Sequence[str] = ('matching.text.*',),
        initialise: bool = True,
        **detector: Any,
    ) -> None:
        if score_concat is None and pixel_text_loss is None:
            raise ValueError(
                f'{type(self).__name__}: with score_concat and pixel_text_loss both off nothing uses the text; for '
                "such a baseline take a detector of mmdet with backbone=dict(type='vlprompt.ClipTrunk', clip=...)"
            )
        names = resolve_class_names(class_names)
        parts = PixelTextParts.build(names, clip, backbone, prompt, context_decoder, prompting, gamma, score_concat)
        neck, levels = fill_neck(neck, parts.channels)
        heads = self.fill_heads(detector, levels, parts.num_classes)
        super().__init__(backbone=dict(type=_given, module=parts.backbone), neck=neck, **heads)
        self.take(parts)
        self.names_follow_data = isinstance(class_names, str)
        self.pixel_text_loss = None if pixel_text_loss is None else MODELS.build(pixel_text_loss)
        self.initialise = initialise
        self._scores: list[Tensor] | None = None
        self.freeze(frozen=frozen)

    @staticmethod
    def fill_heads(detector: ConfigType, levels: list[int], num_classes: int) -> ConfigType:
        """The detector's arguments, its heads with the channels of the neck's ``levels`` and their class counts."""
        raise NotImplementedError('a DenseCLIP detector must define fill_heads()')

    def init_weights(self) -> None:
        """Called by the runner; leaves CLIP's towers alone in any case."""
        if self.initialise:
            super().init_weights()
        elif hasattr(self.backbone, 'init_weights'):
            self.backbone.init_weights()

    def extract_feat(self, batch_inputs: Tensor) -> tuple[Tensor, ...]:
        """Outputs of the neck for normalised images (B, 3, H, W).

        Raises:
            ValueError: the class names were exchanged for more or fewer.
        """
        maps, matched = self.match(batch_inputs)
        if self._scores is not None:
            self._scores.append(matched.scores)
        return self.neck(self.join(maps, matched))

    def loss(self, batch_inputs: Tensor, batch_data_samples: SampleList) -> dict[str, Any]:
        """Losses of mmdet's heads, and ``loss_pixel_text``.

        Args:
            batch_inputs: (B, 3, H, W) normalised images.
            batch_data_samples: B samples with ``gt_instances``.
        """
        self._scores = scores = []  # for extract_feat(), which mmdet's loss() calls
        try:
            losses = super().loss(batch_inputs, batch_data_samples)
        finally:
            self._scores = None
        if self.pixel_text_loss is not None:
            losses |= self._pixel_text_loss(scores[0], tuple(batch_inputs.shape[-2:]), batch_data_samples)
        return losses

    def _pixel_text_loss(self, scores: Tensor, size: tuple[int, int], samples: SampleList) -> dict[str, Tensor]:
        objects = [sample.gt_instances for sample in samples]
        masks = None
        if self.pixel_text_loss.target == 'masks' and all('masks' in item for item in objects):
            masks = [item.masks.to_tensor(scores.dtype, scores.device) for item in objects]
        boxes = [get_box_tensor(item.bboxes) for item in objects]
        return self.pixel_text_loss(scores, size, boxes, [item.labels for item in objects], masks)


def _given(module: nn.Module) -> nn.Module:
    """A ``type`` for mmdet's constructors that stands for a module built before."""
    return module


@MODELS.register_module()
class DenseCLIPSingleStage(DenseCLIPDetector, SingleStageDetector):
    """:class:`DenseCLIPDetector` with a ``bbox_head`` on the neck: RetinaNet, FCOS and their like."""

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
