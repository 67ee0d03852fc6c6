"""From pixels to the input of a tower."""

import numpy as np
import torch
from torch import Tensor

from vlprompt.models.preprocessors import CLIP_MEAN, CLIP_STD

MEAN, STD = (torch.tensor(values).view(3, 1, 1) for values in (CLIP_MEAN, CLIP_STD))


def normalise(images: np.ndarray) -> Tensor:
    """(B, H, W, 3) uint8 -> (B, 3, H, W) fp32, CLIP's mean and deviation."""
    return (torch.from_numpy(images).permute(0, 3, 1, 2).float() / 255 - MEAN) / STD
