"""Ranks of the right images in a gallery, without holding queries x gallery in memory."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from vlprompt.messages import enumerate_names
from vlprompt.precision import full_precision

CELLS = 2**24
"""Distances that are processed together: 64 MB in float32, with a few copies at a time."""

DistanceRows = Callable[[int, int], Tensor]
"""``rows(first, last)`` gives the distances (last - first, G) of these queries to the whole gallery, in a new tensor,
which the caller may overwrite."""


class Descriptors(NamedTuple):
    """N images.

    Attributes:
        features: (N, D) float.
        pids: (N,) int64 identities.
        camids: (N,) int64 cameras.
        files: (N,) int64, equal for files of the same content, see :mod:`~vlprompt.evaluation.same_files`; None: all
            differ.
    """

    features: Tensor
    pids: Tensor
    camids: Tensor
    files: Tensor | None = None

    def take(self, index: Tensor) -> Descriptors:
        """The images at ``index``, a mask or positions."""
        return Descriptors(*(None if field is None else field[index] for field in self))


def draw_gallery(pids: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """(N,) bool: one image of every identity, drawn at random from ``pids`` (N,)."""
    order = rng.permutation(len(pids))
    chosen = np.zeros(len(pids), bool)
    chosen[order[np.unique(pids[order], return_index=True)[1]]] = True
    return chosen


def no_answer(other_camera: bool = True) -> str:
    """The message that no query has a right image in the gallery, from another camera or at all."""
    if not other_camera:
        return 'no query has another image of its identity in the gallery'
    return (
        'no query has an image of its identity from another camera in the gallery; if cameras are unknown, '
        "use RetrievalMetric(same_camera='keep')"
    )


def some_unanswered(pids: Sequence[int], total: int, other_camera: bool = True) -> str:
    """The message that the queries of these identities, some of ``total``, have no right image in the gallery."""
    other = ' from another camera' if other_camera else ''
    return (
        f'{len(pids)} of {total} queries have no image of their identity{other} in the gallery and are left out of the '
        f'means; identities {enumerate_names(sorted(set(pids)), 10)}'
    )


class QueryScores(NamedTuple):
    """Scores of Q queries in a ranked gallery.

    Attributes:
        matches: (Q,) int64, R, the right images in the gallery.
        first: (Q,) int64, rank of the first of them, from 1; 0 if there are none.
        ap: (Q,) float64, average precision; 0 if there are none.
        inp: (Q,) float64, R divided by the rank of the last of them; 0 if there are none.
    """

    matches: Tensor
    first: Tensor
    ap: Tensor
    inp: Tensor

    def metrics(self, topk: Sequence[int], other_camera: bool = True) -> dict[str, float]:
        """``mAP``, ``mINP`` and ``rank<k>`` in percent: means over the queries that have a right image.

        Raises:
            ValueError: no query has one; the message says whether it had to be from another camera.
        """
        valid = self.matches > 0
        if not valid.any():
            raise ValueError(no_answer(other_camera))
        first = self.first[valid]
        percent = {'mAP': self.ap[valid].mean(), 'mINP': self.inp[valid].mean()}
        percent |= {f'rank{k}': (first <= k).double().mean() for k in topk}
        return {name: 100 * float(value) for name, value in percent.items()}


def euclidean_rows(query: Tensor, gallery: Tensor, normalize: bool = True) -> DistanceRows:
    """Squared Euclidean distances of features (Q, D) and (G, D); ``normalize`` scales the features to unit length."""
    if normalize:
        query, gallery = F.normalize(query, dim=1), F.normalize(gallery, dim=1)
    query_norms, gallery_norms = query.square().sum(1), gallery.square().sum(1)
    query = -2 * query  # exact, and one pass over the products less

    def rows(first: int, last: int) -> Tensor:
        with full_precision():  # ranks depend on the last digits
            products = query[first:last] @ gallery.T
        return products.add_(gallery_norms).add_(query_norms[first:last, None])

    return rows


def equal_pairs(ours: Tensor, theirs: Tensor) -> Callable[[int, int], tuple[Tensor, Tensor]]:
    """Where labels (Q,) of queries equal labels (G,) of a gallery, without comparing all pairs.

    Returns:
        A function of the first and the last query of a part, which gives rows (N,), counted from the first, and columns
        (N,) of the equal pairs, row by row, columns ascending.
    """
    ours, theirs = ours.long(), theirs.long()
    ordered, order = theirs.sort(stable=True)
    begin, end = (torch.searchsorted(ordered, ours, right=right) for right in (False, True))

    def pairs(first: int, last: int) -> tuple[Tensor, Tensor]:
        counts = (end - begin)[first:last]
        row = torch.arange(last - first, device=ours.device).repeat_interleave(counts)
        return row, order[begin[first:last][row] + _within(row, counts)]

    return pairs


def counted_rows(
    rows: DistanceRows, query: Descriptors, gallery: Descriptors, remove_same_camera: bool = True
) -> DistanceRows:
    """The same distances, infinite for gallery images that do not count in the ranking of a query.

    That is the query's own file or a copy of it and, with ``remove_same_camera``, images of the query's identity from
    the query's camera.
    """
    copies = None
    if query.files is not None and gallery.files is not None:
        copies = equal_pairs(query.files, gallery.files)
    people = equal_pairs(query.pids, gallery.pids) if remove_same_camera else None
    if copies is None and people is None:
        return rows

    def counted(first: int, last: int) -> Tensor:
        distances = rows(first, last)
        if people is not None:
            row, column = people(first, last)
            same_camera = query.camids[first:last][row] == gallery.camids[column]
            distances[row[same_camera], column[same_camera]] = torch.inf
        if copies is not None:
            distances[copies(first, last)] = torch.inf
        return distances

    return counted


def score_queries(
    rows: DistanceRows,
    query: Descriptors,
    gallery: Descriptors,
    remove_same_camera: bool = True,
) -> QueryScores:
    r"""Rank the gallery for every query and score the ranking.

    With R right images at ranks :math:`r_1 < ... < r_R` (from 1; ties are ranked by position)::

        AP  = 1 / R  sum_i  i / r_i          (not interpolated)
        INP = R / r_R                        (Ye et al., TPAMI 2021)

    The distances of a query are sorted without their positions, and the right images are looked up among them
    (:func:`count_ranks`).

    Args:
        rows: gives the distances of some queries, called for :data:`CELLS` pairs at a time.
        query: Q images; their features are not used.
        gallery: G images; their features are not used.  Copies of the query's own file are ignored.
        remove_same_camera: ignore images of the query's identity from the query's camera.
    """
    rows = counted_rows(rows, query, gallery, remove_same_camera)
    people = equal_pairs(query.pids, gallery.pids)
    total, size = len(query.pids), len(gallery.pids)
    step = max(1, CELLS // max(1, size))
    chunks = ((first, min(first + step, total)) for first in range(0, total, step))
    scores = [_score(rows(first, last), *people(first, last)) for first, last in chunks]
    return QueryScores(*(torch.cat(field) for field in zip(*scores, strict=True)))


def _score(distances: Tensor, row: Tensor, column: Tensor) -> QueryScores:
    """Scores of queries from distances (Q, G) and the pairs of equal identity, row by row."""
    counts = distances[row, column] < torch.inf
    row, column = row[counts], column[counts]
    matches = torch.bincount(row, minlength=len(distances))
    ranks = count_ranks(distances, row, column, matches)
    found = torch.arange(1, ranks.shape[1] + 1, device=ranks.device) <= matches[:, None]
    order = torch.arange(1, ranks.shape[1] + 1, device=ranks.device, dtype=torch.float64)
    precision = torch.where(found, order / ranks.clamp(min=1), 0)
    some = matches.clamp(min=1)
    last = ranks.gather(1, some[:, None] - 1)[:, 0].clamp(min=1)
    inp = torch.where(matches > 0, matches.double() / last, 0)
    first = torch.where(matches > 0, ranks[:, 0], 0)
    return QueryScores(matches.cpu(), first.cpu(), (precision.sum(1) / some).cpu(), inp.cpu())


def count_ranks(distances: Tensor, row: Tensor, column: Tensor, matches: Tensor) -> Tensor:
    """Ranks of the right images of every query.

    The rank of an image is one more than the number of images that are nearer, which a search in the sorted distances
    of its query tells, or as near and before it in the gallery, which are counted where there are any.

    Args:
        distances: (Q, G); infinite for images that do not count.
        row: (N,) queries of the right images, ascending.
        column: (N,) their places in the gallery, ascending within a row.
        matches: (Q,) int64, the number of right images R of every query.

    Returns:
        (Q, max R or 1) int64: ascending ranks from 1 in the first R columns, then zeros.
    """
    shape = len(distances), max(1, int(matches.max()))
    place = row, _within(row, matches)
    wanted, columns = distances.new_full(shape, torch.inf), row.new_zeros(shape)
    wanted[place], columns[place] = distances[row, column], column
    wanted, order = wanted.sort(dim=1, stable=True)
    columns = columns.gather(1, order)

    ordered = sorted_rows(distances)
    nearer = torch.searchsorted(ordered, wanted)
    as_near = torch.searchsorted(ordered, wanted, right=True) - nearer
    is_right = torch.arange(shape[1], device=row.device) < matches[:, None]
    ranks = torch.where(is_right, nearer + 1, 0)
    for i, j in (is_right & (as_near > 1)).nonzero().tolist():
        ranks[i, j] += (distances[i, : columns[i, j]] == wanted[i, j]).sum()
    return ranks


def sorted_rows(values: Tensor) -> Tensor:
    """The rows of a matrix, each in ascending order.

    On a CPU they are sorted by NumPy, whose sort of numbers alone is vectorised, in as many threads as torch uses.
    """
    if values.device.type != 'cpu':
        return values.sort(dim=1).values
    ordered = values.numpy().copy()
    parts = np.array_split(ordered, torch.get_num_threads())  # views
    with ThreadPoolExecutor(len(parts)) as pool:
        list(pool.map(np.ndarray.sort, parts))
    return torch.from_numpy(ordered)


def _within(row: Tensor, matches: Tensor) -> Tensor:
    """Positions 0, 1, ... of entries within their rows, of which row i has ``matches[i]``; rows ascend."""
    return torch.arange(len(row), device=row.device) - (matches.cumsum(0) - matches)[row]


def nearest(rows: DistanceRows, total: int, size: int, k: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The ``k`` nearest of ``size`` images for each of ``total`` queries, without holding all distances.

    Ties are ranked by position.

    Returns:
        positions (total, k) int64 in ascending order of distance, distances (total, k), and the largest distance of
        every query to any image (total,).
    """
    step = max(1, CELLS // size)
    parts = [_nearest(rows(first, min(first + step, total)), k) for first in range(0, total, step)]
    return tuple(np.concatenate(field) for field in zip(*parts, strict=True))


def _nearest(distances: Tensor, k: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    positions = distances.topk(k, largest=False).indices.sort(dim=1).values
    values, order = distances.gather(1, positions).sort(dim=1, stable=True)
    positions = positions.gather(1, order)
    crowded = (distances <= values[:, -1:]).sum(1) > k  # equal distances at the edge: topk chose arbitrarily
    for tied in crowded.nonzero()[:, 0].tolist():
        values[tied], positions[tied] = (part[:k] for part in distances[tied].sort(stable=True))
    return positions.cpu().numpy(), values.cpu().numpy(), distances.amax(1).cpu().numpy()
