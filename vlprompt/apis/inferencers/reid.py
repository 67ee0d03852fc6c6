"""Descriptors of persons and vehicles."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import numpy as np
import torch.nn.functional as F
from PIL import Image
from torch import nn

from vlprompt.apis.inference import ImageFiles
from vlprompt.apis.inferencers.base import Inferencer
from vlprompt.apis.inferencers.prediction import Prediction
from vlprompt.apis.retrieval import person_files
from vlprompt.apis.sources import ChannelOrder, ImageSource
from vlprompt.errors import ConfigError


class ReIDInferencer(Inferencer):
    """Descriptors, whose products are cosines; a :class:`~vlprompt.apis.GalleryIndex` searches among them.

    Results: ``'array'``, which is the default: (D,) float32 of length 1; ``'dict'``: the same as a list of numbers;
    ``'sample'``: with ``feature`` (D,) as the model gives it, not normalised.  There is no picture.

    Args:
        *args: see :class:`.Inferencer`.
        camid: camera of the images, counted from 0, for a model with side information; -1: unknown.
        **kwargs: see :class:`.Inferencer`.

    Example:
        >>> infer = ReIDInferencer('clipreid/clipreid_vit-b16', 'epoch_60.pth', device='cuda')
        >>> infer('person.jpg').shape
        (1280,)
        >>> infer.describe_boxes(boxes, cv2.imread('frame.jpg')).shape  # as trackers call it
        (4, 1280)
    """

    task = 're-identification'
    default_output = 'array'
    draws = False
    default_options: ClassVar[Mapping[str, Any]] = dict(camid=-1)

    @classmethod
    def fits(cls, model: nn.Module) -> bool:
        return hasattr(model, 'describe')

    def _names(self, names: Sequence[str] | None) -> list[str]:
        if names is not None:
            raise ConfigError('class names: re-identification has no classes')
        return []

    def load(
        self, images: ImageSource | Sequence[ImageSource], channel_order: ChannelOrder, options: Mapping[str, Any]
    ) -> ImageFiles:
        return person_files(self.model, images, options['camid'], channel_order)

    def to_dict(self, prediction: Prediction) -> list[float]:
        return self.to_array(prediction).tolist()

    def to_array(self, prediction: Prediction) -> np.ndarray:
        return F.normalize(prediction.sample.feature.float(), dim=0).cpu().numpy()

    def summary(self, prediction: Prediction) -> str:
        return f'descriptor of {len(prediction.sample.feature)} numbers'

    def draw(self, prediction: Prediction) -> Image.Image:
        raise ConfigError('a descriptor has no picture: search for its nearest images in a vlprompt.apis.GalleryIndex')

    def describe_boxes(
        self,
        boxes: np.ndarray,
        frame: np.ndarray,
        *,
        channel_order: ChannelOrder = 'bgr',
        batch_size: int = 64,
        **options: Any,
    ) -> np.ndarray:
        """Descriptors of what is in boxes of a frame, as trackers ask for them.

        Args:
            boxes: (N, 4) corners x1, y1, x2, y2 in pixels of the frame, rounded to whole pixels; parts outside of the
                frame are cut off.
            frame: (H, W, 3) uint8.
            channel_order: of the frame; BGR is OpenCV's.
            batch_size: boxes per batch.
            **options: ``camid``.

        Returns:
            (N, D) float32 rows of length 1.

        Raises:
            ValueError: boxes of another shape, or one without a pixel of the frame.
            TypeError: a frame of another kind.
        """
        if not isinstance(frame, np.ndarray):
            raise TypeError(f'a frame is an array (H, W, 3) uint8, not {type(frame).__name__}: was the image read?')
        boxes = np.asarray(boxes, np.float64)
        if boxes.size and (boxes.ndim != 2 or boxes.shape[1] != 4):
            raise ValueError(f'boxes must be (N, 4), x1, y1, x2, y2, got {boxes.shape}')
        height, width = frame.shape[:2]
        corners = boxes.reshape(-1, 4).round().clip(0, [width, height, width, height])
        empty = np.flatnonzero(~((corners[:, 2:] - corners[:, :2]) >= 1).all(1))
        if len(empty):
            raise ValueError(
                f'box {empty[0]}, {boxes[empty[0]].tolist()}, has no pixel of the frame of {width} x {height} pixels: '
                'leave it out'
            )
        if not len(corners):
            return np.zeros((0, self.model.descriptor_length), np.float32)
        crops = [frame[y1:y2, x1:x2] for x1, y1, x2, y2 in corners.astype(int)]
        found = self(crops, channel_order=channel_order, batch_size=batch_size, progress=False, **options)
        return np.stack(found)
