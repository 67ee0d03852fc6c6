"""Loss of a class-balanced and a uniform stream; the latter's weight decays (LPT, ICLR 2023, section 3.4)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from vlprompt.models.losses.long_tailed import ClassificationLoss, accuracy
from vlprompt.registry import MODELS


@MODELS.register_module()
class DualStreamLoss(ClassificationLoss):
    r"""``balanced(first half) + eta_e uniform(second half)`` of a batch, in epoch e = 0 .. E - 1 of E.

    A batch is a class-balanced half followed by a uniform half of the same size, as
    :class:`~vlprompt.datasets.samplers.balanced.DualStreamBatchSampler` makes it.  The weight decays from epoch to
    epoch, :math:`\eta_e = \eta (E - e) / E`.

    Args:
        balanced: config of the loss of the class-balanced stream, which also gives ``scale``.
        uniform: config of the loss of the uniform stream; None: that of the balanced one.
        eta: the weight in epoch 0.

    Attributes:
        weight: the current eta_e; :class:`~vlprompt.engine.ProgressHook` calls :meth:`set_progress`.  A tensor, since
            compiled code takes a number for a constant.
    """

    def __init__(self, balanced: dict[str, Any], uniform: dict[str, Any] | None = None, eta: float = 0.5) -> None:
        super().__init__()
        self.balanced: ClassificationLoss = MODELS.build(balanced)
        self.uniform: ClassificationLoss = MODELS.build(balanced if uniform is None else uniform)
        self.eta = eta
        self.register_buffer('weight', torch.tensor(float(eta)), persistent=False)

    @property
    def scale(self) -> float:
        return self.balanced.scale

    @property
    def needs_class_counts(self) -> bool:
        return self.balanced.needs_class_counts or self.uniform.needs_class_counts

    def set_class_counts(self, counts: Sequence[int]) -> None:
        self.balanced.set_class_counts(counts)
        self.uniform.set_class_counts(counts)

    def set_progress(self, epoch: int, epochs: int) -> None:
        """Set the weight for ``epoch`` (0-based) of ``epochs``."""
        self.weight.fill_(self.eta * max(0.0, (epochs - epoch) / epochs))

    def terms(self, logits: Tensor, target: Tensor, per_sample: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Losses of both streams, per-sample terms weighted alike, and scalars for the log.

        Args:
            logits: (2 B, C), the balanced half first.
            target: (2 B,) labels.
            per_sample: further terms (2 B,).

        Raises:
            ValueError: an odd number of images.
        """
        (z_balanced, z_uniform), (y_balanced, y_uniform) = _halves(logits), _halves(target)
        losses = dict(
            loss_balanced=self.balanced(z_balanced, y_balanced),
            loss_uniform=self.weight * self.uniform(z_uniform, y_uniform),
        )
        for name, values in per_sample.items():
            balanced, uniform = _halves(values)
            losses[f'loss_{name}'] = balanced.mean() + self.weight * uniform.mean()
        return losses | dict(
            accuracy=accuracy(z_balanced, y_balanced),
            accuracy_uniform=accuracy(z_uniform, y_uniform),
            stream_weight=self.weight.clone(),  # mmengine's own eta is the time left
        )

    def extra_repr(self) -> str:
        return f'eta={self.eta}'


def _halves(batch: Tensor) -> tuple[Tensor, Tensor]:
    """The balanced and the uniform half of (2 B, ...)."""
    if len(batch) % 2:
        raise ValueError(
            f'a batch of {len(batch)} images cannot be split into two halves: train with '
            "batch_sampler=dict(type='vlprompt.DualStreamBatchSampler'), or set model.loss to the loss of one stream"
        )
    return batch.chunk(2)
