"""Retrieval metrics against plain loops and the published implementation's numbers."""

import logging

import numpy as np
import pytest
import torch
from mmengine.logging import MMLogger
from retrieval_reference import evaluate, squared_distances

from vlprompt.evaluation import RetrievalMetric, ranking
from vlprompt.evaluation.ranking import Descriptors, euclidean_rows, nearest, score_queries
from vlprompt.structures import ReIDSample


def random_data(seed, queries=60, gallery=300, ids=25, cams=4, dim=16):
    rng = np.random.default_rng(seed)
    pids, camids = rng.integers(0, ids, queries + gallery), rng.integers(0, cams, queries + gallery)
    centres = rng.standard_normal((ids, dim))
    features = centres[pids] + 1.5 * rng.standard_normal((len(pids), dim))
    return torch.from_numpy(features).float(), pids, camids, np.arange(len(pids)) < queries


def unit(features):
    features = features.double().numpy()
    return features / np.linalg.norm(features, axis=1, keepdims=True)


def reference(features, pids, camids, is_query, topk=(1, 5, 10), remove=True):
    distances = squared_distances(features[is_query], features[~is_query])
    return evaluate(distances, pids[is_query], camids[is_query], pids[~is_query], camids[~is_query], topk, remove)[0]


def close(metrics, expected):
    assert metrics.keys() == expected.keys()
    assert all(abs(metrics[name] - expected[name]) < 1e-4 for name in expected), (metrics, expected)  # percent


@pytest.mark.parametrize('seed', range(4))
@pytest.mark.parametrize('same_camera', ['remove', 'keep'])
def test_equals_plain_loops(seed, same_camera, monkeypatch):
    """To 1e-6 (1e-4 of a percent), in chunks that do not divide the queries."""
    monkeypatch.setattr(ranking, 'CELLS', 300 * 7)
    data = random_data(seed)
    metrics = RetrievalMetric(same_camera=same_camera).calculate(*data)
    close(metrics, reference(unit(data[0]), *data[1:], remove=same_camera == 'remove'))


def test_features_as_they_are():
    data = random_data(5)
    close(RetrievalMetric(normalize=False).calculate(*data), reference(data[0].double().numpy(), *data[1:]))


def test_equal_distances_keep_the_order_of_the_gallery():
    """Coarse features, so that most distances are shared by several images, right and wrong."""
    features, *rest = random_data(6, gallery=120, dim=3)
    features = features.sign()
    close(RetrievalMetric(normalize=False).calculate(features, *rest), reference(features.numpy(), *rest))


def test_published_numbers(golden):
    _, stored = golden.load('clipreid/eval')
    features, pids, camids = (torch.from_numpy(stored[name]) for name in ('feat', 'pids', 'camids'))
    images = Descriptors(features, pids, camids)
    query, gallery = images.take(torch.arange(200)), images.take(torch.arange(200, 1200))
    scores = score_queries(euclidean_rows(query.features, gallery.features), query, gallery)
    valid = stored['valid_query'].astype(bool)
    assert np.array_equal(scores.matches.numpy() > 0, valid)
    assert np.abs(scores.ap.numpy() - stored['ap_per_query']).max() < 1e-6
    expected = np.where(stored['first_hit'] == 50, 51, stored['first_hit'] + 1)
    assert np.array_equal(np.minimum(scores.first.numpy(), 51), expected)
    metrics = scores.metrics(range(1, 51))
    assert abs(metrics['mAP'] / 100 - stored['mAP']) < 1e-6
    assert np.allclose([metrics[f'rank{k}'] / 100 for k in range(1, 51)], stored['cmc'], atol=1e-6)
    raw = score_queries(euclidean_rows(query.features, gallery.features, normalize=False), query, gallery)
    assert abs(raw.metrics([1])['mAP'] / 100 - stored['mAP_nonorm']) < 1e-6


def test_repeats_draw_one_gallery_image_of_every_identity():
    features, pids, camids, is_query = random_data(7, ids=20)
    metrics = RetrievalMetric(topk=(1, 5), repeats=5, seed=3).calculate(features, pids, camids, is_query)
    rng, draws = np.random.default_rng(3), []
    for _ in range(5):
        order = rng.permutation(len(pids))
        seen, in_gallery = set(), np.zeros(len(pids), bool)
        for image in order:
            in_gallery[image] = pids[image] not in seen
            seen.add(pids[image])
        assert in_gallery.sum() == 20
        draws.append(reference(unit(features), pids, camids, ~in_gallery, topk=(1, 5), remove=False))
    for name in ('mAP', 'rank1', 'rank5'):
        assert metrics[name] == pytest.approx(np.mean([draw[name] for draw in draws]), abs=1e-4)
        assert metrics[f'{name}_std'] == pytest.approx(np.std([draw[name] for draw in draws]), abs=1e-4)


def test_reads_samples_and_names_queries_without_an_answer(caplog):
    features, pids, camids, is_query = random_data(8, queries=10, gallery=40, ids=5)
    pids[3] = 77
    metric = RetrievalMetric()
    samples = [
        ReIDSample(metainfo=dict(role='query' if query else 'gallery'), pid=int(pid), camid=int(cam)).set_feature(f)
        for f, pid, cam, query in zip(features, pids, camids, is_query, strict=True)
    ]
    for half in (samples[:20], samples[20:]):
        metric.process(None, [sample.to_dict() for sample in half])
    logger = MMLogger.get_current_instance()
    logger.addHandler(caplog.handler)
    try:
        with caplog.at_level(logging.WARNING):
            metrics = metric.evaluate(len(samples))
    finally:
        logger.removeHandler(caplog.handler)
    expected = reference(unit(features), pids, camids, is_query)
    close(metrics, {f'reid/{name}': value for name, value in expected.items()})
    assert '1 of 10 queries have no image' in caplog.text
    assert 'identities 77' in caplog.text


def test_what_cannot_be_ranked_is_an_error():
    features, pids, camids, is_query = random_data(9)
    with pytest.raises(ValueError, match=r"unknown.*same_camera='keep'"):
        RetrievalMetric().calculate(features, pids, np.zeros_like(camids), is_query)
    with pytest.raises(ValueError, match='0 query and 360 gallery'):
        RetrievalMetric().calculate(features, pids, camids, np.zeros_like(is_query))
    features[4, 2] = torch.nan
    with pytest.raises(ValueError, match='not finite'):
        RetrievalMetric().calculate(features, pids, camids, is_query)
    with pytest.raises(ValueError, match="'remove' or 'keep', got 'drop'"):
        RetrievalMetric(same_camera='drop')
    with pytest.raises(ValueError, match='own_files'):
        RetrievalMetric(own_files='drop')


def test_nearest_images_with_equal_distances(monkeypatch):
    monkeypatch.setattr(ranking, 'CELLS', 50 * 3)
    features = torch.randint(0, 2, (50, 4), generator=torch.Generator().manual_seed(0)).double()
    distances = squared_distances(features.numpy(), features.numpy())
    positions, values, largest = nearest(euclidean_rows(features, features, normalize=False), 50, 50, 7)
    order = np.argsort(distances, axis=1, kind='stable')[:, :7]
    assert np.array_equal(positions, order)
    assert np.array_equal(values, np.take_along_axis(distances, order, 1))
    assert np.array_equal(largest, distances.max(1))


# ---------------------------------------------------------------------------------------------------------- own files


def reid_sample(feature, pid, camid, role, path):
    sample = ReIDSample(metainfo=dict(role=role, img_path=str(path)), pid=pid, camid=camid)
    return sample.set_feature(torch.tensor(feature)).to_dict()


@pytest.mark.parametrize('how', ['copy', 'link', 'same path'])
def test_the_own_file_of_a_query_is_no_answer(tmp_path, how):
    """Without copies in the gallery the first query is answered wrongly, the second rightly: rank-1 is 50 %."""
    for name in ('q1', 'q2', 'g1', 'g2', 'g3'):
        (tmp_path / name).write_text(f'image {name}')
    if how == 'copy':
        (tmp_path / 'copy').write_text('image q1')
    elif how == 'link':
        (tmp_path / 'copy').symlink_to(tmp_path / 'q1')
    own = tmp_path / ('q1' if how == 'same path' else 'copy')
    samples = [
        reid_sample([1.0, 0.0], 7, 0, 'query', tmp_path / 'q1'),
        reid_sample([0.0, 1.0], 8, 0, 'query', tmp_path / 'q2'),
        reid_sample([0.6, 0.8], 7, 1, 'gallery', tmp_path / 'g1'),
        reid_sample([0.9, 0.1], 8, 1, 'gallery', tmp_path / 'g2'),
        reid_sample([0.1, 0.9], 8, 1, 'gallery', tmp_path / 'g3'),
        reid_sample([1.0, 0.0], 7, 1, 'gallery', own),
    ]
    for same_camera in ('keep', 'remove'):
        metric = RetrievalMetric(topk=[1], same_camera=same_camera)
        metric.process(None, samples)
        assert metric.evaluate(6)['reid/rank1'] == 50
    for same_camera in ('keep', 'remove'):
        metric = RetrievalMetric(topk=[1], same_camera=same_camera, own_files='keep')
        metric.process(None, samples)
        assert metric.evaluate(6)['reid/rank1'] == 100, 'as published code has it'
    strangers = [dict(sample, img_path=f'{i}') for i, sample in enumerate(samples)]
    metric.process(None, strangers)
    assert metric.evaluate(6)['reid/rank1'] == 100, 'were it another image'


def test_a_gallery_of_nothing_but_own_files_has_no_answer(tmp_path):
    (tmp_path / 'a').write_text('image')
    metric = RetrievalMetric(topk=[1], same_camera='keep')
    metric.process(None, [reid_sample([1.0, 0.0], 7, 0, role, tmp_path / 'a') for role in ('query', 'gallery')])
    with pytest.raises(ValueError, match='no query has another image of its identity in the gallery'):
        metric.evaluate(2)
