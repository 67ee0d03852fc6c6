import pickle
import shutil
from pathlib import Path

import pytest
from data_trees import CLASSES, DATASETS, folder_of, make_split_json, make_tree, save_image

from vlprompt.datasets import FewShotDataset
from vlprompt.structures import ClassificationSample

TEST_PIPELINE = [
    dict(type='vlprompt.LoadImage'),
    dict(type='vlprompt.ResizeShorterSide', size=16),
    dict(type='vlprompt.CenterCrop', size=16),
    dict(type='vlprompt.PackClassification'),
]


@pytest.mark.parametrize('dataset', DATASETS)
def test_every_benchmark_layout(tmp_path, dataset):
    make_tree(dataset, tmp_path)
    folder = str(folder_of(dataset, tmp_path))
    test = FewShotDataset(folder, dataset=dataset, split='test', pipeline=TEST_PIPELINE)
    assert test.metainfo == dict(classes=list(CLASSES), dataset=dataset)
    assert test.class_counts == [2, 2, 2]
    sample = test[5]
    assert sample['inputs'].shape == (3, 16, 16)
    assert isinstance(sample['data_samples'], ClassificationSample)
    assert sample['data_samples'].gt_label.tolist() == [2]
    assert sample['data_samples'].ori_shape == (36, 40)
    if dataset in ('imagenetv2', 'imagenet_sketch', 'imagenet_a', 'imagenet_r'):
        with pytest.raises(FileNotFoundError, match="has no split 'train', only test"):
            FewShotDataset(folder, dataset=dataset, split='train')
    else:
        train = FewShotDataset(folder, dataset=dataset, split='train', shots=2)
        assert train.class_counts == [2, 2, 2]
        assert len(FewShotDataset(folder, dataset=dataset, split='train')) == 12
        new = FewShotDataset(folder, dataset=dataset, split='test', subset='new')
        assert new.metainfo['classes'] == list(CLASSES[2:])
        assert [new.get_cat_ids(i) for i in range(len(new))] == [[0], [0]]


def test_imagenet_validates_on_its_whole_test_split(tmp_path):
    make_tree('imagenet', tmp_path)
    val = FewShotDataset(str(tmp_path / 'imagenet'), dataset='imagenet', split='val', shots=1)
    assert val.class_counts == [2, 2, 2]


def test_other_validation_splits_are_drawn(tmp_path):
    make_tree('dtd', tmp_path)
    assert FewShotDataset(str(tmp_path / 'dtd'), dataset='dtd', split='val', shots=1).class_counts == [1, 1, 1]
    assert FewShotDataset(str(tmp_path / 'dtd'), dataset='dtd', split='val', shots=16).class_counts == [3, 3, 3]


def test_halves_of_the_classes_that_do_not_exist(tmp_path):
    save_image(tmp_path / 'test/only/0.png')
    assert FewShotDataset(str(tmp_path), split='test', subset='base').metainfo['classes'] == ['only']
    with pytest.raises(ValueError, match=r"split 'test' has no new classes"):
        FewShotDataset(str(tmp_path), split='test', subset='new')
    with pytest.raises(ValueError, match=r"subset must be 'all', 'base' or 'new', got 'novel'"):
        FewShotDataset(str(tmp_path), split='test', subset='novel')


def test_unknown_aircraft_variant_names_file_and_line(tmp_path):
    make_tree('fgvc_aircraft', tmp_path)
    with (tmp_path / 'fgvc_aircraft/images_variant_test.txt').open('a') as stream:
        stream.write('123 Concorde\n')
    with pytest.raises(ValueError, match=r"images_variant_test\.txt:7: 'Concorde' is not in variants\.txt"):
        FewShotDataset(str(tmp_path / 'fgvc_aircraft'), dataset='fgvc_aircraft', split='test')


def test_imagenet_tree_problems_are_named(tmp_path):
    make_tree('imagenet', tmp_path)
    images = tmp_path / 'imagenet/images'
    save_image(images / 'val/n00000009/0.JPEG')
    with pytest.raises(ValueError, match='n00000009: not one of the 3 classes'):
        FewShotDataset(str(tmp_path / 'imagenet'), dataset='imagenet', split='test')
    shutil.rmtree(images / 'train/n00000002')
    with pytest.raises(ValueError, match="split 'train' has no image of class 'second_class'"):
        FewShotDataset(str(tmp_path / 'imagenet'), dataset='imagenet', split='train')
    (tmp_path / 'imagenet/classnames.txt').write_text('n00000001 a\nn00000002\n')
    with pytest.raises(ValueError, match=r"classnames\.txt:2: 'n00000002' is not '<wnid> <name>'"):
        FewShotDataset(str(tmp_path / 'imagenet'), dataset='imagenet', split='train')


def test_broken_and_missing_images_are_named(tmp_path):
    make_split_json(tmp_path / 'split.json', tmp_path)
    dataset = FewShotDataset(str(tmp_path), ann_file='split.json', pipeline=TEST_PIPELINE)
    first, second = (Path(dataset.get_data_info(i)['img_path']) for i in range(2))
    first.unlink()
    second.write_bytes(second.read_bytes()[:200])
    with pytest.raises(FileNotFoundError, match=f'image {first} does not exist; vlprompt check-dataset finds all'):
        dataset[0]
    with pytest.raises(
        OSError, match=f'image {second} cannot be read: .*; vlprompt check-dataset finds all such files$'
    ):
        dataset[1]


def test_iteration_ends_and_the_dataset_can_be_sent_to_workers(tmp_path):
    make_split_json(tmp_path / 'split.json', tmp_path)
    dataset = FewShotDataset(str(tmp_path), ann_file='split.json', split='val', pipeline=TEST_PIPELINE, lazy_init=True)
    assert '9 images of 3 classes (3 to 3 each)' in repr(dataset)
    assert len(list(dataset)) == 9
    assert len(pickle.loads(pickle.dumps(dataset))) == 9
    with pytest.raises(ValueError, match='shots must be at least 1'):
        FewShotDataset(str(tmp_path), ann_file='split.json', shots=0)


def test_photographs_of_twenty_classes(realdata):
    root = realdata / 'cifar100_20'
    train = FewShotDataset(str(root), ann_file='split.json', shots=16, pipeline=TEST_PIPELINE)
    test = FewShotDataset(str(root), ann_file='split.json', split='test')
    assert train.class_counts == [16] * 20
    assert len(test) == 1000
    assert (
        train.metainfo['classes'] == test.metainfo['classes'] == (root / 'classnames.txt').read_text().split('\n')[:20]
    )
    assert train[7]['inputs'].shape == (3, 16, 16)


def test_a_long_tailed_text_list(realdata):
    root = realdata / 'cifar100_lt_if50'
    train = FewShotDataset(str(root), ann_file='{split}.txt', classes='classnames.txt')
    assert (len(train), max(train.class_counts), min(train.class_counts)) == (3795, 150, 3)


@pytest.mark.parametrize('shots', [None, 2])
def test_an_unknown_split_is_an_error(tmp_path, shots):
    """It must not draw from another one, such as the validation split."""
    make_split_json(tmp_path / 'split.json', tmp_path)
    with pytest.raises(ValueError, match="split must be one of train, val, test; got 'trian'"):
        FewShotDataset(str(tmp_path), ann_file='split.json', split='trian', shots=shots)
