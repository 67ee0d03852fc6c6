"""The report on a re-identification dataset: counts, problems, notes."""

import shutil

import pytest
from data_trees import save_image
from reid_trees import make_market, make_reid_tree

from tools.dataset_converters import check_dataset as tool
from vlprompt.datasets.build_reader import build_reid_reader
from vlprompt.datasets.checks.report import check_reader

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
    report = check_reader(build_reid_reader(market))
    assert report.problems[:2] == [
        'leak: 1 image of query is in train too (the same bytes): query/0007_c2s1_000000_00.jpg = '
        'bounding_box_train/0005_c1s1_000000_00.jpg',
        'leak: 1 identity of train in query and gallery too: 9',
    ]
    assert report.problems[2].startswith(f'unreadable: {train / "0002_c1s1_000000_00.jpg"}: ')
    assert report.notes == [
        f'{market}: images of identity -1 (junk) are left out: 1 of gallery',
        'train: 1 identity has one image only: 9',
        '1 camera of query and gallery has no image in train: 4',
        '2 of 8 queries have no image of their identity from another camera in the gallery and are left out of the '
        'means; identities 50, 60',
    ]


def test_identities_of_msmt17_are_numbered_twice(tmp_path):
    make_reid_tree('msmt17', tmp_path)
    report = check_reader(build_reid_reader(tmp_path / 'MSMT17', 'msmt17'))
    assert report.problems == []


def test_missing_splits_are_problems(market):
    shutil.rmtree(market / 'query')
    (problem,) = check_reader(build_reid_reader(market)).problems
    assert "has no split 'query', only train, gallery" in problem


def test_a_config_names_its_data(tmp_path, capsys):
    make_reid_tree('market1501', tmp_path)
    folder = str(tmp_path / 'Market-1501-v15.09.15')
    assert tool.main(['clipreid/baseline_vit-b16.py', '--dataset', 'market1501', '--data-root', folder]) == 0
    assert capsys.readouterr().out.count('identities  images') == 1
