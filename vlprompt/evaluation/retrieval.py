"""Retrieval: mean average precision, cumulative matching, mINP; VehicleID's repeated draws; re-ranking, re-scoring."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal

import numpy as np
import torch
from mmengine.evaluator import BaseMetric
from mmengine.logging import MMLogger
from torch import Tensor

from vlprompt.evaluation.ranking import (
    Descriptors,
    DistanceRows,
    QueryScores,
    draw_gallery,
    euclidean_rows,
    score_queries,
    some_unanswered,
)
from vlprompt.evaluation.rescoring import Rescoring, rescored_rows
from vlprompt.evaluation.same_files import same_files
from vlprompt.registry import METRICS

Way = Literal['plain', 'rerank', 'rescore']
"""How images are ranked."""


@METRICS.register_module()
class RetrievalMetric(BaseMetric):
    r"""Retrieval of images of the same identity from a gallery, in percent.

    Features are scaled to unit length as a whole and compared by squared Euclidean distance.  Gallery images with the
    identity *and* the camera of the query are excluded from its ranking; so is the query's own file, or a copy of it,
    whatever its identity and camera, unless ``own_files='keep'``.  Queries without any other right image are excluded
    from the means.  ``mAP`` is the mean of the (non-interpolated) average precision, ``rank<k>`` the share of queries
    with a right image among the first k, ``mINP`` the mean of R / rank of the last of R right images; formulae in
    :func:`~vlprompt.evaluation.ranking.score_queries`.

    Memory is that of the features plus a constant: distances and rankings of all queries never exist at once.

    Reported as ``reid/mAP``, ``reid/mINP``, ``reid/rank1``, ...; with ``rerank`` also as ``reid/reranked_mAP``, ...,
    and with ``rescore`` as ``reid/rescored_mAP``, ....  Both use the whole gallery for each query, so their results
    compare with each other and not with the plain ones.  Images that do not count are excluded after them.

    Args:
        topk: the k of ``rank<k>``.
        same_camera: ``'remove'`` or ``'keep'`` images of the query's identity from the query's camera.
        own_files: ``'remove'`` or ``'keep'`` gallery images that are the query's own file, or hold the same bytes.
            Published code keeps them, so its numbers on data with copies need ``'keep'``.
        normalize: scale features to unit length.
        rerank: arguments of :func:`~vlprompt.evaluation.reranking.rerank_rows`, ``dict()`` for the paper's; None: no
            re-ranking.
        rescore: arguments of :class:`~vlprompt.evaluation.rescoring.Rescoring`, ``dict()`` for the paper's; None: no
            re-scoring.
        repeats: n > 0 ignores the split into query and gallery: n times, one image of every identity is drawn for the
            gallery and the others are queries, cameras are ignored, and the means over the draws are reported with
            their standard deviations ``<name>_std``.  VehicleID's protocol with n = 10.
        seed: of these draws.
        device: where distances are computed.
        collect_device: ``'cpu'`` or ``'gpu'``: how results of several processes are collected.
        prefix: of the names of the results.

    Example:
        >>> features = torch.tensor([[1.0, 0.0], [0.9, 0.1], [0.0, 1.0]])
        >>> RetrievalMetric(topk=[1]).calculate(features, pids=[7, 7, 8], camids=[0, 1, 1], is_query=[1, 0, 0])
        {'mAP': 100.0, 'mINP': 100.0, 'rank1': 100.0}
    """

    default_prefix = 'reid'
    nested = dict(rescore=Rescoring)

    def __init__(
        self,
        topk: Sequence[int] = (1, 5, 10),
        same_camera: str = 'remove',
        own_files: str = 'remove',
        normalize: bool = True,
        rerank: Mapping[str, float] | None = None,
        rescore: Mapping[str, Any] | None = None,
        repeats: int = 0,
        seed: int = 0,
        device: str = 'cpu',
        collect_device: str = 'cpu',
        prefix: str | None = None,
    ) -> None:
        super().__init__(collect_device=collect_device, prefix=prefix)
        for name, value in (('same_camera', same_camera), ('own_files', own_files)):
            if value not in ('remove', 'keep'):
                raise ValueError(f"{name} must be 'remove' or 'keep', got {value!r}")
        self.topk = tuple(topk)
        self.same_camera = same_camera
        self.own_files = own_files
        self.normalize = normalize
        self.rerank = rerank
        self.rescore = None if rescore is None else Rescoring(**rescore)
        self.repeats = repeats
        self.seed = seed
        self.device = device
        self._compared: tuple[tuple[str, ...], np.ndarray] = ((), np.empty(0, np.int64))

    def process(self, data_batch: object, data_samples: Sequence[dict]) -> None:
        """Keep descriptor, identity, camera and role of every image; ``feature`` is (D,)."""
        features = torch.stack([sample['feature'].detach() for sample in data_samples])
        for sample, feature in zip(data_samples, features.to('cpu', torch.float32).numpy(), strict=True):
            role, path = sample['role'] == 'query', sample.get('img_path')
            self.results.append((feature, sample['pid'], sample['camid'], role, path))

    def compute_metrics(self, results: list[tuple[np.ndarray, int, int, bool, str | None]]) -> dict[str, float]:
        """The metrics of all images; logs the number of queries without a right image."""
        if not results:
            raise ValueError('RetrievalMetric: no image was evaluated')
        features, pids, camids, is_query, paths = zip(*results, strict=True)
        files = None if self.own_files == 'keep' or None in paths else self._numbers_of(paths)
        return self.calculate(torch.from_numpy(np.stack(features)), pids, camids, is_query, files=files)

    def _numbers_of(self, paths: tuple[str, ...]) -> np.ndarray:
        """Numbers of the files, compared once for the images of all validations."""
        if paths != self._compared[0]:
            self._compared = paths, same_files(paths).numbers
        return self._compared[1]

    def calculate(
        self,
        features: Tensor,
        pids: Sequence[int],
        camids: Sequence[int],
        is_query: Sequence[bool],
        *,
        files: Sequence[int] | None = None,
    ) -> dict[str, float]:
        """The same numbers from descriptors, without a runner.

        Args:
            features: (N, D) of query and gallery images, in any order.
            pids: (N,) identities.
            camids: (N,) cameras.
            is_query: (N,) whether an image is a query.
            files: (N,) numbers, equal for copies of one file; None: there are no copies.  Not used if these are kept.

        Raises:
            ValueError: a feature is not finite, or query or gallery is empty.
        """
        lengths = torch.linalg.vector_norm(features, dim=1)  # a tenth of the time of looking at every number
        if not lengths.isfinite().all() and not features.isfinite().all():
            raise ValueError('RetrievalMetric: a feature is not finite, so images cannot be ranked')
        files = None if self.own_files == 'keep' else files
        labels = (None if v is None else torch.as_tensor(v, device=self.device) for v in (pids, camids, files))
        images = Descriptors(features.to(self.device), *labels)
        if not self.repeats:
            return self._evaluate(images, torch.as_tensor(is_query, device=self.device).bool())
        rng = np.random.default_rng(self.seed)
        draws = [
            self._evaluate(images, ~torch.as_tensor(draw_gallery(np.asarray(pids), rng), device=self.device))
            for _ in range(self.repeats)
        ]
        values = {name: [draw[name] for draw in draws] for name in draws[0]}
        means = {name: float(np.mean(value)) for name, value in values.items()}
        return means | {f'{name}_std': float(np.std(value)) for name, value in values.items()}

    def _evaluate(self, images: Descriptors, is_query: Tensor) -> dict[str, float]:
        query, gallery = images.take(is_query), images.take(~is_query)
        if not len(query.pids) or not len(gallery.pids):
            raise ValueError(f'RetrievalMetric: {len(query.pids)} query and {len(gallery.pids)} gallery images')
        scores = self._score(query, gallery)
        metrics = scores.metrics(self.topk, self.removes_same_camera)
        self._report_unanswerable(scores, query)
        if self.rerank is not None:
            scores = self._score(query, gallery, 'rerank')
            metrics |= {f'reranked_{name}': value for name, value in scores.metrics(self.topk).items()}
        if self.rescore is not None:
            scores = self._score(query, gallery, 'rescore')
            metrics |= {f'rescored_{name}': value for name, value in scores.metrics(self.topk).items()}
        return metrics

    def _score(self, query: Descriptors, gallery: Descriptors, way: Way = 'plain') -> QueryScores:
        return score_queries(self.distances(query, gallery, way), query, gallery, self.removes_same_camera)

    def distances(self, query: Descriptors, gallery: Descriptors, way: Way = 'plain') -> DistanceRows:
        """The distances by which this metric ranks.

        Args:
            query: Q images.
            gallery: G images.
            way: ``'plain'``, ``'rerank'`` or ``'rescore'``, the latter two as in the paper if the metric has no
                arguments of its own for them.

        Returns:
            ``rows(first, last)`` with the distances (last - first, G) of these queries.
        """
        features = query.features, gallery.features
        if way == 'rerank':
            from vlprompt.evaluation.reranking import rerank_rows  # imported here: it needs SciPy

            return rerank_rows(*features, normalize=self.normalize, **(self.rerank or {}))
        if way == 'rescore':
            options = self.rescore or Rescoring()
            return rescored_rows(*features, options, self.normalize, (query.camids, gallery.camids))
        return euclidean_rows(*features, normalize=self.normalize)

    @property
    def removes_same_camera(self) -> bool:
        """Whether images of the query's identity from the query's camera are left out of its ranking."""
        return self.same_camera == 'remove' and not self.repeats

    def _report_unanswerable(self, scores: QueryScores, query: Descriptors) -> None:
        without = query.pids.cpu()[scores.matches == 0].tolist()
        if without and not self.repeats:
            MMLogger.get_current_instance().warning(some_unanswered(without, len(query.pids), self.removes_same_camera))
