"""The image pipeline of the CoOp family: PIL images, torchvision's transforms, bicubic interpolation."""

from __future__ import annotations

from collections.abc import Sequence

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
    """Cut the central ``size`` x ``size`` pixels."""

    def __init__(self, size: int) -> None:
        super().__init__(T.CenterCrop(size))


@TRANSFORMS.register_module()
class PackClassification(BaseTransform):
    """Finish a sample: ``inputs`` uint8 (3, H, W) RGB and ``data_samples`` with label and meta information.

    Args:
        meta_keys: entries of the results that the data sample keeps, if they exist.
    """

    def __init__(self, meta_keys: Sequence[str] = ('sample_idx', 'img_path', 'ori_shape', 'img_shape')) -> None:
        self.meta_keys = tuple(meta_keys)

    def transform(self, results: dict) -> dict:
        inputs = F.pil_to_tensor(results['img'])
        results['img_shape'] = tuple(inputs.shape[1:])
        sample = ClassificationSample(metainfo={key: results[key] for key in self.meta_keys if key in results})
        if 'gt_label' in results:
            sample.set_gt_label(results['gt_label'])
        return dict(inputs=inputs, data_samples=sample)
