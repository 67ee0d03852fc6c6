import hashlib
import json
import pickle
import tarfile
from pathlib import Path

import numpy as np
import pytest
from data_trees import save_image

from tools.dataset_converters import check_dataset, unpack_cifar100
from vlprompt.apis.command_line import call
from vlprompt.clip.classnames import imagenet_wnids, resolve_class_names
from vlprompt.datasets import LongTailedDataset, presets
from vlprompt.datasets.classification.readers.imbalanced import exponential_counts, keep_images

LINES = ['train/cat/0.jpg 0', 'train/cat/1.jpg 0', 'train/cat/2.jpg 0', 'train/sea_lion/0.jpg 1']


def write_lists(folder, train=LINES, test=('test/cat/9.jpg 0', 'test/sea_lion/9.jpg 1')):
    folder.mkdir(parents=True, exist_ok=True)
    (folder / 'train.txt').write_text('\n'.join(train))
    (folder / 'test.txt').write_text('\n'.join(test))
    return str(folder)


def custom(folder, split='train', **kwargs):
    return LongTailedDataset(str(folder), ann_file='{split}.txt', split=split, **kwargs)


def test_every_split_knows_the_training_counts(tmp_path):
    write_lists(tmp_path)
    for split, labels in (('train', [0, 0, 0, 1]), ('test', [0, 1])):
        dataset = custom(tmp_path, split)
        assert dataset.metainfo == dict(classes=['cat', 'sea_lion'], cls_num_list=[3, 1], dataset='custom')
        assert dataset.labels.tolist() == labels == [dataset.get_cat_ids(i)[0] for i in range(len(dataset))]
        assert dataset.get_data_info(0)['img_path'] == f'{tmp_path}/{split}/cat/{0 if split == "train" else 9}.jpg'
    assert '2 images of 2 classes; training images per class 3 to 1' in repr(dataset)


def test_class_names_come_from_the_argument_the_file_the_folders_or_are_the_labels(tmp_path):
    write_lists(tmp_path / 'flat', ['a.jpg 0', 'b.jpg 1'], ['c.jpg 1'])
    assert custom(tmp_path / 'flat').metainfo['classes'] == ['0', '1']
    write_lists(tmp_path / 'shared', ['x/a.jpg 0', 'x/b.jpg 1'], ['x/c.jpg 1'])
    assert custom(tmp_path / 'shared', 'test').metainfo['classes'] == ['0', '1']
    write_lists(tmp_path)
    (tmp_path / 'classnames.txt').write_text('tabby\nseal\n')
    assert custom(tmp_path).metainfo['classes'] == ['tabby', 'seal']
    assert custom(tmp_path, 'test', classes=['A', 'B']).metainfo['classes'] == ['A', 'B']
    write_lists(tmp_path / 'words', ['a.jpg dog', 'b.jpg cat', 'c.jpg dog'], ['d.jpg cat'])
    assert custom(tmp_path / 'words').metainfo['classes'] == ['cat', 'dog']


@pytest.mark.parametrize(
    ('train', 'test', 'split', 'message'),
    [
        (['a.jpg 0', 'b.jpg'], (), 'train', r"train.txt:2: expected 'path label'.*found 'b.jpg'"),
        (['a.jpg 0', 'b.jpg 1'], ['c.jpg 2'], 'test', r"test.txt:1: label '2' is not one of the 2 classes"),
        (['a.jpg 0', 'b.jpg 1'], ['c.jpg -1'], 'test', r"test.txt:1: label '-1' is neither a class name nor"),
        (['a.jpg 0', 'b.jpg 3'], (), 'train', r'train.txt: labels run up to 3 but 1, 2 never occur; .* 0\.\.C-1'),
        (['a.jpg 1', 'b.jpg 2'], (), 'train', r'train.txt: labels run up to 2 but 0 never occur'),
        (['a.jpg 0', 'b.jpg 987654321'], (), 'train', r'but 1, 2, 3, 4, 5 never occur'),
        (
            ['path label', 'a.jpg 0'],
            (),
            'train',
            r"train.txt:1: label 'label' is no number .* that of .*train.txt:2 is",
        ),
        (['a.jpg 0', 'b.jpg -1'], (), 'train', r"train.txt:2: label '-1' is neither a class name nor"),
        (
            ['a.jpg cat', 'b.jpg dog'],
            ['c.jpg 0'],
            'test',
            r"test.txt:1: label '0' is not one of the 2 classes \('cat', 'dog'",
        ),
        ([], (), 'train', r'train.txt: no entry, so no class'),
        (['a.jpg 0'], (), 'test', r"split 'test' is empty"),
        (['a.jpg 0', 'a.jpg 1'], (), 'train', r"split 'train' lists 'a.jpg' twice"),
    ],
)
def test_errors_name_file_line_and_label(tmp_path, train, test, split, message):
    write_lists(tmp_path, train, test)
    with pytest.raises(ValueError, match=message):
        custom(tmp_path, split)


def test_numbers_are_labels_whatever_the_folders_are_called(tmp_path):
    write_lists(tmp_path, ['2/a.jpg 0', '3/a.jpg 1', '3/b.jpg 1', '1/a.jpg 2'], ['1/c.jpg 2', '2/c.jpg 0'])
    assert custom(tmp_path).metainfo == dict(classes=['2', '3', '1'], cls_num_list=[1, 2, 1], dataset='custom')
    assert custom(tmp_path).labels.tolist() == [0, 1, 1, 2]
    assert custom(tmp_path, 'test').labels.tolist() == [2, 0]
    assert custom(tmp_path, classes=['1', '2', '0']).labels.tolist() == [0, 1, 1, 2]


def test_paths_with_commas_and_other_encodings(tmp_path):
    write_lists(tmp_path, ['a, b.jpg 0', '"c, d.jpg",1', 'e f.jpg,2'], ())
    dataset = custom(tmp_path, classes=['x', 'y', 'z'])
    assert [Path(dataset.get_data_info(i)['img_path']).name for i in range(3)] == ['a, b.jpg', 'c, d.jpg', 'e f.jpg']
    assert dataset.labels.tolist() == [0, 1, 2]
    (tmp_path / 'train.txt').write_bytes('a.jpg 0\ncafé.jpg 1'.encode('latin-1'))
    with pytest.raises(ValueError, match=r'train\.txt:2: not UTF-8 text'):
        custom(tmp_path)


def test_a_missing_image_is_named(tmp_path):
    write_lists(tmp_path)
    with pytest.raises(FileNotFoundError, match=r'train/cat/0\.jpg does not exist'):
        custom(tmp_path, pipeline=[dict(type='vlprompt.LoadImage')])[0]


def test_contradictions_and_unknown_benchmarks(tmp_path):
    with pytest.raises(ValueError, match=r"unknown dataset 'places'; one of places_lt, imagenet_lt"):
        LongTailedDataset(str(tmp_path), dataset='places')
    with pytest.raises(ValueError, match="dataset='cifar100_lt' needs imbalance"):
        LongTailedDataset(str(tmp_path / 'cifar100'), dataset='cifar100_lt')
    with pytest.raises(FileNotFoundError, match=r'Places_LT_train\.txt does not exist. .*OLTR'):
        LongTailedDataset(str(tmp_path / 'places365'), dataset='places_lt')
    with pytest.raises(FileNotFoundError, match='vlprompt unpack-cifar100 ARCHIVE'):
        LongTailedDataset(str(tmp_path / 'cifar100'), dataset='cifar100_lt', imbalance=10)


# ---------------------------------------------------------------------------------------------------------- benchmarks


def test_places_lt_is_named_by_its_folders(tmp_path):
    folder = tmp_path / 'places365'
    folder.mkdir()
    for split, lines in dict(
        train=['train/airfield/00000001.jpg 0', 'train/airfield/00000002.jpg 0', 'train/zen_garden/00000001.jpg 1'],
        val=['train/airfield/00000003.jpg 0'],
        test=['val/zen_garden/Places365_val_00000001.jpg 1'],
    ).items():
        (folder / f'Places_LT_{split}.txt').write_text('\n'.join(lines))
    test = LongTailedDataset(str(tmp_path / 'places365'), dataset='places_lt', split='test')
    assert test.metainfo == dict(classes=['airfield', 'zen_garden'], cls_num_list=[2, 1], dataset='places_lt')
    assert test.get_data_info(0)['img_path'] == f'{folder}/val/zen_garden/Places365_val_00000001.jpg'


@pytest.fixture
def imagenet_lt(tmp_path):
    """Lists of the first three classes of ImageNet."""
    folder = tmp_path / 'imagenet_lt'
    folder.mkdir()
    a, b, c = imagenet_wnids()[:3]
    (folder / 'ImageNet_LT_train.txt').write_text(
        f'train/{a}/1.JPEG 0\ntrain/{a}/2.JPEG 0\ntrain/{b}/1.JPEG 1\ntrain/{c}/1.JPEG 2'
    )
    (folder / 'ImageNet_LT_test.txt').write_text(f'val/{c}/1.JPEG 2')
    return tmp_path


def test_imagenet_lt_has_words_for_its_folders(imagenet_lt):
    test = LongTailedDataset(str(imagenet_lt / 'imagenet_lt'), dataset='imagenet_lt', split='test')
    assert test.metainfo['classes'] == resolve_class_names('imagenet')[:3]
    assert test.get_data_info(0)['img_path'].startswith(f'{imagenet_lt}/imagenet/images/val/n')
    file = imagenet_lt / 'imagenet_lt' / 'ImageNet_LT_train.txt'
    file.write_text('train/n0/1.JPEG 0')
    with pytest.raises(ValueError, match="label 0 lies in folder 'n0', which is no known class"):
        LongTailedDataset(str(imagenet_lt / 'imagenet_lt'), dataset='imagenet_lt')


def test_sketches_are_tested_with_the_counts_of_imagenet_lt(imagenet_lt):
    folder = imagenet_lt / 'imagenet-sketch'
    wnids = imagenet_wnids()[:3]
    for wnid in wnids:
        save_image(folder / 'images' / wnid / 'sketch_0.JPEG')
    (folder / 'classnames.txt').write_text('\n'.join(f'{wnid} some name' for wnid in wnids))
    test = LongTailedDataset(str(imagenet_lt / 'imagenet-sketch'), dataset='imagenet_sketch', split='test')
    assert test.metainfo['cls_num_list'] == [2, 1, 1]
    assert test.metainfo['classes'] == resolve_class_names('imagenet')[:3]
    assert test.get_data_info(1)['img_path'] == f'{folder}/images/{wnids[1]}/sketch_0.JPEG'
    train = LongTailedDataset(str(imagenet_lt / 'imagenet-sketch'), dataset='imagenet_sketch')
    assert train.get_data_info(0)['img_path'] == f'{imagenet_lt}/imagenet/images/train/{wnids[0]}/1.JPEG'
    (folder / 'classnames.txt').write_text(f'{wnids[0]} some name')
    with pytest.raises(ValueError, match=r'1 classes, .* trains 3; they must be the same'):
        LongTailedDataset(str(imagenet_lt / 'imagenet-sketch'), dataset='imagenet_sketch', split='test')


def test_inaturalist_is_read_from_its_json_files(tmp_path):
    folder = tmp_path / 'inat2018'
    folder.mkdir()
    (folder / 'categories.json').write_text(
        json.dumps([dict(id=1, name='Bufo bufo'), dict(id=0, name='Apis mellifera')])
    )
    for split, labels in (('train', [1, 0, 1]), ('val', [0, 1])):
        images = [dict(id=10 + i, file_name=f'train_val2018/A/{c}/{split}{i}.jpg') for i, c in enumerate(labels)]
        annotations = [dict(id=i, image_id=10 + i, category_id=c) for i, c in enumerate(labels)]
        (folder / f'{split}2018.json').write_text(json.dumps(dict(images=images, annotations=annotations)))
    test = LongTailedDataset(str(tmp_path / 'inat2018'), dataset='inat2018', split='test')
    assert test.metainfo['classes'] == ['Apis mellifera', 'Bufo bufo']
    assert test.metainfo['cls_num_list'] == [1, 2]
    assert test.get_data_info(1)['img_path'] == f'{folder}/train_val2018/A/1/val1.jpg'
    (folder / 'categories.json').write_text(json.dumps([dict(id=0, name='Apis mellifera')]))
    with pytest.raises(
        ValueError, match=r"train2018.json: .*train0.jpg' has category 1, but categories.json ends at 1"
    ):
        LongTailedDataset(str(tmp_path / 'inat2018'), dataset='inat2018')
    broken = {
        'categories.json': [('{', 'not valid JSON'), ('[{"id": 0}]', 'expected a list of'), ('[]', 'has category 1')],
        'train2018.json': [
            ('{"images": []}', "not in COCO's form, there is no 'annotations'"),
            ('[', 'not valid JSON'),
        ],
    }
    for name, cases in broken.items():
        for text, message in cases:
            (folder / name).write_text(text)
            with pytest.raises(ValueError, match=message) as error:
                LongTailedDataset(str(tmp_path / 'inat2018'), dataset='inat2018')
            assert str(folder) in str(error.value)


# -------------------------------------------------------------------------------------------------------- CIFAR100-LT


@pytest.mark.parametrize(
    ('ratio', 'total', 'smallest'), [(200, 9502, 2), (100, 10847, 5), (50, 12608, 10), (10, 19573, 50)]
)
def test_published_sizes_of_cifar100_lt(ratio, total, smallest):
    counts = exponential_counts(500, 100, ratio)
    assert (sum(counts), counts[0], counts[-1]) == (total, 500, smallest)


def test_published_draws_of_cifar100_lt(golden):
    _, reference = golden.load('lpt/cifar_lt')
    for ratio in (200, 100, 50, 10):
        assert exponential_counts(500, 100, ratio) == reference[f'counts_{ratio}'].tolist()
    counts = exponential_counts(500, 100, 100)
    for seed in (0, 42):
        kept = keep_images(reference['toy_targets'], counts, seed)
        assert np.array_equal(kept, reference[f'selected_100_seed{seed}'])


def test_impossible_imbalance():
    with pytest.raises(ValueError, match='imbalance 100 leaves no image of the last class'):
        exponential_counts(50, 10, 100)
    with pytest.raises(ValueError, match='class 1 has 1 images, but 2'):
        keep_images(np.array([0, 0, 1]), [2, 2], 0)


@pytest.fixture
def archive(tmp_path):
    """An archive in the form of CIFAR-100's with three classes of four training images."""
    folder = tmp_path / 'cifar-100-python'
    folder.mkdir()
    labels = [0, 1, 2] * 4
    names = dict(fine_label_names=['apple', 'aquarium_fish', 'baby'])
    pixels = np.random.default_rng(0).integers(0, 256, (12, 3072), dtype=np.uint8)
    for name, content in dict(
        meta=names, train=dict(data=pixels, fine_labels=labels), test=dict(data=pixels[:3], fine_labels=[0, 1, 2])
    ).items():
        (folder / name).write_bytes(pickle.dumps(content, protocol=2))
    file = tmp_path / 'cifar-100-python.tar.gz'
    with tarfile.open(file, 'w:gz') as stream:
        stream.add(folder, folder.name)
    return file, pixels


def _truncate(file, folder):
    file.write_bytes(file.read_bytes()[:-2000])
    return file


def _no_archive(file, folder):
    file.write_text('404: not found')
    return file


def _damage(file, folder):
    (folder / 'train').write_bytes((folder / 'train').read_bytes()[:50])
    return folder


def _of_cifar10(file, folder):
    (folder / 'meta').write_bytes(pickle.dumps(dict(label_names=['cat'])))
    return folder


@pytest.mark.parametrize('spoil', [_truncate, _no_archive, _damage, _of_cifar10])
def test_a_file_that_is_not_the_archive_ends_in_one_message(archive, tmp_path, spoil):
    source = spoil(archive[0], tmp_path / 'cifar-100-python')
    with pytest.raises(SystemExit, match=f'^DataError: {source} is damaged or not the archive of CIFAR-100: .+$'):
        call(lambda: unpack_cifar100.main([str(source), '--out', str(tmp_path / 'cifar100')]))
    assert not (tmp_path / 'cifar100').exists()


def test_the_archive_becomes_a_long_tailed_dataset(archive, tmp_path, capsys):
    file, pixels = archive
    unpack_cifar100.main([str(file), '--out', str(tmp_path / 'cifar100')])
    unpack_cifar100.main([str(tmp_path / 'cifar-100-python'), '--out', str(tmp_path / 'again')])
    assert '12 train, 3 test images of 3 classes' in capsys.readouterr().out
    assert (tmp_path / 'again/train.txt').read_text() == (tmp_path / 'cifar100/train.txt').read_text()
    whole = LongTailedDataset(
        str(tmp_path / 'cifar100'), dataset='cifar100_lt', imbalance=1, pipeline=[dict(type='vlprompt.LoadImage')]
    )
    assert sorted(whole.labels) == [0] * 4 + [1] * 4 + [2] * 4
    for sample in (whole[0], whole[11]):
        number = int(sample['img_path'][-9:-4])
        assert np.array_equal(np.asarray(sample['img']), pixels[number].reshape(3, 32, 32).transpose(1, 2, 0))
    for split in ('train', 'test'):
        tail = LongTailedDataset(str(tmp_path / 'cifar100'), dataset='cifar100_lt', imbalance=4, split=split)
        assert tail.metainfo['cls_num_list'] == [4, 2, 1]
    assert len(tail) == 3
    others = {
        tuple(
            d['img_path']
            for d in LongTailedDataset(str(tmp_path / 'cifar100'), dataset='cifar100_lt', imbalance=4, split_seed=s)
        )
        for s in range(4)
    }
    assert len(others) > 1


def test_photographs(realdata):
    folder = realdata / 'cifar100_lt_if50'
    train, test = custom(folder), custom(folder, 'test')
    counts = json.loads((folder / 'class_counts.json').read_text())
    assert (len(train), len(test)) == (3795, 1500)
    assert train.metainfo['cls_num_list'] == test.metainfo['cls_num_list']
    assert train.metainfo['cls_num_list'] == counts['counts']


# --------------------------------------------------------------------------------------------------------------- check


def test_check_dataset_describes_the_tail(tmp_path, capsys):
    write_lists(tmp_path)
    for line in LINES[1:]:
        save_image(tmp_path / line.split()[0], seed=LINES.index(line))
    save_image(tmp_path / 'test/cat/9.jpg', seed=1)  # the same picture as train/cat/1.jpg
    save_image(tmp_path / 'test/sea_lion/9.jpg', seed=9)
    options = ['--long-tailed', '--data-root', str(tmp_path), '--ann-file', '{split}.txt']
    assert check_dataset.main(options) == 1
    out = capsys.readouterr().out
    assert '    1  sea_lion         1         1' in out
    assert 'note: training images per class: 3 to 1, imbalance ratio 3' in out
    assert 'note: classes by training images, convention lpt: 0 many, 0 medium, 2 few' in out
    assert f'PROBLEM: missing: {tmp_path}/train/cat/0.jpg' in out
    assert 'leak: 1 image of test is in train too (the same bytes): test/cat/9.jpg = train/cat/1.jpg' in out
    assert out.endswith('2 problems\n')


def test_check_dataset_knows_the_published_lists(imagenet_lt, monkeypatch, capsys):
    file = imagenet_lt / 'imagenet_lt' / 'ImageNet_LT_test.txt'
    assert check_dataset.main(['--dataset', 'imagenet_lt', '--data-root', str(imagenet_lt / 'imagenet_lt')]) == 1
    problem = f'PROBLEM: {file}: not the published list (md5 '
    assert problem in capsys.readouterr().out
    monkeypatch.setitem(presets.IMAGENET_LT_MD5, 'test', hashlib.md5(file.read_bytes()).hexdigest())
    check_dataset.main(['--dataset', 'imagenet_lt', '--data-root', str(imagenet_lt / 'imagenet_lt')])
    assert problem not in capsys.readouterr().out


def test_check_dataset_reads_the_data_of_a_config(archive, tmp_path, capsys):
    unpack_cifar100.main([str(archive[0]), '--out', str(tmp_path / 'cifar100')])
    config = tmp_path / 'config.py'
    dataset = dict(
        type='vlprompt.LongTailedDataset', dataset='cifar100_lt', imbalance=4, data_root=str(tmp_path / 'cifar100')
    )
    config.write_text(f'train_dataloader = test_dataloader = dict(dataset={dataset})')
    check_dataset.main([str(config)])
    assert 'imbalance ratio 4' in capsys.readouterr().out
    check_dataset.main(['--dataset', 'cifar100_lt', '--imbalance', '2', '--data-root', str(tmp_path / 'cifar100')])
    assert 'imbalance ratio 2' in capsys.readouterr().out
