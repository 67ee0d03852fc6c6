"""What a run says about its data before it builds a model, in every task."""

import json
import re
from itertools import count

import numpy as np
import pytest
from mmengine.registry import DefaultScope
from PIL import Image
from torch import nn
from torch.utils.data import Dataset

import vlprompt.datasets.dense.coco_instances
import vlprompt.datasets.dense.folder_seg  # noqa: F401  registers the datasets
from tests.two_processes import in_two_processes
from vlprompt.datasets.checks.examine import examine
from vlprompt.engine import data_checks
from vlprompt.engine.data_checks import check_test_set, search_rules
from vlprompt.engine.runner import PromptRunner
from vlprompt.errors import ConfigError, DataError
from vlprompt.registry import DATASETS

_RUNS = count()


@pytest.fixture
def start(tmp_path, monkeypatch):
    """``start(train=..., val=..., test=...)`` builds a runner; returned with what its log says about the data."""
    monkeypatch.setattr(PromptRunner, '_log_env', lambda self, env_cfg: None)

    def run(
        scope='vlprompt',
        model=None,
        evaluator=None,
        batch_size=2,
        train_cfg=None,
        sampler=None,
        launcher='none',
        test_after_training=False,
        **datasets,
    ):
        name = f'data{next(_RUNS)}'
        cfg = dict(
            model=model or nn.Linear(1, 1),
            work_dir=str(tmp_path / name),
            experiment_name=name,
            default_scope=scope,
            launcher=launcher,
        )
        for loop, dataset in datasets.items():
            cfg[f'{loop}_dataloader'] = dict(
                batch_size=batch_size,
                num_workers=0,
                sampler=sampler or dict(type='DefaultSampler', shuffle=False),
                drop_last=loop == 'train',
                dataset=dataset,
            )
            if loop == 'train':
                cfg |= dict(train_cfg=train_cfg or dict(by_epoch=True, max_epochs=1))
                cfg |= dict(optim_wrapper=dict(optimizer=dict(type='SGD', lr=1.0)))
            else:
                cfg |= {f'{loop}_cfg': {}, f'{loop}_evaluator': evaluator or dict(type='vlprompt.Accuracy')}
        with DefaultScope.overwrite_default_scope(scope):
            runner = PromptRunner(cfg=cfg | dict(test_after_training=test_after_training), **cfg)
        (log,) = (tmp_path / name).glob('*/*.log')
        lines = [line.partition(' - mmengine - ')[2] for line in log.read_text().splitlines()]
        return runner, [
            line for line in lines if re.match(r'(INFO|WARNING) - (.* data .*|\w+:|leak|\d|no query|/)', line)
        ]

    return run


def save(path, seed, size=(8, 6)):
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng(seed).integers(0, 256, (size[1], size[0], 3), dtype=np.uint8)
    Image.fromarray(pixels).save(path)


def folders(root, **splits):
    """A folder per class: split -> class -> seeds of its images."""
    for split, classes in splits.items():
        for name, seeds in classes.items():
            for seed in seeds:
                save(root / split / name / f'{seed}.png', seed)
    return str(root)


# ---------------------------------------------------------------------------------------------------- classification


@pytest.mark.parametrize('type_', ['FewShotDataset', 'LongTailedDataset'])
def test_counts_and_shared_images_of_classification(tmp_path, start, type_):
    root = folders(tmp_path / 'd', train=dict(cat=[1, 2], dog=[3, 4, 5]), test=dict(cat=[1], dog=[7]))
    data = dict(type=type_, data_root=root)
    _, lines = start(train=data, test=dict(data, split='test'))
    assert lines == [
        'INFO - train: 5 images of 2 classes (2 to 3 each)',
        'INFO - test: 2 images of 2 classes (1 to 1 each)',
        'WARNING - leak: 1 image of test is in train too (the same bytes): test/cat/1.png = train/cat/1.png',
    ]


def test_fewer_images_than_shots(tmp_path, start):
    root = folders(tmp_path / 'd', train=dict(cat=[1, 2], dog=[3, 4, 5]))
    _, lines = start(train=dict(type='FewShotDataset', data_root=root, shots=16), test=None)
    assert 'INFO - train: 5 images of 2 classes (2 to 3 each, 16 shots)' in lines
    assert 'WARNING - train: 2 classes have fewer than 16 images and are taken whole: cat (2), dog (3)' in lines


def test_a_training_needs_no_test_set(tmp_path, start):
    root = folders(tmp_path / 'd', train=dict(cat=[1, 2], dog=[3, 4]))
    data = dict(type='FewShotDataset', data_root=root)
    _, lines = start(train=data, test=dict(data, split='test'))
    assert lines[0].startswith('WARNING - test: not compared with the training data, since it cannot be read: ')
    assert "has no split 'test'" in lines[0]


@DATASETS.register_module()
class NoSuchColumn(Dataset):
    """A dataset whose reading fails as other packages' do; late: not before its samples are listed."""

    def __init__(self, late=False):
        if not late:
            raise KeyError('column 7')

    def __len__(self):
        return 1

    def full_init(self):
        """As of mmengine's datasets."""

    def get_data_info(self, idx):
        raise KeyError('column 7')


@pytest.mark.parametrize(
    ('scope', 'test', 'error'),
    [
        ('vlprompt', dict(type='NoSuchColumn'), "KeyError: 'column 7'"),
        ('vlprompt', dict(type='NoSuchColumn', late=True), "KeyError: 'column 7'"),
        (
            'mmseg',
            dict(type='PascalVOCDataset', data_root='nowhere', ann_file='val.txt', data_prefix=dict(img_path='a')),
            'AssertionError: ',
        ),
    ],
)
def test_a_test_set_that_fails_in_any_way_ends_no_training(tmp_path, start, scope, test, error):
    root = folders(tmp_path / 'd', train=dict(cat=[1, 2], dog=[3, 4]))
    train = dict(type='vlprompt.FewShotDataset', data_root=root)
    _, lines = start(scope=scope, train=train, test=test)
    told = f'WARNING - test: not compared with the training data, since it cannot be read: {error}'
    assert [line[: len(told)] for line in lines if 'not compared' in line] == [told]
    with pytest.raises((KeyError, AssertionError)):
        start(scope=scope, test=test)


def test_the_first_of_several_processes_examines_files_and_all_raise_its_error(tmp_path, start, monkeypatch):
    root = folders(tmp_path / 'd', train=dict(cat=[1, 2], dog=[3, 4]))
    calls = []

    def counting(*args):
        calls.append(args)
        return examine(*args)

    monkeypatch.setattr(data_checks, 'examine', counting)

    def run(batch_size):
        data = dict(type='FewShotDataset', data_root=root)
        try:
            start(train=data, batch_size=batch_size, launcher='pytorch')
        except DataError as error:
            return len(calls), str(error)
        return len(calls), 'fine'

    (tmp_path / 'a').mkdir()
    (first, error), (second, same) = in_two_processes(lambda: run(1000), tmp_path / 'a')
    assert (first, second) == (1, 0)
    assert error == same
    assert 'train: 4 images make no batch of 2000' in error

    def broken(*args):
        raise ZeroDivisionError('in the check')

    monkeypatch.setattr(data_checks, 'examine', broken)
    (tmp_path / 'b').mkdir()
    with pytest.raises(AssertionError, match='ZeroDivisionError: in the check'):  # and no process waits for another
        in_two_processes(lambda: run(2), tmp_path / 'b')


def test_a_test_set_is_read_once_if_it_is_the_validation_set(tmp_path, start):
    root = folders(tmp_path / 'd', train=dict(cat=[1, 2], dog=[3, 4]), test=dict(cat=[5], dog=[6]))
    data = dict(type='FewShotDataset', data_root=root)
    runner, lines = start(train=data, val=dict(data, split='test'), test=dict(data, split='test'))
    assert [line.split(':')[0] for line in lines] == ['INFO - train', 'INFO - val']
    assert isinstance(runner._test_dataloader, dict)


def test_one_class_is_a_warning(tmp_path, start):
    root = folders(tmp_path / 'd', train=dict(cat=[1, 2]))
    _, lines = start(train=dict(type='FewShotDataset', data_root=root))
    assert "WARNING - train: there is one class only, 'cat', so every prediction is right" in lines


def test_epochs_without_a_step_are_an_error(tmp_path, start):
    root = folders(tmp_path / 'd', train=dict(cat=[1, 2], dog=[3, 4]))
    data = dict(type='FewShotDataset', data_root=root)
    with pytest.raises(DataError, match=r'train: 4 images make no batch of 1000, so .*train_dataloader\.batch_size'):
        start(train=data, batch_size=1000)
    _, lines = start(train=data, batch_size=1000, train_cfg=dict(by_epoch=False, max_iters=1))
    assert 'WARNING - train: a batch of 1000, but only 4 images' in lines


def test_classes_of_the_model_are_compared_before_it_is_built(tmp_path, start):
    root = folders(tmp_path / 'd', train=dict(cat=[1, 2], dog=[3, 4]))
    data = dict(type='FewShotDataset', data_root=root)
    with pytest.raises(
        ConfigError, match="FewShotDataset of train_dataloader: class 0 is 'cow' in the model but 'cat'"
    ):
        start(train=data, model=dict(type='NoSuchModel', class_names=['cow', 'dog']))
    with pytest.raises(ConfigError, match=r'model\.decode_head\.num_classes=3, but .* has 2 classes'):
        start(train=data, model=dict(type='NoSuchModel', decode_head=dict(num_classes=3)))


def test_errors_come_before_the_model_and_the_config(tmp_path, start, monkeypatch):
    wrote = []
    monkeypatch.setattr(PromptRunner, '_log_env', lambda self, env_cfg: wrote.append('config'))
    with pytest.raises(FileNotFoundError, match='nowhere'):
        start(train=dict(type='FewShotDataset', data_root=str(tmp_path / 'nowhere')), model=dict(type='NoSuchModel'))
    assert wrote == []


# ---------------------------------------------------------------------------------------------------------------- re-ID


def market(root, gallery=('5_c2_9', '6_c2_9'), copies=()):
    names = dict(bounding_box_train=['1_c1_0', '1_c2_0', '2_c1_0', '2_c2_0'], query=['5_c1_0', '6_c1_0'])
    for folder, found in (names | dict(bounding_box_test=gallery)).items():
        for name in found:
            save(root / folder / f'{name}.png', sum(map(ord, folder + name)))
    for name in copies:
        (root / 'bounding_box_test' / f'{name}.png').write_bytes((root / 'query' / f'{name}.png').read_bytes())
    return dict(type='ReIDDataset', data_root=str(root))


def test_counts_of_reid_and_own_files_in_the_gallery(tmp_path, start):
    data = market(tmp_path / 'd', ('5_c2_9', '6_c2_9', '-1_c2_3'), copies=['5_c1_0'])
    metric = dict(type='vlprompt.RetrievalMetric')
    _, lines = start(train=data, val=dict(data, split='test'), evaluator=metric)
    assert lines == [
        'INFO - train: 4 images of 2 identities (2 to 2 each) from 2 cameras',
        'INFO - query: 2 images of 2 identities (1 to 1 each) from 1 camera',
        'INFO - gallery: 3 images of 2 identities (1 to 2 each) from 2 cameras',
        f'WARNING - {tmp_path}/d: images of identity -1 (junk) are left out: 1 of gallery',
        'WARNING - 1 image of gallery is in query too (the same bytes): bounding_box_test/5_c1_0.png = '
        'query/5_c1_0.png; a query is no answer to itself, so they do not count in its ranking',
    ]


def test_queries_without_answer_end_a_test_and_a_training_that_validates(tmp_path, start):
    data = market(tmp_path / 'd', ('5_c1_8', '6_c1_8'))
    metric, test = dict(type='vlprompt.RetrievalMetric'), dict(data, split='test')
    message = r"no query has an image of its identity from another camera .*same_camera='keep'"
    with pytest.raises(DataError, match=message):
        start(test=test, evaluator=metric)
    with pytest.raises(DataError, match=message):
        start(train=data, val=test, evaluator=metric)
    start(test=test, evaluator=dict(metric, same_camera='keep'))
    _, lines = start(train=data, test=test, evaluator=metric)
    assert lines[-1].startswith('WARNING - no query has'), 'training itself needs no test'


def test_a_test_after_the_training_is_tried_before(tmp_path):
    from mmengine.config import Config

    data = market(tmp_path / 'd', ('5_c1_8', '6_c1_8'))
    loader = dict(dataset=dict(data, type='vlprompt.ReIDDataset', split='test'))
    metric = dict(type='vlprompt.RetrievalMetric')
    with pytest.raises(DataError, match='no query has an image of its identity from another camera'):
        check_test_set(Config(dict(default_scope='vlprompt', test_dataloader=loader, test_evaluator=metric)))
    metric['same_camera'] = 'keep'
    check_test_set(Config(dict(default_scope='vlprompt', test_dataloader=loader, test_evaluator=[metric])))


def test_the_check_before_a_training_takes_the_test_after_it_seriously(tmp_path, start):
    root = folders(tmp_path / 'd', train=dict(cat=[1, 2], dog=[3, 4]), test=dict(cat=[5], dog=[6]))
    data = dict(type='vlprompt.FewShotDataset', data_root=root)
    test = dict(data, split='test')
    with pytest.raises(FileNotFoundError, match="has no split 'val'"):
        start(train=data, test=dict(data, split='val'), test_after_training=True)
    _, lines = start(train=data, test=test, test_after_training=True)
    assert [line.split(':')[0] for line in lines] == ['INFO - train', 'INFO - test']


def test_which_test_set_is_checked_before_which_phase(monkeypatch):
    from mmengine.config import Config

    from vlprompt.apis import runs

    checked = []
    monkeypatch.setattr(runs, 'check_test_set', checked.append)

    def phase(root):
        return Config(dict(test_cfg={}, test_dataloader=dict(dataset=dict(data_root=root))))

    same = dict(a=phase('x'), b=phase('x'))
    runs.use_test(same)
    assert [cfg.test_after_training for cfg in same.values()] == [True, True]
    assert not checked, 'the runner of the first phase does it'
    others = dict(a=phase('y'), b=phase('x'))
    runs.use_test(others)
    assert [cfg.test_after_training for cfg in others.values()] == [False, True]
    assert checked == [others['b']]
    with pytest.raises(ConfigError, match='--test: the config has no test set'):
        runs.use_test(dict(a=Config(dict(test_cfg=None))))


# ---------------------------------------------------------------------------------------------- classes of all splits


@pytest.mark.parametrize(
    ('classes', 'difference'),
    [
        (['dog', 'cat'], r"class 0 is 'cat' in train but 'dog' in {} \(2 classes, the same in another order\)"),
        (['cat', 'cow', 'dog'], r"train has 2 classes, {} 3 \(only in {}: 'cow'\)"),
    ],
)
def test_labels_of_all_splits_mean_the_classes_of_the_training(tmp_path, start, classes, difference):
    root = folders(tmp_path / 'd', train=dict(cat=[1, 2], dog=[3, 4]), test=dict(cat=[5], dog=[6]))
    data = dict(type='FewShotDataset', data_root=root)
    other = dict(data, split='test', classes=classes)
    advice = r'Give both the same names in the same order, by classes=\[\.\.\.\] of the datasets'
    with pytest.raises(
        DataError, match=f'^val: labels do not mean the classes of train: {difference}. {advice}'.format('val', 'val')
    ):
        start(train=data, val=other, test=dict(data, split='test'))
    with pytest.raises(DataError, match=difference.format('test', 'test')):
        start(train=data, test=other, test_after_training=True)
    _, lines = start(train=data, test=other)
    assert re.search('^WARNING - test: labels do not mean', '\n'.join(lines), re.M), 'training itself needs no test'


def test_the_metric_says_which_images_count():
    from vlprompt.evaluation import RetrievalMetric

    assert search_rules(None) == search_rules(dict(type='RetrievalMetric')) == ('remove', 'remove')
    assert search_rules([dict(type='A'), dict(same_camera='keep')]) == ('keep', 'remove')
    assert search_rules(RetrievalMetric(repeats=10)) == search_rules(dict(repeats=10)) == ('draws', 'remove')
    assert search_rules(RetrievalMetric(own_files='keep')) == search_rules(dict(own_files='keep')) == ('remove', 'keep')


# --------------------------------------------------------------------------------------------------------------- dense


def segmentation(root, **splits):
    """Images with masks: split -> masks as nested lists."""
    root.mkdir()
    (root / 'classnames.txt').write_text('road\ncar\n')
    for number, (split, masks) in enumerate(splits.items()):
        for i, mask in enumerate(masks):
            mask = np.array(mask, np.uint8)
            save(root / f'images/{split}/{i}.png', 10 * number + i, size=mask.shape[::-1])
            (root / f'masks/{split}').mkdir(parents=True, exist_ok=True)
            Image.fromarray(mask).save(root / f'masks/{split}/{i}.png')
    return dict(type='vlprompt.FolderSegDataset', data_root=str(root))


INFINITE = dict(scope='mmseg', sampler=dict(type='InfiniteSampler'), train_cfg=dict(by_epoch=False, max_iters=1))


def test_counts_and_unlabelled_pixels_of_segmentation(tmp_path, start):
    data = segmentation(tmp_path / 'd', train=[[[0, 255]], [[0, 255]], [[0, 255]]], val=[[[0, 1]]])
    (tmp_path / 'd/images/val/0.png').write_bytes((tmp_path / 'd/images/train/2.png').read_bytes())
    wrapped = dict(type='RepeatDataset', times=2, dataset=data)
    _, lines = start(train=wrapped, val=dict(data, split='val'), evaluator=dict(type='IoUMetric'), **INFINITE)
    assert lines == [
        'INFO - train: 3 images of 2 classes; 50.0 % of pixels unlabelled (in all masks)',
        'INFO - val: 1 image of 2 classes; 0.0 % of pixels unlabelled (in all masks)',
        'WARNING - train: 50.0 % of pixels unlabelled (in all masks)',
        'WARNING - train: no pixel of 1 of 2 classes: car',
        'WARNING - leak: 1 image of val is in train too (the same bytes): 0.png = 2.png',
    ]


def test_masks_without_any_label_or_with_foreign_ids_are_errors(tmp_path, start):
    data = segmentation(tmp_path / 'd', train=[[[255, 255]]] * 3)
    with pytest.raises(DataError, match=r'train: all pixels of 3 masks are unlabelled \(255\)'):
        start(train=data, **INFINITE)
    data = segmentation(tmp_path / 'e', train=[[[0, 1]], [[1, 2]]])
    message = r'mask .*1\.png holds the ids 2, but .* set reduce_zero_label=True'
    with pytest.raises(DataError, match=message):
        start(train=data, **INFINITE)
    _, lines = start(train=dict(data, reduce_zero_label=True), **INFINITE)
    assert lines[0] == 'INFO - train: 2 images of 2 classes; 25.0 % of pixels unlabelled (in all masks)'


def test_a_dataset_of_mmseg_is_checked_like_any(tmp_path, start):
    data = segmentation(tmp_path / 'd', train=[[[1, 0]], [[2, 0]]])
    _, lines = start(
        train=dict(
            type='BaseSegDataset',
            data_root=data['data_root'],
            data_prefix=dict(img_path='images/train', seg_map_path='masks/train'),
            img_suffix='.png',
            reduce_zero_label=True,
            metainfo=dict(classes=['road', 'car', 'sky']),
        ),
        **INFINITE,
    )
    assert lines == [
        'INFO - train: 2 images of 3 classes; 50.0 % of pixels unlabelled (in all masks)',
        'WARNING - train: 50.0 % of pixels unlabelled (in all masks)',
        'WARNING - train: no pixel of 1 of 3 classes: sky',
        'WARNING - train: 2 classes have one image only: road, car',
    ]


def test_a_folder_without_images_is_an_error_whatever_the_dataset(tmp_path, start):
    data = segmentation(tmp_path / 'd', train=[[[1, 0]]])
    dataset = dict(
        type='BaseSegDataset',
        data_root=data['data_root'],
        data_prefix=dict(img_path='images/train', seg_map_path='masks/train'),
        img_suffix='.tga',
        metainfo=dict(classes=['road', 'car']),
    )
    with pytest.raises(DataError, match=r"train: the dataset lists no image: type='BaseSegDataset', data_root=.*/d'"):
        start(train=dataset, **INFINITE)


def coco(root, boxes, **fields):
    """An annotation file with boxes, all of the first of two categories, in one image of 200 x 100 pixels."""
    save(root / 'images/train/a.png', 0, size=(200, 100))
    images = [dict(id=1, file_name='a.png', width=200, height=100)]
    annotations = [dict(id=i, image_id=1, category_id=1, bbox=box) for i, box in enumerate(boxes)]
    categories = [dict(id=1, name='a'), dict(id=2, name='b')]
    (root / 'annotations').mkdir(exist_ok=True)
    content = dict(images=images, annotations=annotations, categories=categories) | fields
    (root / 'annotations/train.json').write_text(json.dumps(content))
    return dict(type='vlprompt.CocoInstances', data_root=str(root), test_mode=False)


def test_counts_of_detection_and_boxes_that_are_corners(tmp_path, start):
    data = coco(tmp_path, [[100, 50, 180, 90], [20, 10, 60, 40], [150, 60, 199, 99]])
    _, lines = start(train=dict(type='RepeatDataset', times=3, dataset=data), **INFINITE | dict(scope='mmdet'))
    assert lines == [
        'INFO - train: 1 image with 3 boxes of 2 classes (0 to 3 each)',
        'WARNING - train: no box of 1 of 2 classes: b',
        'WARNING - train: 1 class has one image only: a',
        'WARNING - train: 2 of 3 boxes reach beyond their image by up to 149 px: x1, y1, x2, y2? They must be '
        'x, y, width, height',
    ]


def test_a_detection_set_without_boxes_is_an_error(tmp_path, start):
    with pytest.raises(DataError, match='train: no box in 1 image'):
        start(train=coco(tmp_path, []), **INFINITE | dict(scope='mmdet'))


def test_entries_of_one_image_file_are_an_error(tmp_path, start):
    images = [dict(id=i, file_name=name, width=200, height=100) for i, name in enumerate(('a.png', './a.png', 'a.png'))]
    data = coco(tmp_path, [[1, 1, 9, 9]], images=images)
    with pytest.raises(ValueError, match=r"images 0, 1 and 2 are the same file 'a\.png'\. Give an image one entry"):
        start(train=dict(data, broken='skip'), **INFINITE | dict(scope='mmdet'))
