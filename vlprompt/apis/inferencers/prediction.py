"""What a model predicts for one image, with all that is needed to say or draw it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from mmengine.structures import BaseDataElement

from vlprompt.apis.inference import ImageFiles


@dataclass(frozen=True)
class Prediction:
    """One image of a stream.

    Attributes:
        number: of the image, from 0.
        name: its file, or ``image <number>``.
        sample: the task's data sample, see :func:`~vlprompt.apis.predict_images`; None if there is an error.
        error: why the image cannot be read or predicted.
        class_names: K names that the labels of the sample count.
        palette: K colours of the classes, RGB from 0 to 255.
        options: of the inferencer, such as ``top_k``.
        images: all images, from which :meth:`picture` reads this one.
    """

    number: int
    name: str
    sample: BaseDataElement | None
    error: Exception | None
    class_names: Sequence[str]
    palette: Sequence[Sequence[int]]
    options: Mapping[str, Any]
    images: ImageFiles

    def picture(self) -> np.ndarray:
        """The image (H, W, 3) uint8 RGB, as the model saw it before it was resized.

        Raises:
            OSError: it cannot be read any more.
        """
        return self.images.picture(self.number)
