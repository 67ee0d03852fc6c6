"""Preprocessing of loaded images into batches for CLIP's image tower."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from mmengine.model import BaseDataPreprocessor
from mmengine.structures import BaseDataElement
from mmengine.utils import is_seq_of
from torch import Tensor

from vlprompt.clip.preprocessing import CLIP_MEAN, CLIP_STD, Preprocessing
from vlprompt.models.transfer import alike, to_device
from vlprompt.registry import MODELS


def preprocessor_for(
    way: Preprocessing | None, type_: str = 'vlprompt.ClipPreprocessor', unit: float = 1.0, **options: Any
) -> dict[str, Any]:
    """Config of a preprocessor that normalises images as they were when weights were trained.

    Args:
        way: how; None: as in CLIP.
        type_: of the preprocessor.
        unit: of its ``mean`` and ``std``, the value of a white pixel.
        **options: further arguments of the preprocessor.
    """
    way = way or Preprocessing()
    mean, std = ([unit * number for number in moment] for moment in (way.mean, way.std))
    return dict(type=type_, mean=mean, std=std, **options)


@MODELS.register_module()
class ClipPreprocessor(BaseDataPreprocessor):
    """Stack uint8 RGB images, move them to the model's device, scale to [0, 1] and normalise.

    A batch is moved by three copies: of its images, its labels, and the noise of erased rectangles.

    Equal, bit for bit, to torchvision's ``ToTensor`` + ``Normalize`` on the CPU:
    ``(image / 255 - mean) / std`` per channel in float32.  Rectangles that
    :class:`~vlprompt.datasets.reid.transforms.RandomErasing` chose are then filled with its noise.

    Args:
        mean: of the R, G, B channels in units of [0, 1]; CLIP's by default.
        std: of the same channels.
        non_blocking: copy to the device without waiting for it; on a GPU by way of pinned memory.
    """

    mean: Tensor
    std: Tensor

    def __init__(
        self,
        mean: Sequence[float] = CLIP_MEAN,
        std: Sequence[float] = CLIP_STD,
        non_blocking: bool = True,
    ) -> None:
        super().__init__(non_blocking=non_blocking)
        for name, values in (('mean', mean), ('std', std)):
            if len(values) != 3 or max(values) > 1:
                raise ValueError(
                    f'ClipPreprocessor: {name} needs three values in units of [0, 1], got {tuple(values)}; '
                    'divide values in units of 0-255 by 255'
                )
            self.register_buffer(name, torch.tensor(values).view(-1, 1, 1), persistent=False)

    def forward(self, data: dict, training: bool = False) -> dict:
        """Normalise one batch.

        Args:
            data: ``inputs``: list of B uint8 tensors (3, H, W) of equal size, or one tensor (B, 3, H, W);
                ``data_samples``: list of B samples, or absent.
            training: unused; augmentation is drawn in the data pipeline.

        Returns:
            ``inputs`` (B, 3, H, W) float32, normalised, and ``data_samples`` (None if absent), both on the
            preprocessor's device.

        Raises:
            TypeError: the images are not uint8 (already normalised ones go to the model directly).
            ValueError: the images are not RGB or differ in size.
        """
        samples = data.get('data_samples')
        images = self._move(self._checked(data['inputs'], samples))
        images = images.float().div_(255).sub_(self.mean).div_(self.std)
        if not is_seq_of(samples, BaseDataElement):
            return dict(inputs=images, data_samples=self.cast_data(samples))
        samples = [sample.new() for sample in samples]  # those of the data loader stay as they are
        self._erase(images, samples)
        self._move_fields(samples)
        return dict(inputs=images, data_samples=samples)

    def cast_data(self, data: Any) -> Any:
        """mmengine's: whatever holds tensors, on the device."""
        return self._move(data) if isinstance(data, Tensor) else super().cast_data(data)

    def _move(self, tensors: Sequence[Tensor] | Tensor, join: Callable[..., Tensor] = torch.stack) -> Tensor:
        """:func:`~vlprompt.models.transfer.to_device` of the preprocessor."""
        return to_device(tensors, self.device, join, self._non_blocking)

    def _erase(self, images: Tensor, samples: Sequence[BaseDataElement]) -> None:
        """Fill rectangles ``erased_box`` of images (B, 3, H, W) with ``erased_noise``; samples then have neither."""
        erased = [(image, sample) for image, sample in zip(images, samples, strict=False) if 'erased_box' in sample]
        if not erased:
            return
        boxes = [sample.pop('erased_box').tolist() for _, sample in erased]  # still on the host
        noises = [sample.pop('erased_noise') for _, sample in erased]
        moved = self._move([noise.flatten() for noise in noises], torch.cat).split([noise.numel() for noise in noises])
        for (image, _), (top, left, height, width), noise, own in zip(erased, boxes, noises, moved, strict=True):
            image[:, top : top + height, left : left + width] = own.view(noise.shape)

    def _move_fields(self, samples: Sequence[BaseDataElement]) -> None:
        """Put the data fields of samples on the device; a tensor that all have, in one shape and dtype, by one copy."""
        for name in set().union(*(sample.keys() for sample in samples)):
            owners = [sample for sample in samples if name in sample]
            values = [sample.get(name) for sample in owners]
            if alike(values):
                moved = self._move(values).unbind()
            else:
                moved = [self.cast_data(value) if hasattr(value, 'to') else value for value in values]
            for sample, value in zip(owners, moved, strict=True):
                sample.set_data({name: value})

    @staticmethod
    def _checked(images: Sequence[Tensor] | Tensor, samples: Sequence | None) -> Sequence[Tensor] | Tensor:
        """The images, all uint8 RGB of one size."""
        for i, image in enumerate(images):
            name = samples[i].get('img_path', f'image {i}') if samples else f'image {i}'
            if image.dtype != torch.uint8:
                raise TypeError(
                    f'ClipPreprocessor expects uint8 images, but {name} is {image.dtype}. Images that are '
                    'normalised already are given to the model directly: model(images)'
                )
            if image.dim() != 3 or image.shape[0] != 3:
                raise ValueError(f'ClipPreprocessor expects shape (3, H, W), but {name} has {tuple(image.shape)}')
            if image.shape != images[0].shape:
                raise ValueError(
                    f'{name} is {tuple(image.shape[1:])} but the first image of the batch is '
                    f'{tuple(images[0].shape[1:])}: end the pipeline with a crop to one size'
                )
        return images
