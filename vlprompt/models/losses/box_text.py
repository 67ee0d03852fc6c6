"""Supervision of score maps inside ground-truth boxes (DenseCLIP, Rao et al., CVPR 2022, section 3.4, detection)."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from vlprompt.registry import MODELS

TARGETS = ('boxes', 'masks')


@MODELS.register_module()
class BoxTextLoss(nn.Module):
    r"""Binary cross-entropy of score maps where at least one object lies; no parameters.

    With s the cosines enlarged bilinearly to the map of the given stride, :math:`T_k` the cells covered by objects of
    class k (several classes where objects overlap) and M the cells inside any box:

    .. math:: \text{loss} = \text{weight} \cdot
        \frac{\sum_{b,y,x} M \sum_k \text{BCE}(\sigma(s_k / \tau), T_k)}{K \sum_{b,y,x} M}

    Cells outside all boxes are not supervised.  A box covers the cells from its truncated left and upper to its
    truncated right and lower edge, exclusive; one that lies within a single cell covers none.  Without any
    covered cell the loss is 0, with a gradient of zero.

    Args:
        temperature: :math:`\tau`, *divides* the cosines.
        weight: factor of the loss.
        stride: pixels per cell.
        target: cells of an object in :math:`T_k`: its whole ``'boxes'`` as published, or its ``'masks'``, so that the
            rest of a box is background.

    Raises:
        ValueError: ``temperature`` is not positive, or an unknown target.
    """

    def __init__(self, temperature: float = 0.07, weight: float = 1.0, stride: int = 4, target: str = 'boxes') -> None:
        super().__init__()
        if temperature <= 0:
            raise ValueError(f'BoxTextLoss: temperature must be positive, got {temperature}')
        if target not in TARGETS:
            raise ValueError(f'BoxTextLoss: target must be one of {TARGETS}, got {target!r}')
        self.temperature, self.weight, self.stride, self.target = temperature, weight, stride, target

    def forward(
        self,
        scores: Tensor,
        image_size: tuple[int, int],
        boxes: Sequence[Tensor],
        labels: Sequence[Tensor],
        masks: Sequence[Tensor] | None = None,
    ) -> dict[str, Tensor]:
        """
        Args:
            scores: (B, K, h, w) cosines.
            image_size: (H, W) in pixels of the batch, padding included.
            boxes: of each image (G_b, 4) corners x1, y1, x2, y2 in pixels.
            labels: of each image (G_b,) class ids.
            masks: of each image (G_b, H, W), non-zero on the object; needed for the target ``'masks'`` only.

        Returns:
            ``loss_pixel_text``, a scalar.

        Raises:
            ValueError: the target ``'masks'`` without masks.
        """
        classes, size = scores.shape[1], (image_size[0] // self.stride, image_size[1] // self.stride)
        images = torch.cat([torch.full_like(label, index) for index, label in enumerate(labels)])
        planes = images * classes + torch.cat(list(labels))
        covered = box_counts(torch.cat(list(boxes)).to(scores.device), planes, len(scores) * classes, size, self.stride)
        covered = (covered > 0).unflatten(0, (len(scores), classes))
        inside = covered.any(dim=1, keepdim=True)
        if self.target == 'masks':
            if masks is None:
                raise ValueError("BoxTextLoss: target='masks' needs masks: load annotations with with_mask=True")
            covered = mask_counts(masks, planes, len(scores) * classes, size, self.stride)
            covered = (covered > 0).unflatten(0, (len(scores), classes))
        with torch.autocast(scores.device.type, enabled=False):
            logits = F.interpolate(scores.float() / self.temperature, size=size, mode='bilinear', align_corners=False)
            total = F.binary_cross_entropy_with_logits(
                logits, covered.to(logits.dtype), inside.to(logits.dtype).expand_as(logits), reduction='sum'
            )
        return {'loss_pixel_text': self.weight * total / (classes * inside.sum().clamp(min=1))}

    def extra_repr(self) -> str:
        return f'temperature={self.temperature}, weight={self.weight}, stride={self.stride}, target={self.target!r}'


def box_counts(boxes: Tensor, planes: Tensor, num_planes: int, size: tuple[int, int], stride: int) -> Tensor:
    """Number of boxes that cover each cell, without a loop: marks at corners are summed along both axes.

    Args:
        boxes: (G, 4) corners in pixels.
        planes: (G,) index of the plane each box is counted in.
        num_planes: P.
        size: (h, w) of a plane in cells.
        stride: pixels per cell.

    Returns:
        (P, h, w) int32.
    """
    height, width = size
    cells = (boxes / stride).long()
    x1, x2 = cells[:, 0::2].clamp(0, width - 1).unbind(1)
    y1, y2 = cells[:, 1::2].clamp(0, height - 1).unbind(1)
    one = ((x2 > x1) & (y2 > y1)).to(torch.int32)
    marks = torch.zeros(num_planes * height * width, dtype=torch.int32, device=boxes.device)
    for y, x, sign in ((y1, x1, 1), (y1, x2, -1), (y2, x1, -1), (y2, x2, 1)):
        marks.index_add_(0, (planes * height + y) * width + x, sign * one)
    return marks.view(num_planes, height, width).cumsum(1, dtype=torch.int32).cumsum(2, dtype=torch.int32)


def mask_counts(masks: Sequence[Tensor], planes: Tensor, num_planes: int, size: tuple[int, int], stride: int) -> Tensor:
    """Number of masks that cover the centre of each cell.

    Args:
        masks: of each image (G_b, H, W), non-zero on the object; G in all.  Sizes may differ: a mask
            smaller than the plane is padded with zeros at the right and at the bottom.
        planes: (G,) index of the plane each mask is counted in.
        num_planes: P.
        size: (h, w) of a plane in cells.
        stride: pixels per cell.

    Returns:
        (P, h, w) int32.
    """
    height, width = size
    counts = torch.zeros(num_planes, height, width, dtype=torch.int32, device=planes.device)
    for mask, own in zip(masks, planes.split([len(mask) for mask in masks]), strict=True):
        centres = mask[:, stride // 2 :: stride, stride // 2 :: stride][:, :height, :width] != 0
        rows, columns = centres.shape[-2:]
        counts[:, :rows, :columns].index_add_(0, own, centres.to(counts))
    return counts
