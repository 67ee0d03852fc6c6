"""Training-free re-scoring against hand-computed values and plain loops."""

import pytest
import torch

from vlprompt.engine import load_config
from vlprompt.engine.config_check import check_config
from vlprompt.errors import ConfigError
from vlprompt.evaluation import RetrievalMetric, ranking
from vlprompt.evaluation.rescoring import Rescoring, rescore, rescored_rows

OWN = torch.tensor([[0.9, 0.5, 0.4, 0.1]])
GALLERY = torch.eye(4)
GALLERY[0] = torch.tensor([1, 0.2, 0.8, 0.1])


def stored(bridges, candidates):
    return GALLERY[bridges[:, :, None], candidates[:, None]]


def random_sets(dtype=torch.float64):
    generator = torch.Generator().manual_seed(0)
    features = torch.randn(70, 6, generator=generator, dtype=torch.float64).to(dtype)
    return features[:20], features[20:], torch.arange(20) % 3, torch.arange(50) % 3


def loops(query, gallery, k1, k2, exclude_self, cameras=None):
    """The definition, one number at a time."""
    unit = torch.nn.functional.normalize
    query, gallery = unit(query, dim=1), unit(gallery, dim=1)
    own, between = 1 / (1 + torch.cdist(query, gallery)), 1 / (1 + torch.cdist(gallery, gallery))
    result = own.clone()
    for q in range(len(query)):
        order = own[q].argsort(descending=True).tolist()
        usable = [b for b in order if cameras is None or cameras[0][q] != cameras[1][b]]
        for i in order[:k1]:
            bridges = [b for b in usable[:k2] if not (exclude_self and b == i)]
            terms = [own[q, b] * (between[b, i] if b != i else 1) for b in bridges]
            result[q, i] += sum(terms) / max(1, len(terms))
    return 1 / result - 1


@pytest.mark.parametrize(('exclude_self', 'first'), [(False, 1.8), (True, 0.9)])
def test_by_hand(exclude_self, first):
    """One bridge, three candidates: the third image overtakes the second, the last keeps its similarity."""
    result = rescore(OWN, stored, Rescoring(k1=3, k2=1, exclude_self=exclude_self))
    torch.testing.assert_close(result, torch.tensor([[first, 0.68, 1.12, 0.1]]))


def test_a_query_without_bridges_keeps_its_similarities():
    usable = torch.zeros(1, 4, dtype=torch.bool)
    torch.testing.assert_close(rescore(OWN, stored, Rescoring(k1=3, k2=2), usable), OWN)
    usable[0, 0] = True  # one bridge instead of two
    expected = torch.tensor([[0.9, 0.5 + 0.18, 0.4 + 0.72, 0.1]])
    torch.testing.assert_close(rescore(OWN, stored, Rescoring(k1=3, k2=2), usable), expected)


@pytest.mark.parametrize('exclude_self', [True, False])
@pytest.mark.parametrize('same_camera', [True, False])
@pytest.mark.parametrize(('k1', 'k2'), [(10, 4), (1, 1), (200, 5)])
def test_equals_plain_loops(k1, k2, same_camera, exclude_self, monkeypatch):
    """In chunks that do not divide the queries; more candidates than images are all images."""
    monkeypatch.setattr(ranking, 'CELLS', 6 * min(k1, 50) * 3)
    query, gallery, *cameras = random_sets()
    options = Rescoring(k1, k2, exclude_self, same_camera)
    rows = rescored_rows(query, gallery, options, cameras=cameras)
    expected = loops(query, gallery, k1, k2, exclude_self, None if same_camera else cameras)
    torch.testing.assert_close(torch.cat([rows(0, 7), rows(7, 20)]), expected)
    single = rescored_rows(query.float(), gallery.float(), options, cameras=cameras)
    torch.testing.assert_close(single(0, 20), expected.float(), atol=1e-4, rtol=1e-4)


def test_ties_are_ordered_by_position():
    """Of equal candidates and bridges the first are taken."""
    gallery = torch.eye(2)[:1].repeat(6, 1)
    result = 1 / (1 + rescored_rows(torch.eye(2)[:1], gallery, Rescoring(k1=3, k2=1))(0, 1))
    torch.testing.assert_close(result, torch.tensor([[1.0, 2, 2, 1, 1, 1]]))


def test_nearest_images_stay_ahead_of_the_others():
    """Though a bridge has one bridge less than other candidates have."""
    gallery = torch.nn.functional.normalize(torch.tensor([[1.0, 0.1], [1, -0.1], [0, 1], [-1, 0.1], [-1, 0]]), dim=1)
    distances = rescored_rows(torch.eye(2)[:1], gallery, Rescoring(k1=5, k2=2))(0, 1)
    assert sorted(distances.argsort()[0, :2].tolist()) == [0, 1]


def test_metric_reports_beside_the_plain_ranking(golden):
    _, expected = golden.load('clipreid/eval')
    pids, camids = (torch.from_numpy(expected[name]) for name in ('rr_pids', 'rr_camids'))
    features, is_query = torch.from_numpy(expected['rr_feat']), torch.arange(260) < 60
    data = (features, pids, camids, is_query)
    metrics = RetrievalMetric(rerank=dict(), rescore=dict(k1=50), topk=[1]).calculate(*data)
    plain = RetrievalMetric(topk=[1]).calculate(*data)
    assert {name: metrics[name] for name in plain} == plain
    assert set(metrics) == {prefix + name for prefix in ('', 'reranked_', 'rescored_') for name in plain}
    assert plain['mAP'] != metrics['rescored_mAP']
    rows = rescored_rows(features[:60], features[60:], Rescoring(k1=50))
    query, gallery = (ranking.Descriptors(features, pids, camids).take(part) for part in (is_query, ~is_query))
    scores = ranking.score_queries(rows, query, gallery)  # which applies the camera rule after the re-scoring
    assert scores.metrics([1])['mAP'] == metrics['rescored_mAP']
    other = RetrievalMetric(rescore=dict(k1=50, same_camera=False), topk=[1]).calculate(*data)
    assert other['rescored_mAP'] != metrics['rescored_mAP']


@pytest.mark.parametrize('options', [dict(k1=0), dict(k2=0), dict(k1=3, k2=4), dict(k1=2.5), dict(k2='5')])
def test_impossible_numbers(options):
    with pytest.raises(ValueError, match='re-scoring needs whole numbers with 1 <= k2 <= k1; got k1='):
        RetrievalMetric(rescore=options)


def test_a_gallery_of_one_image():
    torch.testing.assert_close(rescored_rows(torch.eye(2)[:1], torch.eye(2)[1:])(0, 1), torch.tensor([[2**0.5]]))


def test_cameras_are_needed_to_tell_them_apart():
    with pytest.raises(ValueError, match='needs the cameras of query and gallery'):
        rescored_rows(torch.eye(6), torch.eye(6), Rescoring(same_camera=False))


def test_options_of_a_config_are_checked():
    wrong = {'test_evaluator.rescore.k3': 5, 'test_evaluator.rescore.exclude_self': 'no'}
    with pytest.raises(ConfigError, match=r"'test_evaluator.rescore.k3'(.|\n)*exclude_self='no' must be"):
        check_config(load_config('clipreid/baseline_micro-vit', wrong))
