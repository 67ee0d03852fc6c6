"""Test-time augmentation: the mean of the predictions for an image and its mirror image."""

from __future__ import annotations

from copy import deepcopy
from typing import Any

from mmengine.model import BaseTTAModel

from vlprompt.registry import MODELS


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
