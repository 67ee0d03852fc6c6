"""Time and peak memory of retrieval metrics and of re-ranking on random features of MSMT17's size.

    python dev/benchmarks/retrieval.py evaluation             # 11,659 queries x 82,161 gallery images, D = 1280
    python dev/benchmarks/retrieval.py evaluation --queries 3368 --gallery 15913 --plain 3     # Market-1501's size
    python dev/benchmarks/retrieval.py reranking              # 20,000 images
    python dev/benchmarks/retrieval.py rescoring              # the same ones
    python dev/benchmarks/retrieval.py evaluation --queries 200 --gallery 2000      # shows that it runs

Seconds are those of the clock and of the processor (all threads); memory is the most that the process ever held,
Python and torch included. `evaluation` is `RetrievalMetric.calculate`; `reranking` is k-reciprocal re-ranking and the
metrics of its result, `rescoring` training-free re-scoring and those of its.

`--plain N` measures the evaluation N times in turns with the usual one: all distances in one matrix, all rankings by
NumPy's argsort, a loop over the queries. It prints the medians of clock and processor and their ratios, and the metrics
must agree.
"""

from __future__ import annotations

import argparse
import resource
import time

from vlprompt.compat.environment import check_environment

check_environment()  # before anything imports torchvision or an mm package

import numpy as np  # noqa: E402
import torch  # noqa: E402

from vlprompt.apis.sample_batch import random_descriptors  # noqa: E402
from vlprompt.evaluation import RetrievalMetric  # noqa: E402

SIZES = dict(evaluation=(11_659, 82_161), reranking=(3_000, 17_000), rescoring=(3_000, 17_000))


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('part', choices=list(SIZES))
    parser.add_argument('--queries', type=int, help='number of query images')
    parser.add_argument('--gallery', type=int, help='number of gallery images')
    parser.add_argument('--dim', type=int, default=1280)
    parser.add_argument('--k1', type=int, help='instead of the default of the method')
    parser.add_argument('--k2', type=int, help='the same')
    parser.add_argument('--threads', type=int, default=2)
    parser.add_argument('--plain', type=int, metavar='N', help='evaluation: N measurements of both ways in turns')
    args = parser.parse_args(argv)
    if args.plain and args.part != 'evaluation':
        parser.error(f'--plain is a way of evaluation, not of {args.part}')
    args.queries = args.queries or SIZES[args.part][0]
    args.gallery = args.gallery or SIZES[args.part][1]
    return args


def plain(features: torch.Tensor, pids: np.ndarray, camids: np.ndarray, is_query: np.ndarray) -> dict[str, float]:
    """MAP and rank-1 in percent by whole matrices and a loop over the queries."""
    features = torch.nn.functional.normalize(features, dim=1)
    query, gallery = features[is_query], features[~is_query]
    squares = query.square().sum(1, keepdim=True) + gallery.square().sum(1)
    distances = torch.addmm(squares, query, gallery.T, alpha=-2).numpy()
    order = np.argsort(distances, axis=1)
    matches = (pids[~is_query][order] == pids[is_query][:, None]).astype(np.int32)
    precisions, firsts = [], []
    for i, (pid, camid) in enumerate(zip(pids[is_query], camids[is_query], strict=True)):
        keep = ~((pids[~is_query][order[i]] == pid) & (camids[~is_query][order[i]] == camid))
        hits = matches[i][keep]
        if not hits.any():
            continue
        found = hits.cumsum()
        firsts.append(found[0] > 0)
        precisions.append((found / np.arange(1, len(hits) + 1) * hits).sum() / hits.sum())
    return dict(mAP=100 * np.mean(precisions), rank1=100 * np.mean(firsts))


def compare(images: tuple, repeats: int) -> None:
    """Print median seconds of clock and processor of both ways of evaluation, and their ratios.

    Raises:
        RuntimeError: mAP or rank-1 differ by more than 0.001 percentage points.
    """
    clocks = dict(clock=time.perf_counter, processor=time.process_time)
    seconds = {(name, kind): [] for name in ('ours', 'plain') for kind in clocks}
    ways = dict(ours=lambda: RetrievalMetric().calculate(*images), plain=lambda: plain(*images))
    results = {}
    for _ in range(repeats):
        for name, way in ways.items():
            start = {kind: clock() for kind, clock in clocks.items()}
            results[name] = way()
            for kind, clock in clocks.items():
                seconds[name, kind].append(clock() - start[kind])
    for name, value in results['plain'].items():
        if abs(value - results['ours'][name]) > 1e-3:
            raise RuntimeError(f'{name}: {results["ours"][name]:.4f} against {value:.4f} in the plain way')
    for kind in clocks:
        ours, usual = (np.median(seconds[name, kind]) for name in ('ours', 'plain'))
        print(f'  {kind}, medians of {repeats}: {ours:.2f} s, plain {usual:.2f} s, ratio {usual / ours:.2f}')


def peak_memory() -> float:
    """GiB of this process until now."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20


def main(argv: list[str] | None = None) -> None:
    args = parse_args(argv)
    torch.set_num_threads(args.threads)
    images = random_descriptors(args.queries, args.gallery, args.dim)
    options = {name: value for name, value in dict(k1=args.k1, k2=args.k2).items() if value is not None}
    method = dict(reranking='rerank', rescoring='rescore').get(args.part)
    metric = RetrievalMetric(**({method: options} if method else {}))
    before = peak_memory()
    clock, processor = time.perf_counter(), time.process_time()
    metrics = metric.calculate(*images)
    clock, processor = time.perf_counter() - clock, time.process_time() - processor
    peak = peak_memory()
    print(f'{args.part}: {args.queries} queries x {args.gallery} gallery images, D = {args.dim}')
    print(f'  {clock:.1f} s ({processor:.1f} s of processor time, {args.threads} threads)')
    print(f'  peak memory {peak:.2f} GiB, {peak - before:.2f} more than with the features alone')
    print('  ' + ', '.join(f'{name} {value:.2f}' for name, value in metrics.items()))
    if args.plain:
        compare(images, args.plain)


if __name__ == '__main__':
    main()
