"""Re-identification data: every layout, what is left out, contiguous labels, errors that name file and field."""

from collections import Counter
from pathlib import Path

import pytest
from mmengine.config import Config
from reid_trees import DATASETS, TEST, TRAIN, entries, folder_of, make_market, make_reid_tree, make_table

from vlprompt.datasets import ReIDDataset
from vlprompt.datasets.build_reader import build_reid_reader
from vlprompt.engine.compose import compose
from vlprompt.registry import DATASETS as REGISTRY
from vlprompt.registry import METRICS

PUBLISHED_CAMERAS = dict(market1501=6, dukemtmc=8, occluded_duke=8, msmt17=15, veri=20, vehicleid=1, scenes_reid=3)


def config_of(name, folder):
    return compose(Config(dict(task='reid', dataset=name, image_size=(32, 16))), dict(data_root=str(folder)))


def infos(dataset, *keys):
    return [tuple(dataset.get_data_info(i)[key] for key in keys) for i in range(len(dataset))]


@pytest.mark.parametrize('name', DATASETS)
def test_every_config_reads_its_layout(tmp_path, name):
    make_reid_tree(name, tmp_path)
    cfg = config_of(name, folder_of(name, tmp_path))
    assert cfg.train_dataloader.batch_size == cfg.train_dataloader.sampler.batch_size == 64
    metric = METRICS.build(cfg.test_evaluator)
    assert metric.repeats == (10 if name == 'vehicleid' else 0)
    for loader in ('train_dataloader', 'val_dataloader', 'test_dataloader'):
        dataset = REGISTRY.build(cfg[loader].dataset)
        assert dataset[0]['inputs'].shape == (3, 32, 16)
        meta = dataset.metainfo
        assert meta['num_cameras'] == PUBLISHED_CAMERAS[name]
        assert meta['num_views'] == 1
        assert meta['noun'] == ('vehicle' if name in ('veri', 'vehicleid') else 'person')
        roles = Counter(role for (role,) in infos(dataset, 'role'))
        assert list(roles) == (['train'] if loader == 'train_dataloader' else ['query', 'gallery'])


def test_market_layout(tmp_path):
    make_market(tmp_path, 'bounding_box_train', 'query', 'bounding_box_test')
    train, test = ReIDDataset(str(tmp_path)), ReIDDataset(str(tmp_path), split='test')
    assert train.metainfo == dict(dataset='custom', num_ids=3, num_cameras=3, num_views=1, noun='person')
    expected = [(pid, camera - 1, TRAIN.index(pid)) for pid, camera, _ in entries('train')]
    assert infos(train, 'pid', 'camid', 'gt_label') == expected
    assert train.pids == [pid for pid, _, _ in expected]
    gallery = sorted((pid, camera - 1) for pid, camera, _ in entries('gallery') if pid != -1)
    assert infos(test, 'pid', 'camid') == [(pid, camera - 1) for pid, camera, _ in entries('query')] + gallery
    assert (0, 0) in gallery, 'distractors stay'
    assert 'gt_label' not in test.get_data_info(0)
    assert repr(train) == (
        'ReIDDataset(custom, split=train): 18 images of 3 identities; the dataset has 3 cameras and 1 viewpoints'
    )


def test_config_for_own_data(tmp_path):
    make_market(tmp_path, 'bounding_box_train', 'query', 'bounding_box_test')
    make_table(tmp_path)
    for layout, sizes in dict(folder=(18, 13), csv=(4, 6)).items():
        cfg = config_of(layout, tmp_path)
        assert METRICS.build(cfg.test_evaluator).topk == (1, 5, 10)
        for loader, size in zip(('train_dataloader', 'test_dataloader'), sizes, strict=True):
            dataset = REGISTRY.build(cfg[loader].dataset)
            assert len(dataset) == size
            assert dataset[0]['inputs'].shape == (3, 32, 16)


def test_samples_carry_what_the_model_needs(tmp_path):
    make_market(tmp_path, 'bounding_box_train', 'query', 'bounding_box_test')
    pack = [dict(type='vlprompt.LoadImage'), dict(type='vlprompt.PackReIDInputs')]
    sample = ReIDDataset(str(tmp_path), pipeline=pack)[13]['data_samples']
    assert (sample.pid, sample.camid, sample.viewid, sample.gt_label.tolist()) == (11, 0, 0, [2])
    assert (sample.role, sample.is_query, sample.ori_shape) == ('train', False, (12, 6))
    query = ReIDDataset(str(tmp_path), split='test', pipeline=pack)[0]['data_samples']
    assert query.is_query
    assert 'gt_label' not in query


def test_msmt17_trains_on_train_and_val_and_reads_the_camera_of_the_name(tmp_path):
    make_reid_tree('msmt17', tmp_path)
    train = ReIDDataset(str(tmp_path / 'MSMT17'), 'msmt17')
    assert infos(train, 'pid', 'camid') == [(0, 3), (1, 3), (1, 4)]
    (tmp_path / 'MSMT17' / 'train').rename(tmp_path / 'MSMT17' / 'mask_train_v2')
    second_edition = ReIDDataset(str(tmp_path / 'MSMT17'), 'msmt17')
    assert Path(second_edition.get_data_info(2)['img_path']).is_file()
    (tmp_path / 'MSMT17' / 'list_query.txt').write_text('0000/0000_000.jpg 0\n')
    with pytest.raises(ValueError, match=r'list_query.txt:1: the third field of the file name must be the camera'):
        ReIDDataset(str(tmp_path / 'MSMT17'), 'msmt17', split='test')


def test_a_view_that_is_empty_is_no_viewpoint(tmp_path):
    (tmp_path / 'a.csv').write_text('path,id,camera,view,split\na.png,1,1,2,train\nb.png,1,2,,train\n')
    with pytest.raises(
        ValueError, match=r"a\.csv:3: field 'view' is empty; fill it in all rows, or leave the column out"
    ):
        ReIDDataset(str(tmp_path), ann_file='a.csv')
    (tmp_path / 'a.csv').write_text('path,id,camera\na.png,1,1\n')
    with pytest.raises(ValueError, match=r"a\.csv:1: no column 'split'; .*without a column split, .*'\{split\}\.csv'"):
        ReIDDataset(str(tmp_path), ann_file='a.csv')


def test_veri_viewpoints(tmp_path):
    make_reid_tree('veri', tmp_path)
    folder = tmp_path / 'VeRi'
    names = sorted(path.name for path in folder.glob('image_*/*.jpg'))
    unlabelled = f'{TEST[0]:04d}_c1s1_000000_00.jpg'
    lines = [f'/some/where/{name} {"1 2 " * 20}{number % 8}' for number, name in enumerate(names) if name != unlabelled]
    (folder / 'keypoint_train.txt').write_text('\n'.join(lines))
    (folder / 'keypoint_test.txt').write_text(f'{names[0]} 7\n')
    test = ReIDDataset(str(folder), 'veri', split='test')
    assert test.metainfo['num_views'] == 8
    assert len(test) == len(entries('query')) - 1 + len(entries('gallery')) - 1
    assert test.notes() == [
        f'{folder}: images without a viewpoint are left out: 1 of query',
        f'{folder}: images of identity -1 (junk) are left out: 1 of gallery',
    ]
    views = dict(zip(names, (number % 8 for number in range(len(names))), strict=True))
    assert all(views[Path(path).name] == view for path, view in infos(test, 'img_path', 'viewid'))
    (folder / 'keypoint_train.txt').write_text('a.jpg 1 2 9')
    with pytest.raises(ValueError, match=r'keypoint_train.txt:1: a line must end with a viewpoint from 0 to 7'):
        ReIDDataset(str(folder), 'veri')


def test_vehicleid_draws_one_gallery_image_of_each(tmp_path):
    make_reid_tree('vehicleid', tmp_path)
    test = ReIDDataset(str(tmp_path / 'VehicleID_V1.0'), 'vehicleid', split='test')
    roles = Counter((pid, role) for pid, role in infos(test, 'pid', 'role'))
    assert roles == {(pid, role): count for pid in TEST for role, count in (('query', 2), ('gallery', 1))}
    assert {camid for (camid,) in infos(test, 'camid')} == {0}
    with pytest.raises(FileNotFoundError, match=r'has no split .query., only train. .*VehicleID_V1.0 must hold'):
        ReIDDataset(str(tmp_path / 'VehicleID_V1.0'), 'vehicleid_2400', split='test')


def test_table_with_names(tmp_path):
    make_table(tmp_path)
    options = dict(ann_file='images.csv', noun='vehicle')
    train = ReIDDataset(str(tmp_path), **options)
    assert train.metainfo == dict(dataset='custom', num_ids=2, num_cameras=2, num_views=2, noun='vehicle')
    assert infos(train, 'gt_label', 'camid', 'viewid') == [(0, 0, 0), (0, 1, 1), (1, 0, 0), (1, 1, 1)]
    test = ReIDDataset(str(tmp_path), split='test', **options)
    assert infos(test, 'pid', 'role') == [(2, 'query')] * 2 + [(2, 'gallery')] * 2 + [(3, 'gallery')] * 2
    assert Path(test.get_data_info(0)['img_path']).is_file()


def test_a_table_for_each_split_with_numbers(tmp_path):
    (tmp_path / 'train.csv').write_text('id,path,camera\n30,a.png,5\n4,b.png,10\n')
    (tmp_path / 'query.csv').write_text('id,path,camera\n7,c.png,10\n')
    (tmp_path / 'gallery.csv').write_text('id,path,camera\n7,d.png,12\n')
    train = ReIDDataset(str(tmp_path), ann_file='{split}.csv')
    assert infos(train, 'pid', 'gt_label', 'camid') == [(30, 1, 0), (4, 0, 1)]
    assert infos(ReIDDataset(str(tmp_path), ann_file='{split}.csv', split='gallery'), 'pid', 'camid') == [(7, 2)]


@pytest.mark.parametrize(
    ('content', 'message'),
    [
        ('path,id\na.png,3\n', r"no column 'camera', 'split'; the first line must name"),
        ('path,id,camera,split\na.png,3,1,train\nb.png,,1,train\n', r"images.csv:3: field 'id' is empty"),
        ('path,id,camera,split\na.png,3,1,test\n', r"images.csv:2: split 'test' is not 'train', 'query' or 'gallery'"),
        ('path,id,camera,split\na.png,3,1,train\na.png,3,1,train\n', r"split 'train' lists 'a.png' twice"),
        ('path,id,camera,split\na.png,3,1,query\n', r"has no split 'train', only query"),
        ('path,id,camera,split\na.png,-2,1,train\n', r"images.csv:2: id '-2' is neither a name nor a whole number"),
        ('path,id,camera,split\na.png,1.0,1,train\n', r"images.csv:2: id '1.0' is neither a name nor a whole number"),
        (f'path,id,camera,split\na.png,{"9" * 5000},1,train\n', r"images.csv:2: id: '999.* has 5000 digits"),
        (
            'path,id,camera,split\na.png,1,-1,train\n',
            r"images.csv:2: camera '-1' is neither a name nor a whole number from 0 on",
        ),
        (
            'path,id,camera,view,split\na.png,1,1,0.5,train\n',
            r"images.csv:2: view '0.5' is neither a name nor a whole number",
        ),
    ],
)
def test_mistakes_in_tables(tmp_path, content, message):
    (tmp_path / 'images.csv').write_text(content)
    with pytest.raises((ValueError, FileNotFoundError), match=message):
        ReIDDataset(str(tmp_path), ann_file='images.csv')


def test_mistakes_in_folders(tmp_path):
    with pytest.raises(
        FileNotFoundError, match=r'nowhere does not exist\. .* must hold the folders bounding_box_train'
    ):
        ReIDDataset(str(tmp_path), data_prefix='nowhere')
    with pytest.raises(FileNotFoundError, match=r'Make the built-in data with: vlprompt generate-world'):
        ReIDDataset(str(tmp_path), 'scenes_reid')
    for name in ('cat.jpg', '0001_c0s1.jpg'):
        folder = tmp_path / name
        (folder / 'query').mkdir(parents=True)
        (folder / 'query' / name).touch()
        with pytest.raises(ValueError, match=rf'query/{name}: the name must begin with <identity>_c<camera>'):
            ReIDDataset(str(folder), split='query')
    (tmp_path / 'query').mkdir()
    (tmp_path / 'query' / '0001_c7s1.jpg').touch()
    with pytest.raises(ValueError, match=r"'query/0001_c7s1.jpg': camera 7 of a dataset with 6"):
        ReIDDataset(str(tmp_path), 'market1501', split='query')


JUNK = {
    'market': dict.fromkeys(
        ('bounding_box_train/0002_c1.png', 'bounding_box_train/-1_c1.png', 'bounding_box_train/-1_c2.png'), None
    ),
    'csv': {'images.csv': 'path,id,camera,split\na.png,2,1,train\nb.png,-1,1,train\nc.png,-1,2,train\n'},
    'csv of names': {'images.csv': 'path,id,camera,split\na.png,ann,1,train\nb.png,-1,1,train\nc.png,-1,2,train\n'},
    'msmt17': {'list_train.txt': 'a_000_01_x.jpg 2\nb_000_01_x.jpg -1\nc_000_02_x.jpg -1\n', 'list_val.txt': ''},
    'vehicleid': {'train_test_split/train_list.txt': 'a 2\nb -1\nc -1\n'},
}


@pytest.mark.parametrize('layout', JUNK)
def test_junk_is_left_out_and_counted_in_every_layout(tmp_path, layout):
    for name, content in JUNK[layout].items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(content or '')
    known = dict(dataset=layout) if layout in ('msmt17', 'vehicleid') else {}
    data = ReIDDataset(str(tmp_path), ann_file='images.csv' if 'csv' in layout else None, **known)
    assert len(data) == data.metainfo['num_ids'] == 1
    (note,) = data.notes()
    assert note.endswith(': images of identity -1 (junk) are left out: 2 of train')


@pytest.mark.parametrize(
    ('layout', 'place'), [('market', '-2_c1.png'), ('msmt17', 'list_train.txt:2'), ('vehicleid', 'train_list.txt:2')]
)
def test_other_negative_identities_are_errors_in_every_layout(tmp_path, layout, place):
    for name, content in JUNK[layout].items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name.replace('-1_c1', '-2_c1')).write_text((content or '').replace('-1', '-2', 1))
    known = dict(dataset=layout) if layout != 'market' else {}
    with pytest.raises(ValueError, match=rf"{place}: identity '-2' is not a whole number from 0 on, or -1 for junk"):
        ReIDDataset(str(tmp_path), **known)


def test_images_in_folders_of_a_split_are_read_and_other_files_counted(tmp_path):
    for name in ('0002_c1.png', 'more/0003_c2.JFIF', 'more/0003_c1.heic', 'Thumbs.db', '.0004_c1.png'):
        path = tmp_path / 'bounding_box_train' / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    data = ReIDDataset(str(tmp_path))
    assert infos(data, 'pid', 'camid') == [(2, 0), (3, 1)]
    assert data.notes() == [f'{tmp_path}: files .heic are left out: 1 of train']


def test_a_camera_of_a_name_makes_no_room_for_itself(tmp_path):
    (tmp_path / 'query').mkdir()
    (tmp_path / 'query' / '0001_c999999999.jpg').touch()
    with pytest.raises(ValueError, match='camera 999999999 is not a number from 1 to 10000'):
        ReIDDataset(str(tmp_path), split='query')


def test_contradicting_arguments(tmp_path):
    with pytest.raises(ValueError, match="unknown dataset 'market'; one of market1501"):
        build_reid_reader(tmp_path, 'market')
    with pytest.raises(ValueError, match='fixes ann_file, data_prefix and noun'):
        build_reid_reader(tmp_path, 'market1501', noun='dog')
    with pytest.raises(ValueError, match=r'must be a \*.csv'):
        build_reid_reader(tmp_path, ann_file='images.txt')
    with pytest.raises(ValueError, match='split must be one of train, query, gallery, test'):
        ReIDDataset(str(tmp_path), split='val')


def test_photographs(realdata):
    test = ReIDDataset(str(realdata / 'pku_reid_market'), split='test')
    assert (len(test), test.metainfo['num_ids'], test.metainfo['num_cameras']) == (384, 24, 2)
