"""Matching of image features with learned keys (LPT, Dong et al., ICLR 2023), and initial keys from k-means."""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor


@dataclass(frozen=True)
class KeyMatch:
    """The k best matching keys of each of B queries.

    Attributes:
        index: (B, k) int64, best first.
        similarity: (B, k) cosines, with gradient for the keys.
    """

    index: Tensor
    similarity: Tensor


def match_keys(query: Tensor, keys: Tensor, topk: int) -> KeyMatch:
    """The ``topk`` keys with the highest cosine, in fp32 also under mixed precision and where products are in TF32.

    Args:
        query: (B, D), not normalised.
        keys: (m, D), not normalised.
        topk: k.
    """
    with torch.autocast(query.device.type, enabled=False):
        cosine = (F.normalize(query.float(), dim=-1)[:, None] * F.normalize(keys.float(), dim=-1)).sum(-1)
    similarity, index = cosine.topk(topk, dim=1)
    return KeyMatch(index, similarity)


def spherical_kmeans(features: Tensor, clusters: int, generator: torch.Generator, iterations: int = 50) -> Tensor:
    """Unit centres of clusters by cosine, initialised by k-means++.

    An empty cluster restarts at the feature that is farthest from its centre.

    Args:
        features: (N, D), not normalised.
        clusters: m.
        generator: source of the random initialisation.
        iterations: at most; stops earlier once no feature changes its cluster.

    Returns:
        (m, D), each of length 1.

    Raises:
        ValueError: fewer features than clusters.
    """
    if len(features) < clusters:
        raise ValueError(f'spherical_kmeans: {len(features)} features do not make {clusters} clusters')
    points = F.normalize(features.float(), dim=1)
    centres = _spread_start(points, clusters, generator)
    assigned = None
    for _ in range(iterations):
        best, now = (points @ centres.t()).max(dim=1)
        if assigned is not None and torch.equal(now, assigned):
            break
        assigned = now
        sums = torch.zeros_like(centres).index_add_(0, assigned, points)
        empty = torch.bincount(assigned, minlength=clusters) == 0
        if empty.any():
            sums[empty] = points[best.argsort()[: int(empty.sum())]]
        centres = F.normalize(sums, dim=1)
    return centres


def _spread_start(points: Tensor, clusters: int, generator: torch.Generator) -> Tensor:
    """k-means++: each next start is drawn with probability proportional to its distance 1 - cos from those before."""
    first = torch.randint(len(points), (1,), generator=generator)
    chosen = [int(first)]
    distance = 1 - points @ points[chosen[0]]
    for _ in range(clusters - 1):
        weights = distance.clamp(min=0)
        if weights.sum() == 0:  # fewer distinct points than clusters
            weights = torch.ones_like(weights)
        chosen.append(int(torch.multinomial(weights, 1, generator=generator)))
        distance = torch.minimum(distance, 1 - points @ points[chosen[-1]])
    return points[chosen]
