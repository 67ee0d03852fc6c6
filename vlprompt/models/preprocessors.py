"""Preprocessing of loaded images into batches for CLIP's image tower."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from mmengine.model import BaseDataPreprocessor
from mmengine.structures import BaseDataElement
from torch import Tensor

from vlprompt.clip.preprocessing import CLIP_MEAN, CLIP_STD, Preprocessing
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

    Equal, bit for bit, to torchvision's ``ToTensor`` + ``Normalize`` on the CPU:
    ``(image / 255 - mean) / std`` per channel in float32.  Rectangles that
    :class:`~vlprompt.datasets.reid.transforms.RandomErasing` chose are then filled with its noise.

    Args:
        mean: of the R, G, B channels in units of [0, 1]; CLIP's by default.
        std: of the same channels.
        non_blocking: copy to the device without waiting (useful with pinned memory).
    """

    mean: Tensor
    std: Tensor

    def __init__(
        self,
        mean: Sequence[float] = CLIP_MEAN,
        std: Sequence[float] = CLIP_STD,
        non_blocking: bool = False,
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
        data = self.cast_data(data)
        samples = data.get('data_samples')
        images = self._stack(data['inputs'], samples)
        images = images.float().div(255).sub(self.mean).div(self.std)
        for image, sample in zip(images, samples or (), strict=False):
            _erase(image, sample)
        return dict(inputs=images, data_samples=samples)

    @staticmethod
    def _stack(images: Sequence[Tensor] | Tensor, samples: Sequence | None) -> Tensor:
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
        return images if isinstance(images, Tensor) else torch.stack(list(images))


def _erase(image: Tensor, sample: BaseDataElement) -> None:
    """Fill the rectangle ``erased_box`` of a normalised image (3, H, W), if any, with ``erased_noise``."""
    if 'erased_box' in sample:
        top, left, height, width = sample.pop('erased_box').tolist()
        image[:, top : top + height, left : left + width] = sample.pop('erased_noise')
