"""Test-time augmentation: the mean over an image and its mirror image, or over crops of an image."""

from __future__ import annotations

from collections.abc import Iterator
from copy import deepcopy
from typing import Any

import torch
from mmengine.model import BaseTTAModel, is_model_wrapper
from torch import Tensor, nn

from vlprompt.errors import ConfigError
from vlprompt.models.classifiers.base import Classifier, scored_samples
from vlprompt.registry import MODELS
from vlprompt.structures import ClassificationSample


@MODELS.register_module()
class FlipTTAModel(BaseTTAModel):
    """Average over an image and its horizontal mirror image: ``pred_score`` of a classifier, or the descriptor
    ``feature`` of a re-identifier.

    Both views go through the wrapped model's own preprocessor, so the test pipeline stays as it is.

    Args:
        module: the model; its ``test_step`` sets ``pred_score (K,)`` or ``feature (D,)`` on data samples.
    """

    def test_step(self, data: dict[str, Any]) -> list[Any]:
        """Predict a batch ``dict(inputs=list of (3, H, W), data_samples=list)``."""
        mirrored = dict(
            inputs=[image.flip(-1) for image in data['inputs']],
            data_samples=deepcopy(data['data_samples']),
        )
        views = [self.module.test_step(view) for view in (data, mirrored)]
        return self.merge_preds(list(zip(*views, strict=True)))

    def merge_preds(self, data_samples_list: list[tuple[Any, ...]]) -> list[Any]:
        """Mean of the scores or descriptors of the views of each image, put on the first view's sample."""
        merged = []
        for samples in data_samples_list:
            first = samples[0]
            if 'feature' in first:
                first.set_feature(sum(sample.feature for sample in samples) / len(samples))
            else:
                first.set_pred_score(sum(sample.pred_score for sample in samples) / len(samples))
            merged.append(first)
        return merged


@MODELS.register_module()
class CropTTAModel(BaseTTAModel):
    """Average the logits of a classifier over the views of each image: test-time ensembling as in LIFT (ICML 2024).

    The mean is that of logits, neither of probabilities nor of features; ``pred_score`` is made of it as of the logits
    of a single view.  The views, such as those of :class:`~vlprompt.datasets.FiveCrop`, come from the pipeline and go
    through the model one after another, so memory is that of a plain test.  What a tuner says of a single view, such as
    ``matched_groups``, is not among the predictions.

    Args:
        module: a :class:`~vlprompt.models.classifiers.base.Classifier`, also in a wrapper for several processes.

    Raises:
        ConfigError: another model, or images without views.
    """

    module: Classifier

    def __init__(self, module: nn.Module) -> None:
        module = module.module if is_model_wrapper(module) else module
        if not isinstance(module, Classifier):
            raise ConfigError(
                f'tta_model.type=CropTTAModel averages logits of a classifier, which {type(module).__name__} is not: '
                'set tta_model and tta_pipeline to None, or to those of its task'
            )
        super().__init__(module)

    @torch.no_grad()
    def test_step(self, data: dict[str, Any]) -> list[ClassificationSample]:
        """Predict a batch ``dict(inputs=list of B (V, 3, H, W) uint8, data_samples=list of B)``."""
        samples = data['data_samples']
        views = []
        for view in self._views(data['inputs'], samples):
            batch = self.module.data_preprocessor(dict(inputs=view, data_samples=samples))
            samples = batch['data_samples']
            views.append(self.module(batch['inputs'], mode='tensor').float())
        return self.merge_preds(list(zip(*views, strict=True)), samples)

    def merge_preds(
        self, logits: list[tuple[Tensor, ...]], data_samples: list[ClassificationSample]
    ) -> list[ClassificationSample]:
        """The samples of B images with ``pred_score`` and ``pred_label`` of the mean of their V logits (K,) each."""
        means = torch.stack([torch.stack(views).mean(0) for views in logits])
        return scored_samples(self.module.scores(means), data_samples)

    @staticmethod
    def _views(images: list[Tensor], samples: list[ClassificationSample]) -> Iterator[list[Tensor]]:
        """V batches, each of one view (3, H, W) of every image."""
        for image, sample in zip(images, samples, strict=True):
            if image.dim() != 4:
                raise ConfigError(
                    f'CropTTAModel takes several views (V, 3, H, W) of an image, but '
                    f'{sample.get("img_path", "an image")} has shape {tuple(image.shape)}: tta_pipeline needs '
                    "dict(type='vlprompt.FiveCrop', size=...) before PackClassification"
                )
        yield from map(list, zip(*images, strict=True))
