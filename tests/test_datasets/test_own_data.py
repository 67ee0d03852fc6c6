"""Your own data by data_root alone: every layout of every task, and what is said when it is not there."""

import json
import os
import re
from pathlib import Path

import pytest
from data_trees import CLASSES, COUNTS, make_split_json, save_image
from reid_trees import make_market, make_table

from vlprompt.datasets import FewShotDataset, LongTailedDataset, ReIDDataset
from vlprompt.datasets.checks.examine import examine
from vlprompt.datasets.checks.views import parts_of
from vlprompt.datasets.dense.coco_instances import CocoInstances
from vlprompt.datasets.dense.coco_json import CocoError
from vlprompt.datasets.dense.folder_seg import FolderSegDataset
from vlprompt.datasets.presets import PRESETS

LAYOUTS = dict(folder=None, list='{split}.txt', split_json='split*.json')
PIPELINE = [dict(type='vlprompt.LoadImage'), dict(type='vlprompt.PackClassification')]


def make_folders(root: Path, splits=('train', 'val', 'test')) -> None:
    for split in splits:
        for label, name in enumerate(CLASSES):
            for i in range(COUNTS[split]):
                save_image(root / split / name / f'{i}.png', seed=10 * label + i)


def make_lists(root: Path, numbers: bool = False) -> None:
    make_folders(root)
    for split, count in COUNTS.items():
        lines = [
            f'{split}/{name}/{i}.png {label if numbers else name}'
            for label, name in enumerate(CLASSES)
            for i in range(count)
        ]
        (root / f'{split}.txt').write_text('\n'.join(lines))


def make_layout(layout: str, root: Path) -> None:
    make = dict(folder=make_folders, list=make_lists, split_json=lambda r: make_split_json(r / 'split_mine.json', r))
    make[layout](root)


@pytest.mark.parametrize('layout', LAYOUTS)
@pytest.mark.parametrize('kind', [FewShotDataset, LongTailedDataset])
def test_classification(tmp_path, kind, layout):
    make_layout(layout, tmp_path)
    for split, count in COUNTS.items():
        dataset = kind(str(tmp_path), ann_file=LAYOUTS[layout], split=split, pipeline=PIPELINE)
        assert len(dataset) == len(CLASSES) * count
        assert dataset.metainfo['classes'] == list(CLASSES)
        assert dataset[len(dataset) - 1]['data_samples'].gt_label.tolist() == [2]
        if kind is LongTailedDataset:
            assert dataset.metainfo['cls_num_list'] == [COUNTS['train']] * 3
    if kind is FewShotDataset:
        assert FewShotDataset(str(tmp_path), ann_file=LAYOUTS[layout], shots=2).class_counts == [2, 2, 2]


def test_numbers_in_lists_are_named_by_a_file_beside_them(tmp_path):
    make_lists(tmp_path, numbers=True)
    with pytest.raises(ValueError, match=r"train\.txt:1: label '0' is a number; give `classes`"):
        FewShotDataset(str(tmp_path), ann_file='{split}.txt')
    assert LongTailedDataset(str(tmp_path), ann_file='{split}.txt').metainfo['classes'] == list(CLASSES)
    (tmp_path / 'classnames.txt').write_text('a\nb\nc\n')
    for kind in (FewShotDataset, LongTailedDataset):
        assert kind(str(tmp_path), ann_file='{split}.txt').metainfo['classes'] == ['a', 'b', 'c']


def test_the_validation_split_is_optional(tmp_path):
    make_folders(tmp_path, ('train', 'test'))
    assert len(FewShotDataset(str(tmp_path), split='test')) == 6
    with pytest.raises(FileNotFoundError, match=r"has no split 'val', only train, test\. .* val is optional"):
        FewShotDataset(str(tmp_path), split='val')


@pytest.mark.parametrize('kind', [FewShotDataset, LongTailedDataset])
def test_folders_beside_those_of_the_splits_are_named(tmp_path, kind):
    make_folders(tmp_path, ('train', 'test'))
    for name in (
        'a.png',
        'train/b.png',
        'train/c.jpg',
        'valid/x/0.png',
        'Test/x/0.png',
        'training/x/1.png',
        'more/d.png',
    ):
        save_image(tmp_path / name)
    data = kind(str(tmp_path))
    assert len(data) == 12
    assert data.notes() == [
        f'{tmp_path}: images directly in it, not in the folder of a split, are left out: 1',
        f'{tmp_path}: training with 1 image is not read: move its content to train.',
        f'{tmp_path}: valid with 1 image is not read: rename it to val.',
        f'{tmp_path}: Test with 1 image is not read: move its content to test.',
        f'{tmp_path}: images directly in the folder of a split, not in that of a class, are left out: 2 of train',
    ]
    with pytest.raises(
        FileNotFoundError, match=r"has no split 'val', .*\. valid with 1 image is not read: rename it to val"
    ):
        kind(str(tmp_path), split='val')


def test_a_split_without_folders_of_classes_says_so(tmp_path):
    save_image(tmp_path / 'train/a.png')
    message = r'train: there is no folder of a class, but 1 images directly in it; images lie in <class name>/<image>'
    with pytest.raises(ValueError, match=message):
        FewShotDataset(str(tmp_path))
    make_folders(tmp_path, ('train',))
    save_image(tmp_path / 'test/a.png')
    with pytest.raises(ValueError, match=r'test: there is no folder of a class, .*vlprompt predict'):
        FewShotDataset(str(tmp_path), split='test')


def test_the_name_of_a_split_that_is_meant_is_found_in_all_layouts(tmp_path):
    (tmp_path / 'Test.txt').write_text('x')
    (tmp_path / 'train.txt').write_text('a.png cat\n')
    with pytest.raises(
        FileNotFoundError, match=r'has no split .test., .* Test\.txt is not read: rename it to test\.txt\.'
    ):
        FewShotDataset(str(tmp_path), ann_file='{split}.txt', split='test')
    (tmp_path / 'train.csv').write_text('path,id,camera\na.png,1,1\n')
    (tmp_path / 'queries.csv').write_text('x')
    with pytest.raises(FileNotFoundError, match=r'queries\.csv is not read: rename it to query\.csv'):
        ReIDDataset(str(tmp_path), ann_file='{split}.csv', split='test')
    for name in ('bounding_box_train/1_c1.png', 'query/2_c1.png', 'gallery/2_c2.png', 'Bounding_Box_Train/3_c1.png'):
        save_image(tmp_path / 'market' / name)
    expected = r'has no split .gallery., .* gallery with 1 image is not read: rename it to bounding_box_test\.'
    with pytest.raises(FileNotFoundError, match=expected):
        ReIDDataset(str(tmp_path / 'market'), split='test')
    notes = ReIDDataset(str(tmp_path / 'market')).notes()
    assert any(
        'Bounding_Box_Train with 1 image is not read: move its content to bounding_box_train' in n for n in notes
    )
    (tmp_path / 'classnames.txt').write_text('a\nb\n')
    for name in ('images/train/a.png', 'masks/train/a.png', 'images/valid/a.png', 'images/Train/a.png', 'images/b.png'):
        save_image(tmp_path / name)
    with pytest.raises(
        FileNotFoundError, match=r'images/val does not exist\. valid with 1 image is not read: rename it'
    ):
        FolderSegDataset(str(tmp_path), split='val')
    assert FolderSegDataset(str(tmp_path)).notes() == [
        f'{tmp_path}/images: images in no folder of a split are left out: 1',
        f'{tmp_path}/images: Train with 1 image is not read: move its content to train.',
    ]
    (tmp_path / 'annotations').mkdir()
    (tmp_path / 'annotations/instances_valid.json').write_text('x')
    with pytest.raises(FileNotFoundError, match=r'instances_valid\.json is not read: rename it to instances_val\.json'):
        CocoInstances(str(tmp_path), split='val')
    (tmp_path / 'annotations/instances_val.json').write_text('x')
    with pytest.raises(FileNotFoundError, match=r'images/val does not exist\. valid with 1 image is not read'):
        CocoInstances(str(tmp_path), split='val')


def test_class_folders_without_splits_are_told_the_layout(tmp_path):
    for name in CLASSES:
        save_image(tmp_path / name / '0.png')
    message = (
        r'has none of the folders train, val, test, only first_class, second_class, third_class\. '
        r'.*\{train,val,test\}/<class name>/<image>'
    )
    for kind in (FewShotDataset, LongTailedDataset):
        with pytest.raises(FileNotFoundError, match=message):
            kind(str(tmp_path))


@pytest.mark.parametrize('suffix', ['csv', 'txt'])
def test_a_list_without_splits_is_told_how_to_name_them(tmp_path, suffix):
    rows = [f'{number}.png,{name}' for number, name in enumerate(CLASSES)]
    (tmp_path / f'images.{suffix}').write_text('\n'.join(['path,label'] * (suffix == 'csv') + rows))
    options = dict(data_root=str(tmp_path), ann_file=f'images.{suffix}')
    advice = rf"images\.{suffix} has no column split, .* a list of its own, ann_file='\{{split\}}\.{suffix}'"
    with pytest.raises(
        ValueError, match=rf'without a training split the classes are unknown\. {advice}\. Or, if its images'
    ):
        FewShotDataset(**options, split='test')
    with pytest.raises(FileNotFoundError, match=rf"has no split 'train', only test\. {advice}"):
        LongTailedDataset(**options, split='test', classes=list(CLASSES))
    train = parts_of(FewShotDataset(**options), 'train')
    test = parts_of(FewShotDataset(**options, split='test', classes=list(CLASSES)), 'test')
    (leak,) = [text for _, text in examine([*train, *test]).findings if text.startswith('leak')]
    assert re.search(advice, leak)
    with pytest.raises(
        FileNotFoundError, match=r"nothing\.csv does not exist\. .*path, label and split .*ann_file='\{split\}\.csv'"
    ):
        FewShotDataset(str(tmp_path), ann_file='nothing.csv')


@pytest.mark.parametrize('label', ['0.0', '1.0', 'nan', 'NaN', '-1', '1e+06', '<NA>'])
@pytest.mark.parametrize('kind', [FewShotDataset, LongTailedDataset])
@pytest.mark.parametrize('form', ['csv', 'txt', 'words.txt'])
def test_numbers_of_a_table_with_empty_cells_are_no_class_names(tmp_path, label, kind, form):
    lines = dict(csv=f'path,label\na.png,cat\nb.png,{label}', txt=f'a.png,{label}\nb.png,{label}')
    (tmp_path / f'a.{form}').write_text(lines.get(form, f'a.png cat\nb.png {label}'))
    with pytest.raises(
        ValueError, match=rf'a\.{form}:\d: label .{re.escape(label)}. is neither a class name .*astype\(int\)'
    ):
        kind(str(tmp_path), ann_file=f'a.{form}')


def test_an_odd_number_that_is_said_to_be_a_class_is_one(tmp_path):
    (tmp_path / 'a.csv').write_text('path,label\na.png,1.5\nb.png,2.5')
    assert FewShotDataset(str(tmp_path), ann_file='a.csv', classes=['1.5', '2.5']).metainfo['classes'] == ['1.5', '2.5']


@pytest.mark.parametrize('kind', [FewShotDataset, LongTailedDataset])
def test_folders_whose_names_are_no_text_are_no_classes(tmp_path, kind):
    odd = tmp_path / 'train' / os.fsdecode(b'caf\xe9')
    save_image(tmp_path / 'train/tea/0.png')
    save_image(odd / '0.png')
    with pytest.raises(ValueError, match=r'train: the name of the folder .caf\\udce9. is not UTF-8, .*rename it'):
        kind(str(tmp_path))
    (tmp_path / 'split.json').write_text(json.dumps({'train': [['a.png', 0, 'caf\udce9']]}))
    with pytest.raises(ValueError, match=r'split\.json: the class name .*udce9. is not UTF-8 text'):
        kind(str(tmp_path), ann_file='split.json')


def test_one_split_file_is_found(tmp_path):
    with pytest.raises(
        FileNotFoundError, match=r'/split\.json does not exist\. A split file is .*; vlprompt split-folder'
    ):
        FewShotDataset(str(tmp_path), ann_file='split*.json')
    for name in ('split_a.json', 'split_b.json'):
        make_split_json(tmp_path / name, tmp_path)
    with pytest.raises(ValueError, match=r'holds 2 files split\*\.json: split_a\.json, split_b\.json; .*ann_file'):
        FewShotDataset(str(tmp_path), ann_file='split*.json')
    make_split_json(tmp_path / 'split.json', tmp_path)
    assert FewShotDataset(str(tmp_path), ann_file='split*.json').reader.source.name == 'split.json'


@pytest.mark.parametrize(
    ('kind', 'options'),
    [
        (FewShotDataset, {}),
        (FewShotDataset, dict(ann_file='split*.json')),
        (FewShotDataset, dict(ann_file='{split}.txt')),
        (FewShotDataset, dict(ann_file='images.csv')),
        (LongTailedDataset, dict(ann_file='{split}.txt')),
        (ReIDDataset, {}),
        (ReIDDataset, dict(ann_file='images.csv')),
        (ReIDDataset, dict(ann_file='{split}.csv')),
        (FolderSegDataset, {}),
        (CocoInstances, {}),
    ],
)
def test_a_missing_folder_is_named_with_its_option(tmp_path, kind, options):
    (tmp_path / 'file').touch()
    for name, what in (('nowhere', 'does not exist'), ('file', 'is no folder')):
        expected = rf'^data_root {tmp_path / name} {what} \(working directory: .*\): --data-root DIR names'
        with pytest.raises(FileNotFoundError, match=expected):
            kind(str(tmp_path / name), **options)


def test_reid(tmp_path):
    make_market(tmp_path, 'bounding_box_train', 'query', 'bounding_box_test')
    make_table(tmp_path)
    assert ReIDDataset(str(tmp_path)).metainfo['num_ids'] == 3
    assert ReIDDataset(str(tmp_path), ann_file='images.csv').metainfo['num_ids'] == 2


@pytest.mark.parametrize('masks', ['masks', 'annotations'])
@pytest.mark.parametrize('names', ['classnames.txt', 'classes.txt'])
def test_segmentation(tmp_path, masks, names):
    save_image(tmp_path / 'images/train/a.jpg')
    save_image(tmp_path / masks / 'train/a.png')
    with pytest.raises(FileNotFoundError, match=r'classnames\.txt does not exist\. .*one class name per line'):
        FolderSegDataset(str(tmp_path))
    (tmp_path / names).write_text('background\ncat\n')
    dataset = FolderSegDataset(str(tmp_path))
    assert dataset.metainfo['classes'] == ['background', 'cat']
    assert dataset.get_data_info(0)['seg_map_path'] == str(tmp_path / masks / 'train/a.png')


@pytest.mark.parametrize('file', ['annotations/instances_train.json', 'annotations/train.json'])
def test_detection_takes_its_classes_from_the_file(tmp_path, file):
    save_image(tmp_path / 'images/train/a.jpg', size=(40, 36))
    content = dict(
        images=[dict(id=1, file_name='a.jpg', width=40, height=36)],
        categories=[dict(id=4, name='dog'), dict(id=2, name='cat')],
        annotations=[dict(id=1, image_id=1, category_id=2, bbox=[1, 2, 10, 20])],
    )
    (tmp_path / 'annotations').mkdir()
    (tmp_path / file).write_text(json.dumps(content))
    dataset = CocoInstances(str(tmp_path), split='train')
    assert dataset.metainfo['classes'] == ('dog', 'cat')
    assert dataset.get_data_info(0)['instances'][0]['bbox_label'] == 1
    assert Path(dataset.get_data_info(0)['img_path']) == tmp_path / 'images/train/a.jpg'
    with pytest.raises(FileNotFoundError, match=r'annotations/instances_val\.json does not exist'):
        CocoInstances(str(tmp_path), split='val')


def test_splits_of_a_detection_share_the_labels_of_the_training_file(tmp_path):
    """Categories are matched by name; their order and ids may differ between the files, the names may not."""

    def write(split, *categories):
        save_image(tmp_path / f'images/{split}/a.jpg', size=(40, 36))
        box = dict(id=1, image_id=1, category_id=categories[0][0], bbox=[1, 2, 10, 20])
        content = dict(
            images=[dict(id=1, file_name='a.jpg', width=40, height=36)],
            categories=[dict(id=number, name=name) for number, name in categories],
            annotations=[box],
        )
        (tmp_path / 'annotations').mkdir(exist_ok=True)
        (tmp_path / f'annotations/{split}.json').write_text(json.dumps(content))

    write('train', (4, 'dog'), (2, 'cat'), (3, 'fat owl'))
    write('val', (1, 'fat owl'), (9, 'cat'), (4, 'dog'))
    val = CocoInstances(str(tmp_path), split='val')
    assert val.metainfo['classes'] == ('dog', 'cat', 'fat owl')
    assert val.get_data_info(0)['instances'][0]['bbox_label'] == 2
    own = CocoInstances(str(tmp_path), ann_file='annotations/val.json', data_prefix=dict(img='images/val'))
    assert own.metainfo['classes'] == ('fat owl', 'cat', 'dog'), 'a file that is named is no part of the layout'
    write('val', (1, 'dog'), (2, 'wolf'), (3, 'fat owl'))
    message = (
        r"val\.json: its categories are not those of .*train\.json: it lacks 'cat' and adds 'wolf'\. List the same "
        r'names in \"categories\" of both files, .*classes=\[dog,fat owl\] '
        r"\(vlprompt train --cfg-options classes='\[dog,fat owl\]'\)"
    )
    with pytest.raises(CocoError, match=message):
        CocoInstances(str(tmp_path), split='val')
    chosen = CocoInstances(str(tmp_path), split='val', classes=['dog', 'fat owl'])
    assert len(chosen.get_data_info(0)['instances']) == 1
    with pytest.raises(ValueError, match=r'metainfo has no effect; give classes=\[\.\.\.\]'):
        CocoInstances(str(tmp_path), metainfo=dict(classes=['cat']))
    with pytest.raises(CocoError, match=r"train\.json: classes names 'cat' twice"):
        len(CocoInstances(str(tmp_path), classes=['cat', 'cat']))


def test_without_a_folder_the_supported_datasets_lie_below_data_and_your_own_nowhere(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    make_split_json(_made(tmp_path / 'data/dtd') / 'split_zhou_DescribableTextures.json', tmp_path / 'data/dtd/images')
    assert len(FewShotDataset(dataset='dtd')) == 12
    (tmp_path / 'data').rename(tmp_path / 'disk')
    assert len(FewShotDataset('disk/dtd', dataset='dtd')) == 12
    with pytest.raises(FileNotFoundError, match=r'data/dtd/split_zhou_DescribableTextures\.json does not exist'):
        FewShotDataset(dataset='dtd')
    for kind in (FewShotDataset, LongTailedDataset, ReIDDataset):
        with pytest.raises(ValueError, match=r'your own data needs data_root'):
            kind()
    with pytest.raises(ValueError, match=r"unknown dataset 'caltech'; .* Did you mean 'caltech101'"):
        FewShotDataset(dataset='caltech')


def _made(folder: Path) -> Path:
    folder.mkdir(parents=True)
    return folder


def test_every_dataset_has_a_folder_of_its_own_unless_it_is_another_protocol_on_the_same_images():
    folders = {(task, name): preset.folder for task, presets in PRESETS.items() for name, preset in presets.items()}
    shared = [folder for folder in set(folders.values()) if list(folders.values()).count(folder) > 1]
    assert sorted(shared) == ['VehicleID_V1.0', 'imagenet-sketch']
