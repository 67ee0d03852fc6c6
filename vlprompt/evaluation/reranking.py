r"""k-reciprocal re-ranking (Zhong et al., CVPR 2017), exact and sparse.

The paper's vectors :math:`V_i` have one entry per image, but all except a few hundred are zero.  Here only those are
stored, and distances are computed when needed, so memory grows with N k instead of N^2.
"""

from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as F
from scipy import sparse
from torch import Tensor

from vlprompt.evaluation.ranking import CELLS, DistanceRows, euclidean_rows, nearest


def rerank_rows(
    query: Tensor,
    gallery: Tensor,
    k1: int = 20,
    k2: int = 6,
    lambda_value: float = 0.3,
    normalize: bool = True,
) -> DistanceRows:
    r"""Distances after k-reciprocal re-ranking.

    For all N = Q + G images i, with d the squared Euclidean distance divided by the largest one of its row::

        R(i)    j is among the k1 + 1 nearest images of i, and i among those of j
        H(i)    the same with round(k1 / 2) + 1
        R*(i)   R(i) and every H(j), j in R(i), of which more than 2/3 lies in R(i)
        V_i,j   exp(-d_ij) on R*(i), else 0; scaled to sum 1; then averaged over the k2 nearest images of i
        d_J     1 - sum_l min(V_il, V_jl) / (2 - sum_l min(V_il, V_jl)),  the Jaccard distance of i and j

    and the result is ``(1 - lambda_value) d_J + lambda_value d``.  Ties are ordered by position.

    Args:
        query: (Q, D) features; float64 gives float64 results.
        gallery: (G, D) features.
        k1: neighbours; the paper's 20 (CLIP-ReID's published code has 50, with k2 = 15).
        k2: neighbours whose vectors are averaged, including the image itself; 1 for no averaging.
        lambda_value: share of the original distance.
        normalize: scale features to unit length first.

    Returns:
        ``rows(first, last)`` with the distances (last - first, G) of these queries.

    Raises:
        ValueError: k1 or k2 below 1 or not below N, or ``lambda_value`` outside [0, 1].
    """
    features = torch.cat([query, gallery])
    if not (1 <= k1 < len(features) and 1 <= k2 <= k1 + 1 and 0 <= lambda_value <= 1):
        raise ValueError(
            f'k-reciprocal re-ranking of {len(features)} images needs 1 <= k1 < {len(features)}, 1 <= k2 <= k1 + 1 and '
            f'0 <= lambda_value <= 1; got k1={k1}, k2={k2}, lambda_value={lambda_value}'
        )
    if normalize:
        features = F.normalize(features, dim=1)
    distances = euclidean_rows(features, features, normalize=False)
    ranking, _, largest = nearest(distances, len(features), len(features), k1 + 1)
    largest = np.maximum(largest, np.finfo(largest.dtype).eps)  # all images may be the same
    vectors = _vectors(features, _expanded(ranking, k1), largest)
    if k2 > 1:
        vectors = _average(vectors, ranking[:, :k2])
    own, others = vectors[: len(query)], vectors[len(query) :].tocsc()

    def rows(first: int, last: int) -> Tensor:
        original = distances(first, last)[:, len(query) :].cpu().numpy() / largest[first:last, None]
        jaccard = np.stack([_jaccard(own, others, i) for i in range(first, last)])
        return torch.from_numpy((1 - lambda_value) * jaccard + lambda_value * original).to(features)

    return rows


def _reciprocal(ranking: np.ndarray, k: int) -> sparse.csr_array:
    """(N, N) matrix with a 1 where j is among the first ``k`` of i and i among those of j."""
    total, nearest_k = len(ranking), ranking[:, :k]
    rows, columns = np.repeat(np.arange(total), k), nearest_k.ravel()
    chosen = sparse.csr_array((np.ones(total * k, np.float32), (rows, columns)), shape=(total, total))
    return (chosen * chosen.T).tocsr()


def _expanded(ranking: np.ndarray, k1: int) -> sparse.csr_array:
    """Pattern of R*: (N, N), row i non-zero at the members of R*(i)."""
    full, half = _reciprocal(ranking, k1 + 1), _reciprocal(ranking, round(k1 / 2) + 1)
    sizes, transposed = half.sum(axis=1), half.T.tocsr()
    step, parts = max(1, CELLS // (8 * (k1 + 1) ** 2)), []
    for first in range(0, full.shape[0], step):
        own = full[first : first + step]
        shared = (own * (own @ transposed)).tocoo()  # share of H(j) in R(i), for j in R(i)
        merged = shared.data > 2 / 3 * sizes[shared.coords[1]]
        index = tuple(axis[merged] for axis in shared.coords)
        parts.append(own + sparse.csr_array((shared.data[merged], index), shape=own.shape) @ half)
    return sparse.vstack(parts, format='csr')


def _vectors(features: Tensor, pattern: sparse.csr_array, largest: np.ndarray) -> sparse.csr_array:
    """exp(-d) on the pattern, every row scaled to sum 1."""
    pattern = pattern.tocoo()
    rows, columns = pattern.coords
    step, norms, distances = max(1, CELLS // features.shape[1]), features.square().sum(1), []
    for first in range(0, len(rows), step):
        i, j = (torch.from_numpy(axis[first : first + step]).long().to(features.device) for axis in (rows, columns))
        distances.append((norms[i] + norms[j] - 2 * (features[i] * features[j]).sum(1)).cpu().numpy())
    weights = np.exp(-np.concatenate(distances) / largest[rows])
    vectors = sparse.csr_array((weights, (rows, columns)), shape=pattern.shape)
    vectors.data /= np.repeat(vectors.sum(axis=1), np.diff(vectors.indptr))
    return vectors


def _average(vectors: sparse.csr_array, neighbours: np.ndarray) -> sparse.csr_array:
    """Mean of the vectors of the neighbours (N, k2) of every image."""
    total, k2 = neighbours.shape
    shares = np.full(total * k2, 1 / k2, vectors.dtype)
    index = (np.repeat(np.arange(total), k2), neighbours.ravel())
    return sparse.csr_array((shares, index), shape=(total, total)) @ vectors


def _jaccard(own: sparse.csr_array, others: sparse.csc_array, i: int) -> np.ndarray:
    """(G,) Jaccard distances of query i, through the columns in which its vector is not zero."""
    part = slice(own.indptr[i], own.indptr[i + 1])
    columns, values = own.indices[part], own.data[part]
    starts, counts = others.indptr[columns], np.diff(others.indptr)[columns]
    entries = np.arange(counts.sum()) + np.repeat(starts - counts.cumsum() + counts, counts)
    minimum = np.minimum(np.repeat(values, counts), others.data[entries])
    shared = np.bincount(others.indices[entries], minimum, others.shape[0]).astype(own.dtype)
    return 1 - shared / (2 - shared)
