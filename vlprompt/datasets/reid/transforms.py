"""The image pipeline of re-identification: fixed size, shifted crops, rectangles filled with noise."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from mmcv.transforms import BaseTransform
from torchvision import transforms as T
from torchvision.transforms import functional as F

from vlprompt.datasets.transforms import ImageTransform
from vlprompt.registry import TRANSFORMS
from vlprompt.structures import ReIDSample


@TRANSFORMS.register_module()
class ResizeImage(ImageTransform):
    """Resize to exactly ``size``, whatever the aspect ratio, with antialiasing.

    Args:
        size: height and width in pixels.
        interpolation: ``'bilinear'`` or ``'bicubic'``.
    """

    def __init__(self, size: tuple[int, int], interpolation: str = 'bilinear') -> None:
        super().__init__(T.Resize(tuple(size), interpolation=T.InterpolationMode(interpolation)))


@TRANSFORMS.register_module()
class PaddedRandomCrop(ImageTransform):
    """Surround the image by ``padding`` black pixels and cut ``size`` out of it at a random place.

    Args:
        size: height and width in pixels.
        padding: pixels on each side.
    """

    def __init__(self, size: tuple[int, int], padding: int = 10) -> None:
        super().__init__(T.RandomCrop(tuple(size), padding=padding))


@TRANSFORMS.register_module()
class RandomErasing(BaseTransform):
    r"""Choose, with probability ``prob``, a rectangle whose *normalised* pixels become standard normal noise.

    Random erasing (Zhong et al., AAAI 2020) with noise per pixel and channel.  The share of the rectangle in the area
    of the image is uniform in ``area``, the logarithm of its aspect ratio h / w uniform in
    :math:`[\log a, -\log a]` with a = ``min_aspect``; rectangles that do not fit into the image are drawn again,
    ten times at most.  Place and noise are drawn here, where random numbers belong to the sample; the noise is filled
    in after the normalisation, by :class:`~vlprompt.models.preprocessors.ClipPreprocessor`.

    Adds ``erased_box`` (4,) int64: top, left, height, width, and ``erased_noise`` (3, h, w) float32.  Comes last before
    :class:`PackReIDInputs`: a later change of the geometry would not move the rectangle.

    Args:
        prob: probability of erasing.
        area: range of the share of the image.
        min_aspect: smallest h / w; the largest is its inverse.
    """

    TRIES = 10

    def __init__(self, prob: float = 0.5, area: tuple[float, float] = (0.02, 1 / 3), min_aspect: float = 0.3) -> None:
        if not 0 <= prob <= 1 or not 0 < area[0] <= area[1] < 1 or not 0 < min_aspect <= 1:
            raise ValueError(
                f'RandomErasing: prob must be in [0, 1], area a range in (0, 1) and min_aspect in (0, 1]; got {prob}, '
                f'{tuple(area)}, {min_aspect}'
            )
        self.prob = prob
        self.area = tuple(area)
        self.min_aspect = min_aspect

    def transform(self, results: dict) -> dict:
        if torch.rand(()) >= self.prob:
            return results
        box = self._box(results['img'].height, results['img'].width)
        if box is not None:
            results['erased_box'] = torch.tensor(box)
            results['erased_noise'] = torch.randn(3, *box[2:])
        return results

    def _box(self, height: int, width: int) -> tuple[int, int, int, int] | None:
        bound = -math.log(self.min_aspect)
        for _ in range(self.TRIES):
            area, aspect = torch.rand(2, dtype=torch.float64).tolist()
            area = (self.area[0] + area * (self.area[1] - self.area[0])) * height * width
            aspect = math.exp((2 * aspect - 1) * bound)
            h, w = round(math.sqrt(area * aspect)), round(math.sqrt(area / aspect))
            if 0 < h < height and 0 < w < width:
                return int(torch.randint(height - h + 1, ())), int(torch.randint(width - w + 1, ())), h, w
        return None

    def __repr__(self) -> str:
        return f'{type(self).__name__}(prob={self.prob}, area={self.area}, min_aspect={self.min_aspect})'


@TRANSFORMS.register_module()
class PackReIDInputs(BaseTransform):
    """Finish a sample: ``inputs`` uint8 (3, H, W) RGB and ``data_samples``, a :class:`ReIDSample`.

    Args:
        meta_keys: entries of the results that the data sample keeps as meta information, if they exist.
    """

    FIELDS = ('pid', 'camid', 'viewid', 'erased_box', 'erased_noise')

    def __init__(self, meta_keys: Sequence[str] = ('role', 'sample_idx', 'img_path', 'ori_shape', 'img_shape')) -> None:
        self.meta_keys = tuple(meta_keys)

    def transform(self, results: dict) -> dict:
        inputs = F.pil_to_tensor(results['img'])
        results['img_shape'] = tuple(inputs.shape[1:])
        sample = ReIDSample(metainfo={key: results[key] for key in self.meta_keys if key in results})
        for key in self.FIELDS:
            if key in results:
                sample.set_field(results[key], key)
        if 'gt_label' in results:
            sample.set_gt_label(results['gt_label'])
        return dict(inputs=inputs, data_samples=sample)
