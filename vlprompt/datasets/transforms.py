"""The image pipeline of the CoOp family: PIL images, torchvision's transforms, bicubic interpolation."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal, get_args

import torch
from mmcv.transforms import BaseTransform
from torchvision import transforms as T
from torchvision.transforms import functional as F

from vlprompt.clip.preprocessing import RESIZE_MODES
from vlprompt.datasets.images import load_sample_image
from vlprompt.errors import ImageSizeError
from vlprompt.registry import TRANSFORMS
from vlprompt.structures import ClassificationSample


@TRANSFORMS.register_module()
class LoadImage(BaseTransform):
    """Read ``img_path`` as an RGB PIL image; see :mod:`vlprompt.datasets.pixels` for the rule.

    Adds ``img``, ``exif`` (its :class:`~vlprompt.datasets.exif.Orientation`) and ``ori_shape`` (H, W).  A PIL image
    that is ``img`` already is used instead of the file.

    Args:
        exif_orientation: turn the image upright by its EXIF orientation; False: pixels as they are stored, as in the
            official code of CoOp and CLIP-ReID.

    Raises:
        FileNotFoundError: there is no such file.
        OSError: it is no regular file, or cannot be decoded; the message names it.
    """

    def __init__(self, exif_orientation: bool = True) -> None:
        self.exif_orientation = exif_orientation

    def transform(self, results: dict) -> dict:
        image, results['exif'] = load_sample_image(results, self.exif_orientation)
        results['img'] = image
        results['ori_shape'] = (image.height, image.width)
        return results


@TRANSFORMS.register_module()
class KeepInMemory(BaseTransform):
    """Keep what a transform without random numbers makes of an image file, for all further epochs.

    Each process that loads images has a memory of its own, which lasts as long as its dataset: with
    ``persistent_workers=True``, or without workers, as long as the training.

    Args:
        transform: such as :class:`LoadImage`, or its config.  It reads ``img_path`` alone; the entries that it adds or
            replaces are kept.  Later transforms must not change them in place, which those of PIL images never do.
        gigabytes: decoded images that are kept at most in each process; images beyond are read in every epoch.
    """

    caches = ('_left', '_kept')
    """Attributes on which no result depends."""

    def __init__(self, transform: BaseTransform | dict, gigabytes: float = 1.0) -> None:
        self.transform_once = TRANSFORMS.build(transform) if isinstance(transform, dict) else transform
        self._left = gigabytes * 1e9
        self._kept: dict[str, dict] = {}

    def transform(self, results: dict) -> dict:
        if 'img' in results:  # decoded already
            return self.transform_once(results)
        path = results['img_path']
        if path not in self._kept:
            before = dict(results)
            found = self.transform_once(results)
            added = {name: value for name, value in found.items() if name not in before or before[name] is not value}
            width, height = added['img'].size
            if (size := 3 * width * height) > self._left:
                return found
            self._left -= size
            self._kept[path] = added
        return results | self._kept[path]


LARGEST = 178_956_970
"""Pixels of the largest image, the limit above which Pillow refuses to open a file."""


class ImageTransform(BaseTransform):
    """Apply a torchvision transform to ``img``."""

    def __init__(self, operation: object) -> None:
        self.operation = operation

    def transform(self, results: dict) -> dict:
        results['img'] = self.operation(results['img'])
        return results

    def __repr__(self) -> str:
        return f'{type(self).__name__}: {self.operation}'


@TRANSFORMS.register_module()
class RandomResizedCrop(ImageTransform):
    """Crop a random part and resize it to ``size`` x ``size``.

    Args:
        size: side of the result in pixels.
        scale: range of the part's area relative to the image.
        ratio: range of its aspect ratio (width / height).
        interpolation: ``'bicubic'`` or ``'bilinear'``.
    """

    def __init__(
        self,
        size: int,
        scale: Sequence[float] = (0.08, 1.0),
        ratio: Sequence[float] = (3 / 4, 4 / 3),
        interpolation: str = 'bicubic',
    ) -> None:
        mode = T.InterpolationMode(interpolation)
        super().__init__(T.RandomResizedCrop(size, tuple(scale), tuple(ratio), interpolation=mode))


@TRANSFORMS.register_module()
class RandomHorizontalFlip(ImageTransform):
    """Mirror left and right with probability ``prob``."""

    def __init__(self, prob: float = 0.5) -> None:
        super().__init__(T.RandomHorizontalFlip(prob))


@TRANSFORMS.register_module()
class ResizeShorterSide(ImageTransform):
    """Resize so that the shorter side is ``size`` pixels, keeping the aspect ratio.

    Args:
        size: in pixels.
        interpolation: ``'bicubic'`` or ``'bilinear'``.

    Raises:
        ImageSizeError: the result would have more pixels than Pillow takes as safe, as for a line of pixels.
    """

    def __init__(self, size: int, interpolation: str = 'bicubic') -> None:
        super().__init__(T.Resize(size, interpolation=T.InterpolationMode(interpolation)))
        self.size = size

    def transform(self, results: dict) -> dict:
        short, long = sorted(results['img'].size)
        if self.size * (self.size * long // short) > LARGEST:
            width, height = results['img'].size
            raise ImageSizeError(
                f'{results.get("img_path", "an image")} is {width} x {height} pixels, too elongated to be resized to '
                f'{self.size} pixels on the shorter side; crop it'
            )
        return super().transform(results)


@TRANSFORMS.register_module()
class SquareImage(ImageTransform):
    """Make an image ``size`` x ``size`` pixels, in the way in which a tower's images were prepared.

    Args:
        size: side of the result in pixels.
        mode: ``'shortest'`` resizes the shorter side and cuts the centre (CLIP); ``'squash'`` resizes both sides,
            whatever the proportions (SigLIP).
        interpolation: ``'bicubic'`` or ``'bilinear'``.

    Raises:
        ValueError: another mode.
        ImageSizeError: see :class:`ResizeShorterSide`.
    """

    def __init__(self, size: int, mode: str = 'shortest', interpolation: str = 'bicubic') -> None:
        if mode not in RESIZE_MODES:
            raise ValueError(f'SquareImage: mode must be one of {RESIZE_MODES}, got {mode!r}')
        super().__init__(T.CenterCrop(size))
        squashed = T.Resize((size, size), interpolation=T.InterpolationMode(interpolation))
        self.resize = ResizeShorterSide(size, interpolation) if mode == 'shortest' else ImageTransform(squashed)

    def transform(self, results: dict) -> dict:
        return super().transform(self.resize.transform(results))


@TRANSFORMS.register_module()
class CenterCrop(ImageTransform):
    """Cut the central ``size`` x ``size`` pixels.

    Raises:
        ImageSizeError: an image that is smaller.
    """

    def __init__(self, size: int) -> None:
        super().__init__(T.CenterCrop(size))
        self.size = size

    def transform(self, results: dict) -> dict:
        width, height = results['img'].size
        if min(width, height) < self.size:
            raise ImageSizeError(
                f'{results.get("img_path", "an image")} is {width} x {height} pixels before a center crop of '
                f'{self.size} x {self.size}, which would be filled with black: resize it to more (resize_size)'
            )
        return super().transform(results)


@TRANSFORMS.register_module()
class FiveCrop(ImageTransform):
    """Views for a test: the four corners and the centre of an image that is a little larger than they are.

    The crops of LIFT's test-time ensembling (Shi et al., ICML 2024).  The shorter side becomes ``size + expand``
    pixels; the longer one keeps the aspect ratio.  ``img`` becomes a tuple of five ``size`` x ``size`` images, as
    torchvision's ``FiveCrop`` cuts them: top left, top right, bottom left, bottom right and centre.
    :class:`PackClassification` stacks them, for :class:`~vlprompt.models.CropTTAModel`.

    With 24 pixels the corners of square images lie 1.5 patches of 16 pixels apart, so every view has other patches.

    Args:
        size: side of the crops in pixels.
        expand: pixels by which the shorter side is longer, at least 0.
        interpolation: ``'bilinear'``, as in LIFT, or ``'bicubic'``.

    Raises:
        ValueError: a negative ``expand``.
        ImageSizeError: see :class:`ResizeShorterSide`.
    """

    def __init__(self, size: int, expand: int = 24, interpolation: str = 'bilinear') -> None:
        if expand < 0:
            raise ValueError(
                f'FiveCrop: expand={expand} would make images smaller than their crops; give the number of pixels by '
                'which the shorter side is longer than a crop, at least 0'
            )
        super().__init__(T.FiveCrop(size))
        self.resize = ResizeShorterSide(size + expand, interpolation)

    def transform(self, results: dict) -> dict:
        return super().transform(self.resize.transform(results))


CropSchedule = Literal['min', 'linear', 'convex', 'concave', 'max']
"""How the smallest crop of :class:`MinimalistCrop` grows."""

_GROWTH: Mapping[str, Callable[[float], float]] = dict(
    min=lambda t: 0.0,
    linear=lambda t: t,
    convex=lambda t: 1 - math.sqrt(1 - t**2),
    concave=lambda t: math.sqrt(1 - (1 - t) ** 2),
    max=lambda t: 1.0,
)


@TRANSFORMS.register_module()
class MinimalistCrop(BaseTransform):
    r"""Cut a random square, larger ones as the training goes on, and resize it: the augmentation of LIFT+.

    LIFT+ (the successor of Shi et al., ICML 2024) trains on these crops alone, neither mirrored nor stretched.  With m
    the share of the largest square, :math:`m = \min(H, W)^2 / (H W)`, the share of the crop is uniform in
    :math:`[\min(s, m), \min(s_1, m)]` and its place is uniform.  In epoch :math:`e = 0, \dots, E - 1` of E, with
    :math:`t = e / (E - 1)` and (:math:`s_0, s_1`) = ``scale``,

    .. math::
        s = s_0 + (s_1 - s_0) f(t)

    ===========  ==========================
    schedule     :math:`f(t)`
    ===========  ==========================
    ``min``      0: no schedule
    ``linear``   t
    ``convex``   :math:`1 - \sqrt{1 - t^2}`
    ``concave``  :math:`\sqrt{1 - (1 - t)^2}`
    ``max``      1: the largest crops
    ===========  ==========================

    A training of a single epoch has t = 0, the beginning.  :class:`~vlprompt.engine.ProgressHook` tells the epoch by
    :meth:`set_progress`; until then it is the first.  The share lies in shared memory, so that data workers which live
    on from epoch to epoch (``persistent_workers=True``) read the new one.

    Args:
        size: side of the result in pixels.
        scale: :math:`s_0` and :math:`s_1`, shares of the image's area: the smallest crop of the first epoch and the
            largest of all.
        schedule: how the smallest crop grows.
        interpolation: ``'bicubic'``, as in LIFT+, or ``'bilinear'``.

    Raises:
        ValueError: ``scale`` that is no range in (0, 1], or an unknown ``schedule``.
    """

    def __init__(
        self,
        size: int,
        scale: Sequence[float] = (0.08, 1.0),
        schedule: CropSchedule = 'convex',
        interpolation: str = 'bicubic',
    ) -> None:
        if len(scale) != 2 or not 0 < scale[0] <= scale[1] <= 1:
            raise ValueError(
                f'MinimalistCrop: scale={tuple(scale)} must be the smallest and the largest share of the area of the '
                'image, in (0, 1], such as (0.08, 1.0)'
            )
        if schedule not in _GROWTH:
            raise ValueError(f'MinimalistCrop: schedule={schedule!r} must be one of {get_args(CropSchedule)}')
        self.size, self.scale, self.schedule = size, tuple(scale), schedule
        self.interpolation = T.InterpolationMode(interpolation)
        self._smallest = torch.zeros((), dtype=torch.float64)
        self.set_progress(0, 1)

    @property
    def smallest(self) -> float:
        """s, the smallest share of the area in this epoch, for images with m of at least s."""
        return self._smallest.item()

    def set_progress(self, epoch: int, epochs: int) -> None:
        """Set the smallest crop for ``epoch`` (0-based) of ``epochs``, in this process and in its data workers.

        Called before the workers start; those that live longer see every later call.
        """
        first, last = self.scale
        t = min(epoch / (epochs - 1), 1.0) if epochs > 1 else 0.0
        self._smallest.share_memory_().fill_(first + (last - first) * _GROWTH[self.schedule](t))

    def transform(self, results: dict) -> dict:
        image = results['img']
        square = min(image.size) ** 2 / (image.width * image.height)
        range_ = min(self.smallest, square), min(self.scale[1], square)
        top, left, height, width = T.RandomResizedCrop.get_params(image, range_, (1.0, 1.0))
        side = (self.size, self.size)
        results['img'] = F.resized_crop(image, top, left, height, width, side, self.interpolation)
        return results

    def __repr__(self) -> str:
        return f'{type(self).__name__}(size={self.size}, scale={self.scale}, schedule={self.schedule!r})'


def follow_progress(dataset: Any, epoch: int, epochs: int) -> list[Any]:
    """Tell the epoch to the transforms of a dataset that have a schedule of their own, through wrappers of both.

    Args:
        dataset: with a ``pipeline``, or around others that have one.
        epoch: 0-based.
        epochs: of the training.

    Returns:
        The transforms that have one.
    """
    found = [transform for transform in _parts_of(dataset) if hasattr(transform, 'set_progress')]
    for transform in found:
        transform.set_progress(epoch, epochs)
    return found


def _parts_of(node: Any) -> list[Any]:
    """A dataset or transform and what it is made of."""
    inner = [getattr(node, name, None) for name in ('dataset', 'pipeline')]
    lists = [getattr(node, name, None) for name in ('datasets', 'transforms')]
    inner += [part for parts in lists if isinstance(parts, (list, tuple)) for part in parts]
    inner += list(node) if isinstance(node, (list, tuple)) else []
    return [node, *(found for part in inner if not isinstance(part, (str, type(None))) for found in _parts_of(part))]


@TRANSFORMS.register_module()
class PackClassification(BaseTransform):
    """Finish a sample: ``inputs`` uint8 (3, H, W) RGB and ``data_samples`` with label and meta information.

    A tuple of V images, such as :class:`FiveCrop` makes of one, becomes ``inputs`` (V, 3, H, W).

    Args:
        meta_keys: entries of the results that the data sample keeps, if they exist.
    """

    def __init__(self, meta_keys: Sequence[str] = ('sample_idx', 'img_path', 'ori_shape', 'img_shape')) -> None:
        self.meta_keys = tuple(meta_keys)

    def transform(self, results: dict) -> dict:
        image = results['img']
        several = isinstance(image, tuple)
        inputs = torch.stack([F.pil_to_tensor(view) for view in image]) if several else F.pil_to_tensor(image)
        results['img_shape'] = tuple(inputs.shape[-2:])
        sample = ClassificationSample(metainfo={key: results[key] for key in self.meta_keys if key in results})
        if 'gt_label' in results:
            sample.set_gt_label(results['gt_label'])
        return dict(inputs=inputs, data_samples=sample)
