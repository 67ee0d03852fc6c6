"""Contrastive loss between two modalities with several positives (CLIP-ReID, Li et al., AAAI 2023, Eq. 2-4)."""

from __future__ import annotations

import torch
from torch import Tensor


def supervised_contrastive(
    anchors: Tensor, others: Tensor, anchor_labels: Tensor, other_labels: Tensor, half: bool = False
) -> Tensor:
    r"""Cross-entropy of every anchor against all features of the other modality that share its label.

    .. math::
        s_{ij} = a_i \cdot k_j, \qquad
        L = -\frac{1}{A} \sum_i \frac{1}{|P(i)|} \sum_{j \in P(i)} \log \frac{e^{s_{ij}}}{\sum_{j'} e^{s_{ij'}}},
        \qquad P(i) = \{j : y^K_j = y^A_i\}

    Plain dot products, as published: nothing is normalised, the temperature is 1.  Samples of the same label that are
    copies of each other (texts of one identity) share the probability.

    Args:
        anchors: (A, D) features.
        others: (K, D) features of the other modality.
        anchor_labels: (A,) long; anchors labelled -1 are left out of the mean, which is 0 without any other.
        other_labels: (K,) long; every anchor's label must be among them.  Features labelled -1 are left out.
        half: compute products, exponentials and sums in float16, as the published code does; else in float32.

    Returns:
        Scalar, float32.

    Raises:
        ValueError: an empty batch.
    """
    if not len(anchors):
        raise ValueError('supervised_contrastive: the batch is empty')
    dtype = torch.float16 if half else torch.float32
    with torch.autocast(anchors.device.type, enabled=False):
        scores = anchors.to(dtype) @ others.to(dtype).T
        scores = scores.masked_fill(other_labels < 0, torch.finfo(dtype).min)
        if half:  # the steps of the published code, each rounded
            scores = scores - scores.max(1, keepdim=True).values.detach()
            log_probability = scores - scores.exp().sum(1, keepdim=True).log()
        else:
            log_probability = scores.log_softmax(1)
        real = anchor_labels >= 0
        positive = (anchor_labels[:, None] == other_labels) & real[:, None]
        own = log_probability.float().masked_fill(~positive, 0).sum(1) / positive.sum(1).masked_fill(~real, 1)
        return -own.sum() / real.sum().clamp(min=1)  # selecting rows instead would wait for the device
