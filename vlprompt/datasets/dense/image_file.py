"""Reading the images of dense prediction, with errors that name the file."""

from __future__ import annotations

from mmcv.transforms import BaseTransform

from vlprompt.datasets.dense.mask_size import misfit_of_annotations
from vlprompt.datasets.exif import warn_if_ambiguous
from vlprompt.datasets.images import load_sample_image
from vlprompt.datasets.pixels import to_bgr
from vlprompt.registry import TRANSFORMS


@TRANSFORMS.register_module()
class LoadImageFile(BaseTransform):
    """Read ``img_path`` as (H, W, 3) uint8 BGR; see :mod:`vlprompt.datasets.pixels` for the rule.

    Adds ``img``, ``exif`` (its :class:`~vlprompt.datasets.exif.Orientation`), ``img_shape`` and ``ori_shape`` (H, W).
    A PIL image that is ``img`` already is used instead of the file.

    Args:
        exif_orientation: turn the image upright by its EXIF orientation; False: pixels as they are stored, which masks
            and boxes must then be made for.

    Raises:
        FileNotFoundError: there is no such file.
        OSError: it is no regular file, or cannot be decoded; the message names it.
        ValueError: the dataset gives ``width`` and ``height``, but the image has another size.
    """

    def __init__(self, exif_orientation: bool = True) -> None:
        self.exif_orientation = exif_orientation

    def transform(self, results: dict) -> dict:
        path = results['img_path']
        image, exif = load_sample_image(results, self.exif_orientation)
        given = (results.get('width', image.width), results.get('height', image.height))
        if given != image.size:
            raise ValueError(misfit_of_annotations(path, image.size, given, exif))
        if 'seg_map_path' in results or 'instances' in results:
            warn_if_ambiguous(path, image.size, exif)
        results['img'], results['exif'] = to_bgr(image), exif
        results['img_shape'] = results['ori_shape'] = (image.height, image.width)
        return results
