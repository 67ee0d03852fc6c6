"""Analyses of features without a classifier: nearest neighbours, spread of classes, domains, use of prompts.

The analyses behind the tables and figures of LPT (Dong et al., ICLR 2023).  The paper leaves details open; each
function states its definition.  Plain tensors in, plain values out.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import scipy.linalg
import torch
from torch import Tensor
from torch.nn import functional as F

# ----------------------------------------------------------------------------------------------------- neighbours


@torch.no_grad()
def knn_predict(
    queries: Tensor,
    bank: Tensor,
    bank_labels: Tensor,
    ks: Sequence[int] = (20,),
    metric: str = 'cosine',
    block: int = 1024,
) -> dict[int, Tensor]:
    """Labels by a majority vote of the k nearest features; ties are won by the class of the nearest neighbour.

    Args:
        queries: (M, D) features to classify.
        bank: (N, D) features with known labels, possibly imbalanced.
        bank_labels: (N,) int64.
        ks: numbers of neighbours, each at most N.
        metric: ``'cosine'`` or ``'euclidean'``.
        block: queries per comparison with the bank.

    Returns:
        k -> (M,) int64.

    Raises:
        ValueError: an unknown metric, or a k that is not in 1..N.
    """
    if metric not in ('cosine', 'euclidean'):
        raise ValueError(f"metric must be 'cosine' or 'euclidean', got {metric!r}")
    if not ks or min(ks) < 1 or max(ks) > len(bank):
        raise ValueError(f'each k must be in 1..{len(bank)}, the size of the bank; got {list(ks)}')
    if metric == 'cosine':
        queries, bank = F.normalize(queries, dim=1), F.normalize(bank, dim=1)
    half_norm = 0 if metric == 'cosine' else bank.square().sum(1) / 2
    found: dict[int, list[Tensor]] = {k: [] for k in ks}
    for part in queries.split(block):
        nearest = (part @ bank.t() - half_norm).topk(max(ks), dim=1).indices
        labels = bank_labels[nearest]
        for k in ks:
            found[k].append(_majority(labels[:, :k]))
    return {k: torch.cat(parts) for k, parts in found.items()}


def _majority(labels: Tensor) -> Tensor:
    """(M,) the most frequent of the labels (M, k), which are sorted from the nearest on."""
    k = labels.shape[1]
    votes = torch.stack([(labels == labels[:, [j]]).sum(1) for j in range(k)], 1)
    order = torch.arange(k, device=labels.device)
    winner = (votes * k - order).argmax(1, keepdim=True)
    return labels.gather(1, winner)[:, 0]


# --------------------------------------------------------------------------------------------------------- spread


class ClassSpread(NamedTuple):
    """Spread of classes and distances between them.

    Attributes:
        inner: (C,) mean distance R_i of the features of a class from its centre.
        inner_mean: their mean over classes.
        inner_std: their standard deviation over classes.
        ratio: mean of R_i over mean distance of two centres.
        ratio_pairs: mean over pairs of (R_i + R_j) / distance of the two centres, as in Davies & Bouldin.
        norm: mean length of a feature; the distances have its unit.
    """

    inner: Tensor
    inner_mean: float
    inner_std: float
    ratio: float
    ratio_pairs: float
    norm: float


@torch.no_grad()
def class_spread(features: Tensor, labels: Tensor) -> ClassSpread:
    r"""Inner-class distance and inner/inter ratio, in Euclidean distance.

    With centres :math:`c_i` and :math:`R_i = \frac{1}{n_i} \sum_{f \in i} \lVert f - c_i \rVert`, the ratio is
    :math:`\gamma = \overline{R_i} / \overline{\lVert c_i - c_j \rVert}`, means over classes and over pairs of them.
    The definition of the paper's :math:`\gamma` is not published; ``ratio_pairs`` is the other candidate.

    Args:
        features: (N, D); normalise them first for distances on the sphere.
        labels: (N,) int64; classes without features are ignored.

    Raises:
        ValueError: fewer than two classes.
    """
    features = features.double()
    present, index = labels.unique(return_inverse=True)
    if len(present) < 2:
        raise ValueError(f'the spread of classes needs at least two of them, got {len(present)}')
    counts = torch.bincount(index).double()
    centres = features.new_zeros(len(present), features.shape[1]).index_add_(0, index, features) / counts[:, None]
    distance = (features - centres[index]).norm(dim=1)
    inner = features.new_zeros(len(present)).index_add_(0, index, distance) / counts
    first, second = torch.triu_indices(len(present), len(present), offset=1)
    between = torch.cdist(centres, centres, compute_mode='donot_use_mm_for_euclid_dist')[first, second]
    return ClassSpread(
        inner=inner.float(),
        inner_mean=float(inner.mean()),
        inner_std=float(inner.std()),
        ratio=float(inner.mean() / between.mean()),
        ratio_pairs=float(((inner[first] + inner[second]) / between).mean()),
        norm=float(features.norm(dim=1).mean()),
    )


# ------------------------------------------------------------------------------------------------------------ LDA


def lda_projection(features: np.ndarray, groups: np.ndarray, components: int = 2, ridge: float = 1e-4) -> np.ndarray:
    r"""Directions that separate groups best: linear discriminant analysis.

    The leading solutions of :math:`S_b w = \lambda (S_w + \epsilon I) w`, with the scatter between and within groups
    and :math:`\epsilon` = ``ridge`` times the mean variance within; :math:`w^T (S_w + \epsilon I) w = 1`.  In LPT's
    figure, a group is one domain under one model.

    Args:
        features: (N, D).
        groups: (N,) integers.
        components: directions, fewer than there are groups.
        ridge: keeps the inverse finite when there are fewer features than dimensions.

    Returns:
        (D, ``components``); project with ``features @ directions``.

    Raises:
        ValueError: too many components.
    """
    values, index = np.unique(groups, return_inverse=True)
    if not 1 <= components < len(values):
        raise ValueError(
            f'{len(values)} groups are separated by at most {len(values) - 1} directions, not {components}'
        )
    features = np.asarray(features, dtype=np.float64)
    means = np.stack([features[index == i].mean(0) for i in range(len(values))])
    inside = features - means[index]
    within = inside.T @ inside / len(features)
    offsets = means[index] - features.mean(0)
    between = offsets.T @ offsets / len(features)
    size = len(within)
    within += ridge * np.trace(within) / size * np.eye(size)
    _, vectors = scipy.linalg.eigh(between, within, subset_by_index=[size - components, size - 1])
    return vectors[:, ::-1]


# --------------------------------------------------------------------------------------------------- use of prompts


class PromptUsage(NamedTuple):
    """Usage of m group prompts.

    Attributes:
        counts: (m,) images that chose a prompt.
        used: prompts that at least one image chose.
        entropy: of the shares, divided by log m: 1 if all are chosen equally often, 0 if only one is.
        top_set: share of the images with the most frequent set of k prompts.
    """

    counts: Tensor
    used: int
    entropy: float
    top_set: float


def prompt_usage(matched: Tensor, size: int) -> PromptUsage:
    """Count chosen prompts.

    Args:
        matched: (N, k) int64, the prompts of every image.
        size: m, the number of prompts.
    """
    counts = torch.bincount(matched.flatten(), minlength=size)
    share = counts[counts > 0] / counts.sum()
    entropy = -float((share * share.log()).sum()) / math.log(size) if size > 1 else 0.0
    sets = matched.sort(dim=1).values.unique(dim=0, return_counts=True)[1]
    return PromptUsage(counts, int((counts > 0).sum()), entropy, float(sets.max() / len(matched)))
