"""What all classifiers share: the modes of ``forward`` and predictions as data samples."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from mmengine.model import BaseModel
from torch import Tensor

from vlprompt.clip import ClipFeatures
from vlprompt.clip.classnames import resolve_class_names
from vlprompt.models.base import PromptTunedMixin
from vlprompt.structures import ClassificationSample

ConfigType = dict


class Classifier(PromptTunedMixin, BaseModel):
    """A model that gives every image of a batch scores for K classes: subclasses define the three modes.

    =============  ===============  ===================================================================
    ``'tensor'``   :meth:`logits`   (B, K)
    ``'loss'``     :meth:`loss`     scalars; those whose names begin with ``loss`` are minimised
    ``'predict'``  :meth:`predict`  samples with ``pred_score (K,)`` and ``pred_label``
    =============  ===============  ===================================================================

    Args:
        data_preprocessor: config of the preprocessor that turns uint8 images into normalised batches, see
            :func:`~vlprompt.models.preprocessors.preprocessor_for`.
        init_cfg: mmengine's; unused here, since weights come through the towers.
    """

    def __init__(self, data_preprocessor: ConfigType, init_cfg: ConfigType | None = None) -> None:
        super().__init__(data_preprocessor, init_cfg)

    def forward(
        self, inputs: Tensor, data_samples: list[ClassificationSample] | None = None, mode: str = 'tensor'
    ) -> Tensor | dict[str, Any] | list[ClassificationSample]:
        """
        Args:
            inputs: (B, 3, H, W) normalised images.
            data_samples: B samples; with ``gt_label`` for ``mode='loss'``.
            mode: ``'tensor'`` -> logits (B, K); ``'loss'`` -> dict of losses; ``'predict'`` -> data samples.

        Raises:
            ValueError: another mode.
        """
        if mode == 'tensor':
            return self.logits(inputs)
        if mode == 'loss':
            return self.loss(inputs, data_samples)
        if mode == 'predict':
            return self.predict(inputs, data_samples)
        raise ValueError(f"{type(self).__name__}: mode must be 'tensor', 'loss' or 'predict', got {mode!r}")

    def logits(self, inputs: Tensor) -> Tensor:
        """(B, K) logits of normalised images (B, 3, H, W)."""
        raise NotImplementedError(f'{type(self).__name__} must define logits()')

    def scores(self, logits: Tensor) -> Tensor:
        """(B, K) probabilities, ``pred_score`` of predictions, of logits (B, K)."""
        return self.scaled(logits).softmax(1)

    def scaled(self, logits: Tensor) -> Tensor:
        """(B, K) float32 numbers whose softmax are the probabilities, of logits (B, K)."""
        return logits.float()

    def loss(self, inputs: Tensor, data_samples: list[ClassificationSample]) -> dict[str, Any]:
        """Losses of normalised images (B, 3, H, W), a mean over the batches of all processes; scalars for the log."""
        raise NotImplementedError(f'{type(self).__name__} must define loss()')

    def predict(
        self, inputs: Tensor, data_samples: list[ClassificationSample] | None = None
    ) -> list[ClassificationSample]:
        """Samples of normalised images (B, 3, H, W) with their predictions, new ones if there are none."""
        raise NotImplementedError(f'{type(self).__name__} must define predict()')

    @property
    def stored_parts(self) -> tuple[str, ...]:
        """Parts of :class:`~vlprompt.clip.ClipFeatures` that predictions need, if nothing that is learned changes them,
        so that they can be computed once for many models; empty otherwise.
        """
        return ()

    def predict_features(
        self, features: ClipFeatures, data_samples: list[ClassificationSample] | None = None
    ) -> list[ClassificationSample]:
        """As :meth:`predict`, of features of B images with the :attr:`stored_parts`."""
        raise NotImplementedError(f'{type(self).__name__} must define predict_features()')


def labels_of(data_samples: list[ClassificationSample], device: torch.device) -> Tensor:
    """(B,) labels ``gt_label`` of B samples."""
    return torch.cat([sample.gt_label for sample in data_samples]).to(device)


def scored_samples(scores: Tensor, data_samples: list[ClassificationSample] | None) -> list[ClassificationSample]:
    """The samples, or new ones, with a row of ``scores`` (B, K) as ``pred_score`` and its maximum as ``pred_label``."""
    samples = data_samples or [ClassificationSample() for _ in scores]
    for sample, score in zip(samples, scores, strict=True):
        sample.set_pred_score(score)
    return samples


def named_classes(class_names: str | Sequence[str] | None, owner: str) -> list[str]:
    """The K names of a list or a dataset; duplicates are allowed, since ImageNet has some.

    Args:
        class_names: names, or what :func:`vlprompt.clip.classnames.resolve_class_names` resolves.
        owner: the model, for the message.

    Raises:
        ValueError: there is none.
    """
    names = list(resolve_class_names(class_names or ()))
    if not names:
        raise ValueError(f'{owner}: class_names is empty and there are no data; give names or the name of a dataset')
    return names
