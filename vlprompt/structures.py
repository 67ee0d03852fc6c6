"""Data samples: annotation and prediction of an image, on its way through data loading, model and evaluation."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from mmengine.structures import BaseDataElement
from torch import Tensor


class ClassificationSample(BaseDataElement):
    """Annotation and prediction of one image.

    Data fields (all tensors):
        gt_label: (1,) int64, the true label.
        pred_score: (K,) float, scores of the K classes (a softmax).
        pred_label: (1,) int64, the class with the highest score.
        matched_groups: (k,) int64, the group prompts that the image chose, best first; set by models with a pool.

    Meta information set by the pipeline: ``sample_idx``, ``img_path``, ``ori_shape`` (H, W) of the file and
    ``img_shape`` (H, W) after the transforms.

    Example:
        >>> sample = ClassificationSample(metainfo=dict(img_path='cat.jpg')).set_gt_label(3)
        >>> sample.set_pred_score(torch.tensor([0.1, 0.9])).pred_label
        tensor([1])
    """

    gt_label: Tensor
    pred_score: Tensor
    pred_label: Tensor

    def set_gt_label(self, value: int | Tensor | Sequence[int]) -> ClassificationSample:
        """Set ``gt_label`` from a single label and return the sample."""
        self.set_field(_label(value, 'gt_label'), 'gt_label', dtype=Tensor)
        return self

    def set_pred_label(self, value: int | Tensor | Sequence[int]) -> ClassificationSample:
        """Set ``pred_label`` from a single label and return the sample."""
        self.set_field(_label(value, 'pred_label'), 'pred_label', dtype=Tensor)
        return self

    def set_pred_score(self, value: Tensor) -> ClassificationSample:
        """Set ``pred_score`` (K,) and with it ``pred_label``, the first class with the highest score.

        Raises:
            ValueError: ``value`` does not have exactly one axis.
        """
        if value.dim() != 1:
            raise ValueError(f'pred_score must have shape (K,), got {tuple(value.shape)}')
        self.set_field(value, 'pred_score', dtype=Tensor)
        return self.set_pred_label(value.argmax())


class ReIDSample(BaseDataElement):
    """Annotation and descriptor of one image of a re-identification set.

    Data fields:
        pid: int, the identity as the dataset numbers it; -1 if unknown, as in a folder of your own images.
        gt_label: (1,) int64 tensor, position of the identity among the training identities; training split only.
        camid: int, camera, counted from 0.
        viewid: int, viewpoint, counted from 0.
        feature: (D,) float tensor, the descriptor a model predicts; not normalised.
        erased_box: (4,) int64 tensor, top, left, height and width in pixels of the rectangle that the pipeline
            erases; absent if it erases none.
        erased_noise: (3, h, w) float32 tensor, the noise that fills the rectangle, in units of the normalised image.

    Meta information set by the pipeline: ``role`` (``'train'``, ``'query'`` or ``'gallery'``), ``sample_idx``,
    ``img_path``, ``ori_shape`` (H, W) of the file and ``img_shape`` (H, W) after the transforms.

    Example:
        >>> sample = ReIDSample(metainfo=dict(role='query'), pid=2, camid=0, viewid=0)
        >>> sample.set_feature(torch.ones(4)).feature.shape, sample.is_query
        (torch.Size([4]), True)
    """

    gt_label: Tensor
    feature: Tensor

    @property
    def is_query(self) -> bool:
        """Whether the image is a query; otherwise it belongs to the gallery or to the training set."""
        return self.role == 'query'

    def set_gt_label(self, value: int | Tensor | Sequence[int]) -> ReIDSample:
        """Set ``gt_label`` from a single label and return the sample."""
        self.set_field(_label(value, 'gt_label'), 'gt_label', dtype=Tensor)
        return self

    def set_feature(self, value: Tensor) -> ReIDSample:
        """Set ``feature`` (D,) and return the sample.

        Raises:
            ValueError: ``value`` does not have exactly one axis.
        """
        if value.dim() != 1:
            raise ValueError(f'feature must have shape (D,), got {tuple(value.shape)}')
        self.set_field(value, 'feature', dtype=Tensor)
        return self


def _label(value: int | Tensor | Sequence[int], field: str) -> Tensor:
    label = torch.as_tensor(value)
    if label.numel() != 1 or label.is_floating_point():
        raise ValueError(f'{field} must be one integer, got {value!r}')
    return label.reshape(1).long()
