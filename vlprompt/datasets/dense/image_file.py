"""Reading the images of dense prediction, with errors that name the file."""

from __future__ import annotations

from mmcv.transforms import BaseTransform

from vlprompt.datasets.images import decode_bgr, load_image
from vlprompt.registry import TRANSFORMS


@TRANSFORMS.register_module()
class LoadImageFile(BaseTransform):
    """Read ``img_path`` as (H, W, 3) uint8 BGR, rotated according to EXIF orientation.

    Adds ``img``, ``img_shape`` and ``ori_shape`` (H, W).

    Raises:
        FileNotFoundError: there is no such file.
        OSError: the file is empty or not an image; the message names it.
        ValueError: the dataset gives ``width`` and ``height``, but the image has another size.
    """

    def transform(self, results: dict) -> dict:
        path = results['img_path']
        image = load_image(path, decode_bgr)
        height, width = image.shape[:2]
        given = (results.get('width', width), results.get('height', height))
        if given != (width, height):
            raise ValueError(
                f'image {path} is {width} x {height} pixels, but its annotations are for {given[0]} x {given[1]}'
            )
        results['img'] = image
        results['img_shape'] = results['ori_shape'] = (height, width)
        return results
