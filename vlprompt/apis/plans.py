"""Transport plans of an image."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch import nn

from vlprompt.alignment import Alignment
from vlprompt.alignment.transport import LocalAlignment
from vlprompt.errors import ConfigError
from vlprompt.visualization.figures import to_uint8_image


def check_plans(model: nn.Module, config: str) -> None:
    """Raise ConfigError unless a model has transport plans of prompts and places of the image."""
    alignment = getattr(model, 'alignment', None)
    if not isinstance(alignment, LocalAlignment):
        raise ConfigError(
            f'{config}: {type(model if alignment is None else alignment).__name__} has no transport plan; '
            'use a model with TransportAlignment, such as those of configs/plot'
        )
    if getattr(model.visual, 'sets', None) is not None:
        raise ConfigError(
            f'{config}: its plan matches prompts with {model.visual.sets} sets of visual prompts, not with '
            'places in the image; use a model without visual.sets'
        )


@torch.no_grad()
def align_sample(model: nn.Module, sample: Mapping[str, Any]) -> tuple[np.ndarray, Alignment]:
    """An image (H, W, 3) uint8 as the model sees it, and its alignment with the classes, of batch size 1.

    Args:
        model: that :func:`check_plans` accepts.
        sample: of its test pipeline, with ``inputs`` and ``data_samples``.
    """
    preprocessor = model.data_preprocessor
    batch = preprocessor(dict(inputs=[sample['inputs']], data_samples=[sample['data_samples']]))
    return to_uint8_image(batch['inputs'][0], preprocessor.mean, preprocessor.std), model.align(batch['inputs'])
