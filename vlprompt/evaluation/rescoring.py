r"""Training-free re-scoring of a ranking through its nearest images (COPE's PSS, CVPR 2026, without its prompt score).

k-reciprocal re-ranking (:mod:`~vlprompt.evaluation.reranking`) compares neighbourhoods of all images with each other;
here the nearest few images of a query vote for the images that resemble *them*, which costs Q k1 k2 products.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from vlprompt.evaluation import ranking
from vlprompt.evaluation.ranking import DistanceRows, euclidean_rows, nearest
from vlprompt.precision import full_precision

Between = Callable[[Tensor, Tensor], Tensor]
"""Positions of bridges (Q, k2) and of candidates (Q, k1) in the gallery -> their similarities (Q, k2, k1)."""


@dataclass(frozen=True)
class Rescoring:
    r"""Options of re-scoring.

    Args:
        k1: candidates of each query; all images, if the gallery has no more.
        k2: bridges of each query; all images, if the gallery has no more.
        exclude_self: a bridge is no bridge to itself, so the mean of its similarities is over the others; otherwise it
            counts itself, with :math:`S_{bb} = 1`.  The published description leaves this open.
        same_camera: gallery images of the query's own camera may be bridges.  Which of them show its identity is not
            known before a ranking is scored, so images that the camera rule removes afterwards are among them.

    Raises:
        ValueError: ``k1`` or ``k2`` is no whole number of at least 1, or there are more bridges than candidates.
    """

    k1: int = 200
    k2: int = 5
    exclude_self: bool = True
    same_camera: bool = True

    def __post_init__(self) -> None:
        if not (all(isinstance(k, int) for k in (self.k1, self.k2)) and 1 <= self.k2 <= self.k1):
            raise ValueError(f're-scoring needs whole numbers with 1 <= k2 <= k1; got k1={self.k1!r}, k2={self.k2!r}')


def rescored_rows(
    query: Tensor,
    gallery: Tensor,
    options: Rescoring = Rescoring(),
    normalize: bool = True,
    cameras: tuple[Tensor, Tensor] | None = None,
) -> DistanceRows:
    r"""Distances after re-scoring.

    With D the Euclidean distance, the similarity of two images is :math:`S = 1 / (1 + D)`, in (0, 1].  For a query q,
    the ``k1`` nearest gallery images are candidates and the ``k2`` nearest are bridges B; then

    .. math::
        S'_{qi} = S_{qi} + \frac{1}{|B_i|} \sum_{b \in B_i} S_{qb} S_{bi} \quad\text{of a candidate } i, \qquad
        D' = 1 / S' - 1,

    with B_i = B, without i itself by default.  (Without it the sum of a bridge has a term less; divided by ``k2`` all
    the same, the nearest images would fall behind the other candidates.)  All other images keep their distances, so
    candidates only move up.  D' orders the gallery and is no metric: it is
    at least -1/2.  The published method also multiplies :math:`S_{qb}` by a learned reliability of image b, which is 1
    here ("NPSS").

    Args:
        query: (Q, D) features; float64 gives float64 results.
        gallery: (G, D) features.
        options: numbers of candidates and bridges, and what a bridge may be.
        normalize: scale features to unit length first.
        cameras: (Q,) and (G,) cameras of the images, needed with ``options.same_camera=False``.

    Returns:
        ``rows(first, last)`` with the distances (last - first, G) of these queries.

    Raises:
        ValueError: no cameras where they are needed.
    """
    if not options.same_camera and cameras is None:
        raise ValueError('re-scoring with same_camera=False needs the cameras of query and gallery')
    if normalize:
        query, gallery = F.normalize(query, dim=1), F.normalize(gallery, dim=1)
    distances = euclidean_rows(query, gallery, normalize=False)

    def between(bridges: Tensor, candidates: Tensor) -> Tensor:
        ours, theirs = gallery[bridges], gallery[candidates]
        with full_precision():
            products = ours @ theirs.transpose(1, 2)
        squared = ours.square().sum(2)[:, :, None] + theirs.square().sum(2)[:, None] - 2 * products
        return _similarity(squared)

    def rows(first: int, last: int) -> Tensor:
        other_camera = None if options.same_camera else cameras[0][first:last, None] != cameras[1]
        similarities = _similarity(distances(first, last))
        return 1 / rescore(similarities, between, options, other_camera, gallery.shape[1]) - 1

    return rows


def rescore(
    similarities: Tensor,
    between: Between,
    options: Rescoring = Rescoring(),
    usable: Tensor | None = None,
    width: int = 1,
) -> Tensor:
    """Similarities with what the bridges add to the candidates; the formula is that of :func:`rescored_rows`.

    Args:
        similarities: (Q, G) of queries and gallery, in (0, 1].
        between: gives those of bridges and candidates, called for :data:`~vlprompt.evaluation.ranking.CELLS` numbers
            of candidates at a time.
        options: numbers of candidates and bridges; ties are ordered by position.
        usable: (Q, G) bool, the images that may be bridges of a query, which gets fewer than ``k2`` if there are not
            as many.  None: all may.
        width: numbers that ``between`` holds of one candidate.

    Returns:
        (Q, G) similarities, up to 2.
    """
    candidates = _largest(similarities, options.k1)
    similar = similarities if usable is None else similarities.masked_fill(~usable, 0)
    bridges = candidates[:, : options.k2] if usable is None else _largest(similar, options.k2)
    weights = similar.gather(1, bridges)
    added, step = [], max(1, ranking.CELLS // (candidates.shape[1] * width))
    for first in range(0, len(similarities), step):
        ours, theirs = bridges[first : first + step], candidates[first : first + step]
        itself = ours[:, :, None] == theirs[:, None]
        shared = between(ours, theirs).masked_fill(itself, 0.0 if options.exclude_self else 1.0)
        weight = weights[first : first + step, :, None]
        count = (weight > 0) & ~itself if options.exclude_self else weight > 0
        added.append((weight * shared).sum(1) / count.sum(1).clamp(min=1))
    return similarities.scatter_add(1, candidates, torch.cat(added))


def _similarity(squared: Tensor) -> Tensor:
    """1 / (1 + D) of squared distances."""
    return 1 / (1 + squared.clamp(min=0).sqrt())


def _largest(similarities: Tensor, k: int) -> Tensor:
    """(Q, k) positions of the largest, all if there are no more, in descending order, ties by position."""
    total, size = similarities.shape
    positions, _, _ = nearest(lambda first, last: -similarities[first:last], total, size, min(k, size))
    return torch.from_numpy(positions).to(similarities.device)
