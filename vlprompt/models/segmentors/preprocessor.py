"""Preprocessing of batches for segmentors."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch.nn.functional as F
from mmengine.structures import PixelData
from mmseg.models import SegDataPreProcessor
from mmseg.structures import SegDataSample
from torch import Tensor

from vlprompt.models.transfer import alike, to_device
from vlprompt.registry import MODELS


@MODELS.register_module()
class SegPreprocessor(SegDataPreProcessor):
    """mmseg's ``SegDataPreProcessor``, with a copy and a few operations for a batch instead of for every image.

    Images of one size, as crops are, move to the device as uint8 by one copy and their label maps by another, and are
    normalised there together; channels change places without an index that the device would wait for.  The result is
    that of mmseg, bit for bit.  Other batches, such as images of several sizes or with edge or depth maps, as well as
    ``batch_augments`` and ``test_cfg`` are left to mmseg.

    Args: those of mmseg.
    """

    def forward(self, data: dict[str, Any], training: bool = False) -> dict[str, Any]:
        """Normalise and, for training, pad a batch.

        Args:
            data: ``inputs``: B images (3, H, W), and ``data_samples``: B samples, None or absent.
            training: whether to pad to ``size`` or ``size_divisor``.

        Returns:
            ``inputs`` (B, 3, H', W') float32 and ``data_samples``, both on the preprocessor's device.
        """
        samples = data.get('data_samples')
        own = self.test_cfg if not training else self.batch_augments
        if own or not (alike(data['inputs']) and _have_like_maps(samples)):
            return super().forward(data, training)
        images = to_device(data['inputs'], self.device, non_blocking=self._non_blocking)
        if self._channel_conversion and images.shape[1] == 3:
            images = images.flip(1)
        images = images.float()
        if self._enable_normalize:
            images = (images - self.mean) / self.std
        size = tuple(images.shape[-2:])
        padding = self._padding(*size) if training else (0, 0, 0, 0)
        if any(padding):
            images = F.pad(images, padding, value=self.pad_val)
        if samples is not None:
            samples = self._moved(samples, padding)
            for sample in samples if training else ():
                own = sample.get('gt_sem_seg')
                sample.set_metainfo(
                    dict(img_shape=size, pad_shape=None if own is None else own.shape, padding_size=padding)
                )
        return dict(inputs=images, data_samples=samples)

    def _padding(self, height: int, width: int) -> tuple[int, int, int, int]:
        """Columns and rows to add: (left, right, top, bottom)."""
        if self.size is not None:
            return 0, max(self.size[-1] - width, 0), 0, max(self.size[-2] - height, 0)
        unit = self.size_divisor or 1
        return 0, -width % unit, 0, -height % unit

    def _moved(self, samples: Sequence[SegDataSample], padding: tuple[int, int, int, int]) -> list[SegDataSample]:
        """Samples on the device, with padded label maps; those of the data loader stay as they are."""
        moved = [sample.new() for sample in samples]
        if not samples or 'gt_sem_seg' not in samples[0]:
            return self.cast_data(moved)
        for sample in moved:
            del sample.gt_sem_seg
        moved, maps = self.cast_data(moved), [sample.gt_sem_seg.data for sample in samples]
        labels: Tensor = to_device(maps, self.device, non_blocking=self._non_blocking)
        if any(padding):
            labels = F.pad(labels, padding, value=self.seg_pad_val)
        for sample, before, label in zip(moved, samples, labels, strict=True):
            sample.gt_sem_seg = PixelData(metainfo=before.gt_sem_seg.metainfo, data=label)
        return moved


def _have_like_maps(samples: Sequence[SegDataSample] | None) -> bool:
    """Whether all samples have a label map of one size and type, or none has, and no map of another kind."""
    if any(name in sample for sample in samples or () for name in ('gt_edge_map', 'gt_depth_map')):
        return False
    maps = [sample.gt_sem_seg.data for sample in samples or () if 'gt_sem_seg' in sample]
    return not maps or (len(maps) == len(samples) and alike(maps))
