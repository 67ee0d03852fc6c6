"""Contrast of image features with a memory of one centroid for each identity (PCL-CLIP)."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class CentroidMemory(nn.Module):
    r"""Cross-entropy of unit features against unit centroids :math:`K_c` of all identities, which follow the batches.

    .. math::
        L = -\frac{1}{B} \sum_i \log \frac{e^{x_i \cdot K_{y_i} / \tau}}{\sum_c e^{x_i \cdot K_c / \tau}}, \qquad
        K_c \leftarrow \mathrm{unit}(\mu K_c + (1 - \mu) x_h)

    where :math:`x_h` is the hardest feature of identity c in the batch, the one with the smallest cosine to
    :math:`K_c`.  Gradients flow to the features alone, through the centroids before the update.  The centroids are
    means over all images of an identity at the start of every epoch (:meth:`fill`, called by
    :class:`~vlprompt.engine.hooks.CentroidMemoryHook`).

    The buffer ``centroids`` (K, D) holds NaN until it is filled.

    Args:
        num_ids: K.
        channels: D.
        temperature: :math:`\tau`, which divides cosines.
        momentum: :math:`\mu`, the share of the old centroid.

    Raises:
        ValueError: a temperature that is not positive, or a momentum outside [0, 1].
    """

    def __init__(self, num_ids: int, channels: int, temperature: float = 0.05, momentum: float = 0.2) -> None:
        super().__init__()
        if temperature <= 0 or not 0 <= momentum <= 1:
            raise ValueError(
                f'CentroidMemory needs temperature > 0 and 0 <= momentum <= 1, got {temperature} and {momentum}'
            )
        self.temperature, self.momentum = temperature, momentum
        self.register_buffer('centroids', torch.full((num_ids, channels), torch.nan))
        self._filled = False

    @torch.no_grad()
    def fill(self, features: Tensor, labels: Tensor) -> None:
        """Set every centroid to the unit mean of the unit features of its identity.

        Args:
            features: (N, D) of all training images, not normalised.
            labels: (N,) long.

        Raises:
            ValueError: an identity without an image.
        """
        features = F.normalize(features.to(self.centroids), dim=1)
        labels = labels.to(features.device)
        missing = labels.bincount(minlength=len(self.centroids)) == 0
        if missing.any():
            raise ValueError(f'identities {missing.nonzero()[:10, 0].tolist()} have no image to take a centroid from')
        sums = torch.zeros_like(self.centroids).index_add_(0, labels, features)
        self.centroids.copy_(F.normalize(sums, dim=1))

    def forward(self, features: Tensor, labels: Tensor) -> Tensor:
        """The loss, a float32 scalar; in training the centroids are updated after it.

        Args:
            features: (B, D), not normalised.
            labels: (B,) long.

        Raises:
            ValueError: the memory was not filled.
        """
        if not self._filled:  # asked once, since it waits for the device
            if self.centroids.isnan().any():
                raise ValueError(
                    'the memory of centroids is empty: it is filled at the start of every epoch by '
                    "custom_hooks=[dict(type='vlprompt.CentroidMemoryHook')]"
                )
            self._filled = True
        with torch.autocast(features.device.type, enabled=False):
            features = F.normalize(features.float(), dim=1)
            before = self.centroids.clone()  # which the gradient needs
            loss = F.cross_entropy(features @ before.T / self.temperature, labels)
            if self.training:
                self._update(features.detach(), labels)
        return loss

    def take_as_filled(self) -> None:
        """Do not ask whether the memory is filled: tensors without data cannot tell."""
        self._filled = True

    @torch.no_grad()
    def _update(self, features: Tensor, labels: Tensor) -> None:
        """Move the centroids of the batch towards their hardest unit features; rows of one identity agree."""
        own = self.centroids[labels]
        cosines = (features * own).sum(1)
        hardest = cosines.expand(len(labels), -1).masked_fill(labels[:, None] != labels, torch.inf).argmin(1)
        moved = self.momentum * own + (1 - self.momentum) * features[hardest]
        self.centroids[labels] = F.normalize(moved, dim=1)

    def extra_repr(self) -> str:
        return f'{tuple(self.centroids.shape)}, temperature={self.temperature}, momentum={self.momentum}'
