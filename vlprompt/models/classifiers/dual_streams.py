"""Training on a class-balanced and a uniform stream at once, the latter with a decaying weight (LPT, section 3.4)."""

from __future__ import annotations

from torch import Tensor, nn

from vlprompt.registry import MODELS


class DualStreams(nn.Module):
    r"""The loss of the uniform stream and its weight :math:`\eta_e = \eta (E - e) / E` in epoch e = 0 .. E - 1.

    A batch is a class-balanced half followed by a uniform half of the same size, as
    :class:`~vlprompt.datasets.samplers.balanced.DualStreamBatchSampler` makes it.

    Args:
        eta: the weight in epoch 0.
        loss: config of the loss of the uniform stream; None: that of the balanced one.
        balanced: the loss of the balanced stream.

    Attributes:
        weight: the weight now; :class:`~vlprompt.engine.StreamWeightHook` calls :meth:`set_progress`.
    """

    def __init__(self, balanced: nn.Module, eta: float = 0.5, loss: dict | None = None) -> None:
        super().__init__()
        self.eta = self.weight = eta
        self.loss = balanced if loss is None else MODELS.build(loss)

    def set_progress(self, epoch: int, epochs: int) -> None:
        """Epoch ``epoch``, counted from 0, of ``epochs`` begins."""
        self.weight = self.eta * max(0.0, (epochs - epoch) / epochs)

    @staticmethod
    def split(batch: Tensor) -> tuple[Tensor, Tensor]:
        """The balanced and the uniform half of (2 B, ...).

        Raises:
            ValueError: an odd number of images.
        """
        if len(batch) % 2:
            raise ValueError(
                f'a batch of {len(batch)} images has no two halves: train with '
                "batch_sampler=dict(type='vlprompt.DualStreamBatchSampler'), or set model.dual=None"
            )
        return batch.chunk(2)

    def extra_repr(self) -> str:
        return f'eta={self.eta}'
