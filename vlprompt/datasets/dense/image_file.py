"""Reading the images of dense prediction, with errors that name the file."""

from __future__ import annotations

import cv2
from mmcv.transforms import LoadImageFromFile

from vlprompt.registry import TRANSFORMS


@TRANSFORMS.register_module()
class LoadImageFile(LoadImageFromFile):
    """Read ``img_path`` as (H, W, 3) BGR; arguments are mmcv's.

    Raises:
        FileNotFoundError: there is no such file.
        OSError: the file is empty or no image; the message names it.
        ValueError: the data set gives ``width`` and ``height``, and the image is of another size.
    """

    def transform(self, results: dict) -> dict:
        path = results['img_path']
        try:
            loaded = super().transform(results)
        except (AssertionError, AttributeError, cv2.error) as error:
            raise OSError(f'image {path} cannot be read: it is empty, damaged or no image') from error
        height, width = loaded['ori_shape']
        given = (loaded.get('width', width), loaded.get('height', height))
        if given != (width, height):
            raise ValueError(
                f'image {path} is {width} x {height} pixels, but its annotations are for {given[0]} x {given[1]}'
            )
        return loaded
