"""Plain retrieval and re-ranking: loops over images and dense matrices, written from the definitions."""

import numpy as np


def squared_distances(x, y):
    return ((x[:, None] - y[None]) ** 2).sum(-1)


def evaluate(distances, query_pids, query_cams, gallery_pids, gallery_cams, topk, remove=True):
    """mAP, mINP and rank-k in percent, and AP per query (None where no right image exists)."""
    aps, inps, firsts = [], [], []
    for row, pid, cam in zip(distances, query_pids, query_cams, strict=True):
        ranking = sorted(range(len(row)), key=lambda g: (row[g], g))
        if remove:
            ranking = [g for g in ranking if not (gallery_pids[g] == pid and gallery_cams[g] == cam)]
        right = [gallery_pids[g] == pid for g in ranking]
        if not any(right):
            aps.append(None)
            continue
        hits = [rank for rank, is_right in enumerate(right, 1) if is_right]
        aps.append(sum(i / rank for i, rank in enumerate(hits, 1)) / len(hits))
        inps.append(len(hits) / hits[-1])
        firsts.append(hits[0])
    valid = [ap for ap in aps if ap is not None]
    metrics = {'mAP': 100 * np.mean(valid), 'mINP': 100 * np.mean(inps)}
    return metrics | {f'rank{k}': 100 * np.mean([first <= k for first in firsts]) for k in topk}, aps


def rerank(features, num_query, k1, k2, lambda_value):
    """k-reciprocal re-ranking with dense N x N matrices; features (N, D) are taken as they are."""
    original = squared_distances(features, features)
    original = original / original.max(1, keepdims=True)
    ranking = np.argsort(original, axis=1, kind='stable')
    total = len(features)

    def reciprocal(i, k):
        return {j for j in ranking[i, : k + 1] if i in ranking[j, : k + 1]}

    vectors = np.zeros_like(original)
    for i in range(total):
        own = reciprocal(i, k1)
        expanded = set(own)
        for j in own:
            other = reciprocal(j, round(k1 / 2))
            if len(own & other) > 2 / 3 * len(other):
                expanded |= other
        members = sorted(expanded)
        weights = np.exp(-original[i, members])
        vectors[i, members] = weights / weights.sum()
    if k2 > 1:
        vectors = np.stack([vectors[ranking[i, :k2]].mean(0) for i in range(total)])
    shared = np.stack([np.minimum(vectors[i], vectors[num_query:]).sum(1) for i in range(num_query)])
    jaccard = 1 - shared / (2 - shared)
    return (1 - lambda_value) * jaccard + lambda_value * original[:num_query, num_query:]
