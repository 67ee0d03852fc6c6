"""The report on a re-identification dataset: counts, problems, notes."""

import shutil

import pytest
from data_trees import save_image
from reid_trees import make_market, make_reid_tree

from tools.dataset_converters import check_dataset as tool
from vlprompt.datasets.build_reader import build_reid_reader
from vlprompt.datasets.reid.check import check_reid

FOLDERS = ('bounding_box_train', 'query', 'bounding_box_test')


@pytest.fixture
def market(tmp_path):
    make_market(tmp_path, *FOLDERS)
    return tmp_path


def test_all_is_well(market, capsys):
    assert tool.main(['--reid', '--data-root', str(market)]) == 0
    out = capsys.readouterr().out
    assert 'train              3      18        3      1  6 to 6, mean 6.0' in out
    assert 'gallery            3       7        3      1  1 to 3, mean 2.3' in out
    assert out.endswith('0 problems\n')


def test_problems_and_notes(market):
    train, query, gallery = (market / folder for folder in FOLDERS)
    (train / '0002_c1s1_000000_00.jpg').write_text('no image')
    save_image(train / '0009_c1s1_000000_00.jpg', seed=1)
    shutil.copy(query / '0007_c2s1_000000_00.jpg', train / '0005_c1s1_000000_00.jpg')
    save_image(query / '0050_c4s1_000000_00.jpg', seed=2)
    save_image(query / '0060_c1s1_000000_00.jpg', seed=3)
    save_image(gallery / '0060_c1s1_000001_00.jpg', seed=4)
    report = check_reid(build_reid_reader(market))
    assert len(report.problems) == 3
    for text in (
        'leak: 1 identities are (9) in the training and in the test split',
        f'unreadable: {train / "0002_c1s1_000000_00.jpg"}: ',
        'leak: query/0007_c2s1_000000_00.jpg in query is the same file as bounding_box_train/0005_c1s1_000000_00.jpg',
    ):
        assert any(text in problem for problem in report.problems), text
    assert report.notes == [
        '1 training identities have (9) one image only',
        '1 cameras of the test split have (4) no training image',
        '1 query identities have (50) no image in the gallery',
        '2 queries have no gallery image from another camera: 2 identities (50, 60)',
    ]


def test_identities_of_msmt17_are_numbered_twice(tmp_path):
    make_reid_tree('msmt17', tmp_path)
    report = check_reid(build_reid_reader(tmp_path / 'MSMT17', 'msmt17'))
    assert report.problems == []


def test_missing_splits_are_problems(market):
    shutil.rmtree(market / 'query')
    (problem,) = check_reid(build_reid_reader(market)).problems
    assert "has no split 'query', only train, gallery" in problem


def test_a_config_names_its_data(tmp_path, capsys):
    make_reid_tree('market1501', tmp_path)
    folder = str(tmp_path / 'Market-1501-v15.09.15')
    assert tool.main(['clipreid/baseline_vit-b16.py', '--dataset', 'market1501', '--data-root', folder]) == 0
    assert capsys.readouterr().out.count('identities  images') == 1
