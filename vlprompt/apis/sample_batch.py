"""A batch for a model, without images: for measurements and estimates."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from mmengine.structures import BaseDataElement, PixelData
from torch import nn

from vlprompt.errors import ConfigError
from vlprompt.models import FeatureClassifier
from vlprompt.structures import ClassificationSample, ReIDSample


def image_size(model: nn.Module) -> tuple[int, int]:
    """Height and width of the images that the image tower of a model was built for.

    Raises:
        ConfigError: none of its parts was built for a size.
    """
    sizes = (getattr(module, 'image_size', None) for module in model.modules())
    found = next((size for size in sizes if isinstance(size, tuple)), None)
    if found is None:
        raise ConfigError(
            f'no part of {type(model).__name__} was built for a size of images: give it (--size H W, or --shape H W)'
        )
    return tuple(found)


def sample_batch(model: nn.Module, size: int, shape: tuple[int, int], training: bool = True) -> dict[str, Any]:
    """Arguments of a model's ``forward``, beside its mode: what its preprocessor returns.

    Args:
        model: a classifier, a model of re-identification or of its first phase, a segmentor.
        size: B.
        shape: height and width of images.
        training: with labels; of the first phase of re-identification, features instead of images.

    Returns:
        ``inputs`` (B, 3, H, W), or (B, D) features, random, and ``data_samples``; of re-identification four images of
        an identity, else of the first classes in turn.  All on the CPU.

    Raises:
        TypeError: detectors, whose steps depend on the boxes.
    """
    kind = type(model).__name__
    if hasattr(model, 'bbox_head') or hasattr(model, 'roi_head'):
        raise TypeError(f'the steps of {kind} depend on the boxes')
    images = torch.randn(size, 3, *shape)
    if hasattr(model, 'decode_head'):
        return dict(inputs=images, data_samples=[_mask(shape) for _ in range(size)])
    if not training:
        return dict(inputs=images)
    if isinstance(model, FeatureClassifier):
        raise TypeError(f'{kind} is fitted at once, without steps')
    if hasattr(model, 'num_ids'):
        labels = torch.arange(size) // 4 % model.num_ids
        samples = [ReIDSample(pid=label, camid=0, viewid=0).set_gt_label(label) for label in labels.tolist()]
        if hasattr(model, 'text_prototypes'):  # the first phase
            return dict(inputs=torch.randn(size, model.clip.embed_dim), data_samples=labels)
        return dict(inputs=images, data_samples=samples)
    classes = getattr(model, 'num_classes', None) or len(model.class_names)
    return dict(
        inputs=images, data_samples=[ClassificationSample().set_gt_label(index % classes) for index in range(size)]
    )


def _mask(shape: tuple[int, int]) -> BaseDataElement:
    from mmseg.structures import SegDataSample

    about = dict.fromkeys(('ori_shape', 'img_shape', 'pad_shape'), shape)
    return SegDataSample(metainfo=about, gt_sem_seg=PixelData(data=torch.zeros(1, *shape, dtype=torch.long)))


def random_descriptors(queries: int, gallery: int, dim: int) -> tuple[torch.Tensor, np.ndarray, np.ndarray, np.ndarray]:
    """Features (N, D) around one centre per identity, identities, cameras and roles; 30 images an identity."""
    rng, total = np.random.default_rng(0), queries + gallery
    pids, camids = rng.integers(0, max(1, total // 30), total), rng.integers(0, 15, total)
    centres = rng.standard_normal((pids.max() + 1, dim), dtype=np.float32)
    features = rng.standard_normal((total, dim), dtype=np.float32)
    features *= 4
    for first in range(0, total, 4096):
        features[first : first + 4096] += centres[pids[first : first + 4096]]
    return torch.from_numpy(features), pids, camids, np.arange(total) < queries
